"""From an ask to visits: context in, guards over the answer, route through the granted wells, numbers and addresses."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from phenoloop.core.batching import Laid, lay_out
from phenoloop.core.confirming import outcome, question
from phenoloop.core.deciding import Decider
from phenoloop.core.decision import WOULD, Decision, denied
from phenoloop.core.ledger import Ledger
from phenoloop.core.quota import Quota
from phenoloop.core.retrying import Retries
from phenoloop.core.router import Trip
from phenoloop.model import (
    CONFIRM,
    Acquire,
    Answered,
    Confirm,
    Context,
    Decided,
    Pending,
    Plan,
    Proposal,
    ShadowRecord,
    Stop,
    Visit,
)


class _Answer(NamedTuple):
    """What is asked for at one time; `room`: how many visits the policy was asked for."""

    proposals: tuple[Proposal, ...]
    stop: str
    error: str
    room: int


class Dispatcher:
    """Makes decisions, or repeats those of a journal.

    Parameters
    ----------
    plan : Plan
        The protocol as understood.
    decider : Decider
        Policy and fallback.
    ledger : Ledger
        Spent here.
    retries : Retries
        Replacements for rejected fields; they come before what the policy asks for.
    """

    def __init__(self, plan: Plan, decider: Decider, ledger: Ledger, retries: Retries) -> None:
        self._plan = plan
        self._decider = decider
        self._ledger = ledger
        self._retries = retries
        self._quota = Quota(plan)
        self._recorded: deque[Decided | Confirm] = deque()
        self._asks = True
        self._wells = {well.name: well for well in plan.wells}
        self._decisions = 0
        self._visits = 0
        self._last_well: str | None = None
        self._last_objective: str | None = None
        self.started_s = 0.0
        """Run clock at which the run began."""

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    def follow(self, records: Sequence[Decided | Confirm], *, then_ask: bool) -> None:
        """Take the next decisions from a journal; when they run out ask again, or nobody at all."""
        self._recorded = deque(records)
        self._asks = then_ask

    def decide(self, untold: Sequence[Visit], at_s: float) -> Decision:
        """Ask once and dispatch what is granted.

        Parameters
        ----------
        untold : sequence of Visit
            Dispatched and not yet told.
        at_s : float
            Run clock of the last input.
        """
        number = self._decisions + 1
        told = self._visits - len(untold)
        if self._recorded and _told(self._recorded[0]) == told:
            return self._repeat(self._recorded.popleft(), at_s)
        if self._recorded or not self._asks:
            return Decision()
        answer = self._ask(number, untold, at_s)
        if answer is None:
            return Decision()
        shadow = self._ask_shadow(answer.room, number, untold, at_s)
        return self._dispatch(number, told, answer, shadow, at_s)

    def _ask(self, number: int, untold: Sequence[Visit], at_s: float) -> _Answer | None:
        """Put together what is asked for: replacements, controls that are due, and the policy's wishes."""
        replacements = self._retries.proposals(self._ledger, self._plan.batch)
        room = self._plan.batch - len(replacements)
        said = self._decider.ask(room, self._context(number, untold, at_s)) if room else ()
        error = self._decider.take_errors()
        stop = said.reason if isinstance(said, Stop) else ""
        wishes = () if isinstance(said, Stop) else tuple(said)
        # Beside the policy, never alone. An ask changes nothing, so what finds no room is wished for again.
        controls = self._quota.proposals(self._ledger, at_s, room) if wishes else []
        # A control that has a field replaced is visited anyway; both would take the same new field.
        replaced = {proposal.well for proposal in replacements if proposal.profile == "main"}
        controls = [proposal for proposal in controls if proposal.well not in replaced]
        proposals = (*replacements, *controls, *wishes[: room - len(controls)])
        return _Answer(proposals, stop, error, room) if proposals or stop or error else None

    def _context(self, number: int, untold: Sequence[Visit], at_s: float) -> Context:
        limit = self._plan.limits.frames
        return Context(
            decision=number,
            at_s=at_s,
            pending=tuple(
                Pending(
                    visit=v.number,
                    well=v.well,
                    fields=len(v.fields),
                    names=tuple(place.field for place in v.fields),
                    profile=v.profile,
                    not_before_s=v.not_before_s,
                    by=v.by,
                )
                for v in untold
            ),
            fields_left=self._ledger.fields_left(),
            frames_left=None if limit is None else max(0, limit - self._ledger.frames),
            last_well=self._last_well,
            # Keyed by the decision's number, so that a policy has no hidden state and a resumed run goes on alike.
            rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._plan.seed, number]))),
            started_s=self.started_s,
        )

    def _dispatch(self, number: int, told: int, answer: _Answer, shadow: ShadowRecord | None, at_s: float) -> Decision:
        plan = self._plan
        # A person may say no: then nothing must have been spent.
        ledger = self._ledger.copy() if plan.autonomy.asks else self._ledger
        laid = self._lay_out(answer.proposals, ledger, number, told, at_s)
        named = self._decider.current
        record = Decided(
            decision=number,
            at_s=at_s,
            policy="" if named is None else named.kind,
            parameters={} if named is None else named.parameters,
            asked=plan.batch,
            told=told,
            proposals=laid.records,
            stop=answer.stop,
            error=answer.error,
            shadow=shadow,
        )
        if not plan.autonomy.asks:
            return self._carry_out(record, laid.visits, at_s)
        asked = question(record, plan, self._ledger, at_s)
        return self._spend(record, at_s) if asked is None else Decision(question=asked)

    def _lay_out(self, proposals: Sequence[Proposal], ledger: Ledger, number: int, told: int, at_s: float) -> Laid:
        here = None if self._last_well is None else Trip(self._wells[self._last_well], self._last_objective)
        return lay_out(
            proposals,
            self._plan,
            ledger,
            decision=number,
            first=self._visits + 1,
            here=here,
            at_s=at_s,
            idle=told == self._visits,
        )

    def _ask_shadow(self, room: int, number: int, untold: Sequence[Visit], at_s: float) -> ShadowRecord | None:
        """Ask the policy in the shadow, and note what the guards would have said."""
        named = self._decider.shadow
        if named is None:
            return None
        answer = self._decider.ask_shadow(room, self._context(number, untold, at_s))
        error = self._decider.take_errors()
        stop = answer.reason if isinstance(answer, Stop) else ""
        proposals = () if isinstance(answer, Stop) else answer
        told = self._visits - len(untold)
        laid = self._lay_out(proposals, self._ledger.copy(), number, told, at_s)
        records = tuple(
            replace(made, visit=-1, verdict=WOULD if made.visit > 0 else made.verdict) for made in laid.records
        )
        return ShadowRecord(policy=named.kind, parameters=named.parameters, proposals=records, stop=stop, error=error)

    def settle(self, asked: Confirm, answered: Answered) -> Decision:
        """Carry out what is left of a decision after a person has answered.

        Parameters
        ----------
        asked : Confirm
            The question.
        answered : Answered
            Its answer; wells that a person has judged and refused are out of the run under that profile.
        """
        record = outcome(asked, answered)
        if self._recorded and isinstance(self._recorded[0], Decided):
            self._recorded.popleft()  # it follows from the answer and is compared with what is written
        if answered.judged and answered.answer != "go":
            for made in asked.proposed.proposals:
                if made.visit in asked.about:
                    self._ledger.vetoed[made.profile, made.well] = (
                        f"vetoed by {answered.by} in decision {record.decision}"
                    )
        return self._spend(record, asked.at_s)

    def _repeat(self, written: Decided | Confirm, at_s: float) -> Decision:
        record = written.proposed if isinstance(written, Confirm) else written
        named = self._decider.current
        if record.error and named is not None and named.kind != record.policy:
            self._decider.distrust(named, record.error)
        shadow = self._decider.shadow
        if record.shadow is not None and record.shadow.error and shadow is not None:
            self._decider.distrust(shadow, record.shadow.error)
        self._retries.proposals(self._ledger, self._plan.batch)  # those of this decision stand in its record
        self._decider.take_errors()  # they stand there too
        return Decision(question=written) if isinstance(written, Confirm) else self._spend(record, at_s)

    def _spend(self, record: Decided, at_s: float) -> Decision:
        """Reserve and dispatch what a record says was granted."""
        self._ledger.turret.begin_batch()
        visits = {
            made.visit: self._ledger.dispatch(
                0,
                record.decision,
                self._wells[made.well],
                self._plan.profiles[made.profile],
                made.fields,
                made.not_before_s,
                made.targets,
            )
            for made in record.proposals
            if made.visit > 0
        }
        return self._carry_out(record, dict(sorted(visits.items())), at_s)

    def _carry_out(self, record: Decided, visits: Mapping[int, Visit], at_s: float) -> Decision:
        self._decisions = record.decision
        self._visits += len(visits)
        self._quota.note(record)
        whys = {made.visit: made.why for made in record.proposals}
        acquires = tuple(
            Acquire(
                at_s=at_s,
                visit=replace(visit, number=n, role=CONFIRM if whys[n].rule == CONFIRM else "", by=whys[n].by),
            )
            for n, visit in visits.items()
        )
        self._ledger.sent([acquire.visit for acquire in acquires], at_s)
        if acquires:
            last = acquires[-1].visit
            self._last_well = last.well
            self._last_objective = self._plan.profiles[last.profile].objective_config
        vetoed = tuple(denied(record, proposal, at_s) for proposal in record.proposals if proposal.visit < 0)
        return Decision(record=record, acquires=acquires, vetoed=vetoed)


def _told(written: Decided | Confirm) -> int:
    return written.proposed.told if isinstance(written, Confirm) else written.told
