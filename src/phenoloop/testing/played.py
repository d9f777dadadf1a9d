"""A policy on a plate of numbers: asked and told as in the loop, while a function says what each look shows.

No machine, no clock, no pictures, so a plate takes seconds and the truth is known. `phenoloop.testing.clocked` is the
same with the real machine, costs and a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from phenoloop.model import (
    Context,
    FieldReadout,
    FieldResult,
    FieldVisit,
    Pending,
    Proposal,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.ports import Policy

Look = Callable[[Visit], Sequence[FieldResult]]
"""What the fields of a visit show, in their order."""


@dataclass
class Played:
    """What was done.

    Attributes
    ----------
    visits, proposals : list
        Each visit, in the order of their numbers, and the proposal from which it came.
    results : list of VisitResult
        In the order in which they were told.
    asked : list of list of Proposal
        What was proposed, ask by ask.
    reason : str
        Why it stopped; empty when it ran out of wishes.
    """

    visits: list[Visit] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    results: list[VisitResult] = field(default_factory=list)
    asked: list[list[Proposal]] = field(default_factory=list)
    reason: str = ""

    @property
    def rules(self) -> list[str]:
        """The rule behind each visit."""
        return [proposal.why.rule for proposal in self.proposals]

    def wells(self, profile: str, *rules: str) -> list[str]:
        """Return the wells of the visits under a profile, in order; of some rules only."""
        chosen = zip(self.visits, self.rules, strict=True)
        return [visit.well for visit, rule in chosen if visit.profile == profile and (not rules or rule in rules)]

    def accepted(self) -> list[FieldReadout]:
        """Return the accepted fields, as a question sees them."""
        return [
            FieldReadout(
                well=result.well,
                field=one.field,
                visit=result.visit,
                readouts=one.readouts,
                profile=one.profile,
                imaging=result.profile,
            )
            for result in self.results
            for one in result.fields
            if one.status == "ok"
        ]


def play(policy: Policy, setup: Setup, look: Look, *, seed: int = 0, lag: int = 1, most_asks: int = 10_000) -> Played:
    """Let a policy look until it stops, or wishes for nothing while nothing is under way.

    Parameters
    ----------
    policy : Policy
        Fresh.
    setup : Setup
        What it was told; it is asked for `Setup.batch` visits at a time.
    look : callable
        What is seen. Called in the order of the visits.
    seed : int
        Of the chance that the policy is handed.
    lag : int
        Batches under way when the next is asked for: 1 is what the loop does, 0 waits for all results.
    most_asks : int
        Asks after which it has no end.

    Raises
    ------
    AssertionError
        If it did not end.
    """
    done = Played()
    left = dict(zip(setup.wells, setup.fields, strict=True))
    pending: deque[Visit] = deque()
    for decision in range(1, most_asks + 1):
        while len(pending) > lag * setup.batch:
            _tell(policy, look, pending.popleft(), done)
        answer = policy.ask(setup.batch, _context(setup, decision, pending, left, seed))
        if isinstance(answer, Stop):
            done.reason = answer.reason
        if isinstance(answer, Stop) or not answer:
            if not pending:
                return done
            _tell(policy, look, pending.popleft(), done)
            continue
        done.asked.append(list(answer))
        for wish in answer:
            names = wish.fields
            if isinstance(names, int):
                first = setup.fields[setup.wells.index(wish.well)] - left[wish.well]
                names = tuple(str(first + f) for f in range(names))
                left[wish.well] -= len(names)
            visit = Visit(
                number=len(done.visits) + 1,
                decision=decision,
                well=wish.well,
                profile=wish.profile,
                fields=tuple(FieldVisit(field=name, t=0, image=0) for name in names),
                channels=("DNA",),
            )
            done.visits.append(visit)
            done.proposals.append(wish)
            pending.append(visit)
    raise AssertionError(f"no end after {most_asks} asks")


def _tell(policy: Policy, look: Look, visit: Visit, done: Played) -> None:
    result = VisitResult(
        visit=visit.number, well=visit.well, profile=visit.profile, fields=tuple(look(visit)), at_s=0.0
    )
    done.results.append(result)
    policy.tell(visit, result)


def _context(setup: Setup, decision: int, pending: Sequence[Visit], left: dict[str, int], seed: int) -> Context:
    return Context(
        decision=decision,
        at_s=0.0,
        pending=tuple(
            Pending(
                visit=visit.number,
                well=visit.well,
                fields=len(visit.fields),
                names=tuple(place.field for place in visit.fields),
                profile=visit.profile,
            )
            for visit in pending
        ),
        fields_left=dict(left),
        frames_left=None,
        last_well=None,
        rng=np.random.default_rng([seed, decision]),
    )
