"""From an ask to visits: context in, guards over the answer, route through the granted wells, numbers and addresses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from phenoloop.core.deciding import Decider
from phenoloop.core.guards import Denial, Granted, grant
from phenoloop.core.ledger import Ledger
from phenoloop.core.retrying import Retries
from phenoloop.core.router import route
from phenoloop.model import (
    Acquire,
    Context,
    Decided,
    FieldResult,
    FieldVisit,
    Pending,
    Plan,
    Proposal,
    ProposalRecord,
    Stop,
    Visit,
    VisitResult,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of one ask.

    Attributes
    ----------
    record : Decided or None
        None when the policy wants to wait for the next result: nothing happened, nothing is written.
    acquires : tuple of Acquire
        In the order of the route, which is the order of their numbers.
    denials : tuple of Denial
        Of the proposals that were refused.
    vetoed : tuple of (Visit, VisitResult)
        What the policy is told of these.
    """

    record: Decided | None = None
    acquires: tuple[Acquire, ...] = ()
    denials: tuple[Denial, ...] = ()
    vetoed: tuple[tuple[Visit, VisitResult], ...] = ()


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
        self._recorded: deque[Decided] = deque()
        self._asks = True
        self._wells = {well.name: well for well in plan.wells}
        self._decisions = 0
        self._visits = 0
        self._last_well: str | None = None

    def follow(self, records: Sequence[Decided], *, then_ask: bool) -> None:
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
        if self._recorded and self._recorded[0].told == told:
            return self._repeat(self._recorded.popleft(), at_s)
        if self._recorded or not self._asks:
            return Decision()
        replacements = self._retries.proposals(self._ledger, self._plan.batch)
        room = self._plan.batch - len(replacements)
        answer = self._decider.ask(room, self._context(number, untold, at_s)) if room else ()
        errors = self._decider.take_errors()
        stop = answer.reason if isinstance(answer, Stop) else ""
        proposals = (*replacements, *(() if isinstance(answer, Stop) else answer))
        if not (proposals or stop or errors):
            return Decision()
        return self._dispatch(number, told, proposals, stop, errors, at_s)

    def _context(self, number: int, untold: Sequence[Visit], at_s: float) -> Context:
        limit = self._plan.limits.frames
        return Context(
            decision=number,
            at_s=at_s,
            pending=tuple(Pending(visit=v.number, well=v.well, fields=len(v.fields)) for v in untold),
            fields_left=self._ledger.fields_left(),
            frames_left=None if limit is None else max(0, limit - self._ledger.frames),
            last_well=self._last_well,
            # Keyed by the decision's number, so that a policy has no hidden state and a resumed run goes on alike.
            rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._plan.seed, number]))),
        )

    def _dispatch(
        self, number: int, told: int, proposals: Sequence[Proposal], stop: str, errors: str, at_s: float
    ) -> Decision:
        verdicts: list[Denial | int] = []
        granted: list[Granted] = []
        visits: list[Visit] = []
        for proposal in proposals:
            verdict = grant(proposal, self._plan, self._ledger, at_s)
            if isinstance(verdict, Denial):
                verdicts.append(verdict)
                continue
            verdicts.append(len(granted))
            granted.append(verdict)
            # Spent at once, so that the next proposal of the batch sees it; the number follows from the route below.
            visits.append(self._ledger.dispatch(0, number, verdict.well, verdict.profile, verdict.fields))
        here = None if self._last_well is None else self._wells[self._last_well]
        order = route([one.well for one in granted], None if here is None else (here.x_um, here.y_um), self._plan.cost)
        numbers = {index: self._visits + 1 + place for place, index in enumerate(order)}
        named = self._decider.current
        record = Decided(
            decision=number,
            at_s=at_s,
            policy="" if named is None else named.kind,
            parameters={} if named is None else named.parameters,
            asked=self._plan.batch,
            told=told,
            proposals=tuple(
                ProposalRecord(
                    well=proposal.well,
                    profile=proposal.profile,
                    fields=() if isinstance(verdict, Denial) else granted[verdict].fields,
                    score=proposal.score,
                    why=proposal.why,
                    verdict=verdict.sentence if isinstance(verdict, Denial) else "accepted",
                    visit=-1 if isinstance(verdict, Denial) else numbers[verdict],
                )
                for proposal, verdict in zip(proposals, verdicts, strict=True)
            ),
            stop=stop,
            error=errors,
        )
        return self._carry_out(
            record,
            {numbers[index]: visits[index] for index in order},
            tuple(verdict for verdict in verdicts if isinstance(verdict, Denial)),
            at_s,
        )

    def _repeat(self, record: Decided, at_s: float) -> Decision:
        named = self._decider.current
        if record.error and named is not None and named.kind != record.policy:
            self._decider.distrust(named, record.error)
            self._decider.take_errors()
        self._retries.proposals(self._ledger, self._plan.batch)  # those of this decision stand in its record
        visits = {
            proposal.visit: self._ledger.dispatch(
                0,
                record.decision,
                self._wells[proposal.well],
                self._plan.profiles[proposal.profile],
                proposal.fields,
            )
            for proposal in record.proposals
            if proposal.visit > 0
        }
        denials = tuple(Denial(sentence=proposal.verdict) for proposal in record.proposals if proposal.visit < 0)
        return self._carry_out(record, dict(sorted(visits.items())), denials, at_s)

    def _carry_out(
        self, record: Decided, visits: dict[int, Visit], denials: tuple[Denial, ...], at_s: float
    ) -> Decision:
        self._decisions = record.decision
        self._visits += len(visits)
        acquires = tuple(Acquire(at_s=at_s, visit=replace(visit, number=n)) for n, visit in visits.items())
        if acquires:
            self._last_well = acquires[-1].visit.well
        vetoed = tuple(_veto(record, proposal, at_s) for proposal in record.proposals if proposal.visit < 0)
        return Decision(record=record, acquires=acquires, denials=denials, vetoed=vetoed)


def _veto(record: Decided, proposal: ProposalRecord, at_s: float) -> tuple[Visit, VisitResult]:
    never = Visit(
        number=-1,
        decision=record.decision,
        well=proposal.well,
        profile=proposal.profile,
        fields=tuple(FieldVisit(field=name, t=0, image=0) for name in proposal.fields),
        channels=(),
    )
    denied = FieldResult(field="", status="vetoed", reason=proposal.verdict)
    return never, VisitResult(visit=-1, well=proposal.well, profile=proposal.profile, fields=(denied,), at_s=at_s)
