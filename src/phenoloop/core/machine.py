"""The run as a machine: what each legal move of the table in `phases` does.

In which order results are told and the policy is asked, `turns` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from phenoloop.core.allowance import Allowance, allowance_after, fallen, most_light_s
from phenoloop.core.deciding import Decider
from phenoloop.core.ledger import Ledger
from phenoloop.core.metering import exposures_of, light_of, wells_to_meter
from phenoloop.core.phases import TRANSITIONS, IllegalInput, Phase
from phenoloop.core.turns import Ending, Turns
from phenoloop.model import (
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
        self.exit = Ending("completed", "")
        """Exit and reason that `Finish` will carry, or has carried."""
        self._turns = Turns(plan, decider, self.ledger)
        self._book = self._turns.book
        self._held = Phase.RUNNING  # the phase that a pause interrupted
        self._metering = False

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
        move: Callable[[Input], list[Message]] = getattr(self, name)
        return move(happened)

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
        self._turns.follow(records, then_ask=last)
        return self.handle(happened)

    # -- what others may look at ------------------------------------------------------------------------------------

    @property
    def told(self) -> list[VisitResult]:
        """What the policy was told, denials included."""
        return self._turns.told

    @property
    def question(self) -> Confirm | None:
        """What a person is asked and has not answered; until then nothing is told and nobody is asked."""
        return self._turns.question

    @property
    def untold(self) -> tuple[Visit, ...]:
        """Visits that were dispatched and not yet told, by number."""
        return self._turns.untold

    def visit(self, number: int) -> Visit:
        """Return a visit that was dispatched; KeyError otherwise."""
        return self._book.state(number).visit

    def outstanding_acquires(self) -> tuple[Visit, ...]:
        """Return the visits that have not ended."""
        return self._book.not_ended()

    def outstanding_measures(self) -> tuple[tuple[int, str], ...]:
        """Return the fields (visit, name) that were given to the analysis and have no result."""
        return self._book.awaited()

    def accepted(self) -> list[FieldReadout]:
        """Return every field with status ``ok``, by visit: what a question answers from."""
        return self._book.accepted()

    def report(self) -> Mapping[str, Any]:
        """Return what the deciding policy believes, for people."""
        return self.decider.report()

    def allowance(self, attempts: int) -> Allowance:
        """Return the light that a microscope may still give that goes on from here.

        Parameters
        ----------
        attempts : int
            How often an exposure is tried; what was under way and was lost counts at its most.
        """
        return allowance_after(
            self.plan, self.ledger.light, self._book.heard_of_untold(), attempts, metering=self._metering
        )

    def most_light_s(self, visit: Visit, attempts: int) -> Mapping[str, float]:
        """Return, by field, the light that a visit can have given that was lost with its process."""
        certain = fallen(self.plan, self.ledger.light, self._book.heard_of_untold())
        return most_light_s(self.plan, visit, attempts, certain)

    # -- the moves: the life of a run -------------------------------------------------------------------------------

    def _start(self, happened: Input) -> list[Message]:
        self.phase = Phase.RUNNING
        self._turns.start(happened.at_s)
        return self._meter() or self._go_on()

    def _metered(self, happened: Input) -> list[Message]:
        assert isinstance(happened, ExposuresSet | MeteringFailed)
        self._metering = False
        self._count_metering(happened)
        if isinstance(happened, MeteringFailed):
            if self.phase is not Phase.STOPPING:
                self._leave(Phase.STOPPING, Ending("failed", happened.reason))
            return self._maybe_finish()
        self.plan = self.plan.with_exposures(exposures_of(happened))
        self._turns.use(self.plan)
        if self.phase is Phase.PAUSED:
            self._held = Phase.RUNNING
        elif self.phase is Phase.METERING:
            self.phase = Phase.RUNNING
        return self._go_on()

    def _pause(self, happened: Input) -> list[Message]:
        self._held, self.phase = self.phase, Phase.PAUSED
        return []

    def _resume(self, happened: Input) -> list[Message]:
        # Results that came in the meantime waited, so the decisions are those of a run that was never paused.
        self.phase = self._held
        return self._go_on()

    def _stop(self, happened: Input) -> list[Message]:
        assert isinstance(happened, StopRequested)
        self._leave(Phase.STOPPING, Ending(happened.exit, happened.reason))
        return self._maybe_finish()

    def _microscope_failed(self, happened: Input) -> list[Message]:
        assert isinstance(happened, MicroscopeFailed)
        self._leave(Phase.STOPPING, Ending("failed", happened.reason))
        return self._maybe_finish()

    def _note(self, happened: Input) -> list[Message]:
        return []

    def _end(self, happened: Input) -> list[Message]:
        self.phase = Phase.ENDED
        return []

    def _take_up(self, happened: Input) -> list[Message]:
        self._leave(Phase.RUNNING, Ending("completed", ""))
        self._turns.ending = None
        self.ledger.turret.reopen(self.at_s)
        if self._metering:
            self._count_metering(None)  # lost with its process
        for state in self._book.states():
            if state.ended is not None:
                self.ledger.release(state.visit, state.ended)
        # Fields that ended without being measured, because the run was stopped, are measured now.
        measures = [measure for state in self._book.states() for measure in state.measure(self.at_s)]
        return [*measures, *(self._meter() or self._go_on())]

    # -- the moves: what comes back ---------------------------------------------------------------------------------

    def _visit_ended(self, happened: Input) -> list[Message]:
        assert isinstance(happened, VisitEnded)
        state = self._book.under_way(happened.visit)
        state.end(happened)
        measures = [] if self.phase is Phase.STOPPING else state.measure(self.at_s)
        return [*measures, *self._go_on()]

    def _result(self, happened: Input) -> list[Message]:
        assert isinstance(happened, Measured | MeasurementFailed)
        self._book.take(happened)
        return self._go_on()

    def _answered(self, happened: Input) -> list[Message]:
        assert isinstance(happened, Answered)
        if self.phase is Phase.STOPPING:
            withdrawn = self._turns.withdraw(happened, self.exit.reason or "the run was stopped")
            return withdrawn + self._maybe_finish()
        messages = self._turns.answer(happened)
        self._heed_ending()
        return messages + self._go_on()

    def _too_slow(self, happened: Input) -> list[Message]:
        assert isinstance(happened, PolicyTooSlow)
        if (named := self.decider.shadow or self.decider.current) is not None:
            sentence = f"policy {named.kind!r} took more than {happened.limit_s:g} s for decision {happened.decision}"
            self.decider.distrust(named, sentence)
        return []

    # -- what the moves have in common ------------------------------------------------------------------------------

    def _go_on(self) -> list[Message]:
        """Let tells and asks take their turns where they may, finish when nothing is left."""
        if self.phase in (Phase.METERING, Phase.PAUSED, Phase.CLOSING, Phase.ENDED):
            return []
        if self.question is not None and self.phase is not Phase.STOPPING:
            return []  # results wait: how long a person took must not change what is decided next
        messages = self._turns.go_on(self.at_s, asks=self.phase is Phase.RUNNING)
        self._heed_ending()
        return messages + self._maybe_finish()

    def _heed_ending(self) -> None:
        """Begin to drain when nothing more will be asked for; under a pause, when it is over."""
        ending = self._turns.ending
        if ending is None:
            return
        if self.phase is Phase.RUNNING:
            self._leave(Phase.DRAINING, ending)
        elif self.phase is Phase.PAUSED and self._held is Phase.RUNNING:
            self._held, self.exit = Phase.DRAINING, ending

    def _maybe_finish(self) -> list[Message]:
        waiting = self._metering or self.question is not None or self.outstanding_acquires()
        stopped = self.phase is Phase.STOPPING and not waiting and not self.outstanding_measures()
        drained = self.phase is Phase.DRAINING and not self.untold
        if not (stopped or drained):
            return []
        self.phase = Phase.CLOSING
        return [Finish(at_s=self.at_s, exit=self.exit.exit, reason=self.exit.reason)]

    def _leave(self, phase: Phase, ending: Ending) -> None:
        self.phase, self.exit = phase, ending

    def _meter(self) -> list[Message]:
        """Begin to meter, where an exposure is still to be found."""
        if not self.plan.to_meter:
            return []
        self.phase, self._metering = Phase.METERING, True
        return [Meter(at_s=self.at_s, wells=wells_to_meter(self.plan))]

    def _count_metering(self, happened: ExposuresSet | MeteringFailed | None) -> None:
        for well, field, seconds in light_of(self.plan, happened):
            self.ledger.expose(well, field, seconds)
