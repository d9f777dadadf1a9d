"""The loop itself: what follows from each input. Only this file knows the order of events.

Results are told in the order of the visits' numbers; one that comes early waits. After every single tell, and only
then, the policy is asked again, exactly when dispatched-but-untold visits have fallen to ``in_flight - batch``. So
decisions do not depend on how fast anything was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from phenoloop.core.deciding import Decider
from phenoloop.core.dispatch import Dispatcher
from phenoloop.core.guards import budget_spent
from phenoloop.core.ledger import Ledger
from phenoloop.core.phases import TRANSITIONS, IllegalInput, Phase
from phenoloop.core.retrying import Retries
from phenoloop.core.visiting import VisitState
from phenoloop.model import (
    Acquire,
    Decided,
    FieldReadout,
    Finish,
    Input,
    Measured,
    MeasurementFailed,
    Message,
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
        self._dispatcher = Dispatcher(plan, decider, self.ledger, self._retries)
        self._visits: dict[int, VisitState] = {}
        self._next_to_tell = 1
        self._held = Phase.RUNNING  # the phase that a pause interrupted

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

    def repeat(self, happened: Input, records: Sequence[Decided], *, last: bool) -> list[Message]:
        """Take in an input of a journal, with the decisions that followed it there; nobody is asked.

        Parameters
        ----------
        happened : Input
            As `handle`.
        records : sequence of Decided
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
        return tuple(state.visit for number, state in self._visits.items() if number >= self._next_to_tell)

    def visit(self, number: int) -> Visit:
        """Return a visit that was dispatched; KeyError otherwise."""
        return self._visits[number].visit

    def outstanding_acquires(self) -> tuple[Visit, ...]:
        """Return the visits that have not ended."""
        return tuple(state.visit for state in self._visits.values() if state.ended is None)

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
        return self._go_on()

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
        for state in self._visits.values():
            if state.ended is not None:
                self.ledger.release(state.visit, state.ended)
        # Fields that ended without being measured, because the run was stopped, are measured now.
        measures = [measure for state in self._visits.values() for measure in state.measure(self.at_s)]
        return [*measures, *self._go_on()]

    def _too_slow(self, happened: Input) -> list[Message]:
        assert isinstance(happened, PolicyTooSlow)
        if (named := self.decider.current) is not None:
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
        if self.phase in (Phase.PAUSED, Phase.CLOSING, Phase.ENDED):
            return []
        messages = self._ask_while_due()
        while (state := self._visits.get(self._next_to_tell)) is not None and state.complete:
            self._tell(state)
            messages += self._ask_while_due()
        return messages + self._maybe_finish()

    def _tell(self, state: VisitState) -> None:
        self._next_to_tell += 1
        # Settled here and not when the visit ended: what the guards see must not depend on who was faster.
        if state.ended is not None:
            self.ledger.settle(state.visit, state.ended)
        result = state.result(self.at_s)
        self.told.append(result)
        self._retries.note(result)
        self.decider.tell(state.visit, result)

    def _maybe_finish(self) -> list[Message]:
        stopped = self.phase is Phase.STOPPING and not self.outstanding_acquires() and not self.outstanding_measures()
        drained = self.phase is Phase.DRAINING and not self.untold
        if not (stopped or drained):
            return []
        self.phase = Phase.CLOSING
        return [Finish(at_s=self.at_s, exit=self.exit[0], reason=self.exit[1])]

    # -- decisions --------------------------------------------------------------------------------------------------

    def _ask_while_due(self) -> list[Message]:
        messages: list[Message] = []
        fruitless = 0
        while self.phase is Phase.RUNNING and len(self.untold) <= self.plan.in_flight - self.plan.batch:
            if spent := budget_spent(self.plan, self.ledger, self.at_s):
                # A visit under way may give back what it did not take.
                if not self.untold:
                    self._leave(Phase.DRAINING, "budget", spent)
                break
            decision = self._dispatcher.decide(self.untold, self.at_s)
            if decision.record is not None:
                messages += [decision.record, *decision.acquires]
                for acquire in decision.acquires:
                    self._visits[acquire.visit.number] = VisitState(acquire.visit)
                for never, result in decision.vetoed:
                    self.told.append(result)
                    self.decider.tell(never, result)
            fruitless += 1
            self._judge(decision.record, decision.acquires, fruitless)
            if decision.acquires:
                fruitless = 0
            elif self.untold:
                break  # the next result may change the policy's mind
        return messages

    def _judge(self, record: Decided | None, acquires: tuple[Acquire, ...], fruitless: int) -> None:
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
        elif fruitless >= _FRUITLESS_ASKS:
            self._leave(Phase.DRAINING, "completed", f"every proposal was denied: {record.proposals[0].verdict}")
