"""The loop itself: what follows from each input. Only this file knows the order of events.

Results are told in the order of the visits' numbers; one that comes early waits. After every single tell, and only
then, the policy is asked again, exactly when dispatched-but-untold visits have fallen to ``in_flight - batch``. So
decisions do not depend on how fast anything was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from phenoloop.core.budgets import budget_spent
from phenoloop.core.confirming import whole
from phenoloop.core.deciding import Decider
from phenoloop.core.decision import Decision
from phenoloop.core.dispatch import Dispatcher
from phenoloop.core.exposing import exposures_of, light_of, wells_to_meter
from phenoloop.core.ledger import Ledger
from phenoloop.core.phases import TRANSITIONS, IllegalInput, Phase
from phenoloop.core.retrying import Retries
from phenoloop.core.trust import Trust
from phenoloop.core.visiting import VisitState
from phenoloop.model import (
    Acquire,
    Answered,
    Confirm,
    Decided,
    ExposuresSet,
    FieldReadout,
    Finish,
    Input,
    Measured,
    MeasurementFailed,
    Message,
    Meter,
    MeteringFailed,
    MicroscopeFailed,
    Plan,
    PolicyTooSlow,
    StopRequested,
    Visit,
    VisitEnded,
    VisitResult,
)

_FRUITLESS_ASKS: Final = 3
"""With nothing in flight a policy hears its denials and may ask again this often before the run ends."""


class Machine:
    """The state of a run, changed by `handle` only.

    Parameters
    ----------
    plan : Plan
        The protocol as understood.
    decider : Decider
        Policy and fallback.
    """

    def __init__(self, plan: Plan, decider: Decider) -> None:
        self.plan = plan
        self.decider = decider
        self.ledger = Ledger(plan)
        self.phase = Phase.READY
        self.at_s = 0.0
        self.told: list[VisitResult] = []
        """What the policy was told, denials included."""
        self.exit = ("completed", "")
        """Exit and reason that `Finish` will carry, or has carried."""
        self._retries = Retries(plan)
        self._trust = Trust(plan)
        self._dispatcher = Dispatcher(plan, decider, self.ledger, self._retries)
        self._visits: dict[int, VisitState] = {}
        self._next_to_tell = 1
        self._held = Phase.RUNNING  # the phase that a pause interrupted
        self._fruitless = 0  # asks since the last tell that led to no visit
        self._metering = False
        self.question: Confirm | None = None
        """What a person is asked and has not answered; until then nothing is told and nobody is asked."""

    # -- the one door -----------------------------------------------------------------------------------------------

    def handle(self, happened: Input) -> list[Message]:
        """Take in what happened; return what to do about it.

        Parameters
        ----------
        happened : Input
            What, and when on the run clock.

        Returns
        -------
        list of Message
            `Decided` records and commands, in the order in which they belong into the journal.

        Raises
        ------
        IllegalInput
            If this cannot happen in the present phase.
        """
        name = TRANSITIONS.get((self.phase, type(happened)))
        if name is None:
            raise IllegalInput(f"{type(happened).__name__} cannot happen while the run is {self.phase.value}")
        self.at_s = max(self.at_s, happened.at_s)
        handler: Callable[[Input], list[Message]] = getattr(self, name)
        return handler(happened)

    def repeat(self, happened: Input, records: Sequence[Decided | Confirm], *, last: bool) -> list[Message]:
        """Take in an input of a journal, with the decisions that followed it there; nobody is asked.

        Parameters
        ----------
        happened : Input
            As `handle`.
        records : sequence of Decided or Confirm
            Those between this input and the next one.
        last : bool
            The journal ends here: it may lack decisions that were due, so after `records` the policy is asked.
        """
        self._dispatcher.follow(records, then_ask=last)
        return self.handle(happened)

    # -- what others may look at ------------------------------------------------------------------------------------

    @property
    def untold(self) -> tuple[Visit, ...]:
        """Visits that were dispatched and not yet told, by number."""
        return tuple(state.visit for state in self._untold())

    def visit(self, number: int) -> Visit:
        """Return a visit that was dispatched; KeyError otherwise."""
        return self._visits[number].visit

    def outstanding_acquires(self) -> tuple[Visit, ...]:
        """Return the visits that have not ended."""
        return tuple(state.visit for state in self._untold() if state.ended is None)

    def _untold(self) -> Iterator[VisitState]:
        """Yield the visits that are not told. Numbers are dense, and a time-lapse has very many that are."""
        for number in range(self._next_to_tell, len(self._visits) + 1):
            yield self._visits[number]

    def outstanding_measures(self) -> tuple[tuple[int, str], ...]:
        """Return the fields (visit, name) that were given to the analysis and have no result."""
        return tuple((number, name) for number, state in self._visits.items() for name in state.awaited())

    def accepted(self) -> list[FieldReadout]:
        """Return every field with status ``ok``, by visit: what a question answers from."""
        return [readout for state in self._visits.values() for readout in state.accepted()]

    def report(self) -> Mapping[str, Any]:
        """Return what the deciding policy believes, for people."""
        return self.decider.report()

    # -- life of a run ----------------------------------------------------------------------------------------------

    def _start(self, happened: Input) -> list[Message]:
        self.phase = Phase.RUNNING
        self._dispatcher.started_s = happened.at_s
        return self._meter() or self._go_on()

    def _meter(self) -> list[Message]:
        """Begin to meter, where an exposure is still to be found."""
        if not self.plan.to_meter:
            return []
        self.phase, self._metering = Phase.METERING, True
        return [Meter(at_s=self.at_s, wells=wells_to_meter(self.plan))]

    def _metered(self, happened: Input) -> list[Message]:
        assert isinstance(happened, ExposuresSet | MeteringFailed)
        self._metering = False
        self._count_metering(happened)
        if isinstance(happened, ExposuresSet):
            self.plan = self.plan.with_exposures(exposures_of(happened))
            self.ledger.use(self.plan)
            self._dispatcher.use(self.plan)
            if self.phase is Phase.PAUSED:
                self._held = Phase.RUNNING
            elif self.phase is Phase.METERING:
                self.phase = Phase.RUNNING
            return self._go_on()
        if self.phase is not Phase.STOPPING:
            self._leave(Phase.STOPPING, "failed", happened.reason)
        return self._maybe_finish()

    def _count_metering(self, happened: ExposuresSet | MeteringFailed | None) -> None:
        main = self.plan.profiles.get("main") or next(iter(self.plan.profiles.values()))
        for well, field, seconds in light_of(self.plan, happened):
            self.ledger.expose(well, field, main, seconds)

    def _pause(self, happened: Input) -> list[Message]:
        self._held = self.phase
        self.phase = Phase.PAUSED
        return []

    def _resume(self, happened: Input) -> list[Message]:
        # Results that came in the meantime waited, so the decisions are those of a run that was never paused.
        self.phase = self._held
        return self._go_on()

    def _stop(self, happened: Input) -> list[Message]:
        assert isinstance(happened, StopRequested)
        self._leave(Phase.STOPPING, happened.exit, happened.reason)
        return self._maybe_finish()

    def _microscope_failed(self, happened: Input) -> list[Message]:
        assert isinstance(happened, MicroscopeFailed)
        self._leave(Phase.STOPPING, "failed", happened.reason)
        return self._maybe_finish()

    def _note(self, happened: Input) -> list[Message]:
        return []

    def _end(self, happened: Input) -> list[Message]:
        self.phase = Phase.ENDED
        return []

    def _take_up(self, happened: Input) -> list[Message]:
        self._leave(Phase.RUNNING, "completed", "")
        self.ledger.turret.reopen(self.at_s)
        if self._metering:
            self._count_metering(None)  # lost with its process
        for state in self._visits.values():
            if state.ended is not None:
                self.ledger.release(state.visit, state.ended)
        # Fields that ended without being measured, because the run was stopped, are measured now.
        measures = [measure for state in self._visits.values() for measure in state.measure(self.at_s)]
        return [*measures, *(self._meter() or self._go_on())]

    def _too_slow(self, happened: Input) -> list[Message]:
        assert isinstance(happened, PolicyTooSlow)
        if (named := self.decider.shadow or self.decider.current) is not None:
            sentence = f"policy {named.kind!r} took more than {happened.limit_s:g} s for decision {happened.decision}"
            self.decider.distrust(named, sentence)
        return []

    def _leave(self, phase: Phase, exit: str, reason: str) -> None:
        self.phase = phase
        self.exit = (exit, reason)

    # -- results ----------------------------------------------------------------------------------------------------

    def _visit_ended(self, happened: Input) -> list[Message]:
        assert isinstance(happened, VisitEnded)
        state = self._visits.get(happened.visit)
        if state is None or state.ended is not None:
            raise IllegalInput(f"visit {happened.visit} was not under way")
        state.end(happened)
        measures = [] if self.phase is Phase.STOPPING else state.measure(self.at_s)
        return [*measures, *self._go_on()]

    def _result(self, happened: Input) -> list[Message]:
        assert isinstance(happened, Measured | MeasurementFailed)
        state = self._visits.get(happened.visit)
        if state is None or not state.take(happened):
            raise IllegalInput(f"field {happened.field!r} of visit {happened.visit} was not being measured")
        return self._go_on()

    def _go_on(self) -> list[Message]:
        """Tell what is due, ask after every tell, finish when nothing is left."""
        if self.phase in (Phase.METERING, Phase.PAUSED, Phase.CLOSING, Phase.ENDED):
            return []
        if self.question is not None and self.phase is not Phase.STOPPING:
            return []  # results wait: how long a person took must not change what is decided next
        messages = self._ask_while_due()
        while (state := self._visits.get(self._next_to_tell)) is not None and state.complete:
            messages += self._tell(state)
            messages += self._ask_while_due()
        return messages + self._maybe_finish()

    def _tell(self, state: VisitState) -> list[Message]:
        self._next_to_tell += 1
        self._fruitless = 0
        # Settled here and not when the visit ended: what the guards see must not depend on who was faster.
        if state.ended is not None:
            self.ledger.settle(state.visit, state.ended)
        verdicts = self._trust.judge(state.visit, state.good(), self.at_s)
        for verdict in verdicts:
            self._visits[verdict.visit].reject(verdict)
        result = state.result(self.at_s)
        self.told.append(result)
        self._retries.note(result)
        self.decider.tell(state.visit, result)
        return [*verdicts]

    def _maybe_finish(self) -> list[Message]:
        waiting = self._metering or self.question is not None or self.outstanding_acquires()
        stopped = self.phase is Phase.STOPPING and not waiting and not self.outstanding_measures()
        drained = self.phase is Phase.DRAINING and not self.untold
        if not (stopped or drained):
            return []
        self.phase = Phase.CLOSING
        return [Finish(at_s=self.at_s, exit=self.exit[0], reason=self.exit[1])]

    # -- decisions --------------------------------------------------------------------------------------------------

    def _ask_while_due(self) -> list[Message]:
        messages: list[Message] = []
        due = self.plan.in_flight - self.plan.batch
        while self.phase is Phase.RUNNING and self.question is None and len(self.untold) <= due:
            if spent := budget_spent(self.plan, self.ledger, self.at_s):
                # A visit under way may give back what it did not take.
                if not self.untold:
                    self._leave(Phase.DRAINING, "budget", spent)
                break
            decision = self._dispatcher.decide(self.untold, self.at_s)
            if decision.question is not None:
                self.question = decision.question
                return [*messages, decision.question]
            messages += self._take_in(decision)
            self._judge(decision.record, decision.acquires)
            if not decision.acquires and self.untold:
                break  # the next result may change the policy's mind
        return messages

    def _take_in(self, decision: Decision) -> list[Message]:
        """Note the visits of a decision, and tell the policy what was denied."""
        self._fruitless = 0 if decision.acquires else self._fruitless + 1
        if decision.record is None:
            return []
        for acquire in decision.acquires:
            profile = self.plan.profiles[acquire.visit.profile]
            self._visits[acquire.visit.number] = VisitState(acquire.visit, profile)
        for never, result in decision.vetoed:
            self.told.append(result)
            self.decider.tell(never, result)
        return [decision.record, *decision.acquires]

    def _answered(self, happened: Input) -> list[Message]:
        assert isinstance(happened, Answered)
        asked = self.question
        if asked is None or asked.proposed.decision != happened.decision:
            raise IllegalInput(f"nobody was asked about decision {happened.decision}")
        self.question = None
        if self.phase is Phase.STOPPING:
            # Whatever was answered came too late.
            late = replace(happened, answer="skip", by=self.exit[1] or "the run was stopped", judged=False)
            decision = self._dispatcher.settle(whole(asked), late)
            return self._take_in(decision) + self._maybe_finish()
        paused = self.phase is Phase.PAUSED
        if paused:
            self.phase = self._held
        decision = self._dispatcher.settle(asked, happened)
        messages = self._take_in(decision)
        self._judge(decision.record, decision.acquires)
        if happened.answer == "stop":
            self._leave(Phase.DRAINING, "stopped", happened.by)
        if paused:
            self._held, self.phase = self.phase, Phase.PAUSED
        return messages + self._go_on()

    def _judge(self, record: Decided | None, acquires: tuple[Acquire, ...]) -> None:
        """Say whether a decision was the last one."""
        if record is not None and record.stop:
            self._leave(Phase.DRAINING, "completed", record.stop)
        elif self.decider.broken:
            reason = record.error if record is not None else ""
            self._leave(Phase.DRAINING, "failed", f"nobody is left to decide: {reason}")
        elif acquires or self.untold:
            return
        elif record is None or not record.proposals:
            self._leave(Phase.DRAINING, "completed", "the policy has nothing more to propose")
        elif self._fruitless >= _FRUITLESS_ASKS:
            self._leave(Phase.DRAINING, "completed", f"every proposal was denied: {record.proposals[0].verdict}")
