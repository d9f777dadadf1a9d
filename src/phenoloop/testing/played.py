"""A policy on a plate of numbers: asked and told as in the loop, while a function says what each look shows.

No machine and no pictures, so a plate takes seconds and the truth is known. `phenoloop.testing.clocked` is the same
with the real machine and its costs.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from phenoloop.model import (
    CONFIRM,
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
        In the order in which they were told; denials are not among them.
    asked : list of list of Proposal
        What was proposed, ask by ask.
    reason : str
        Why the policy stopped; empty when it ran out of wishes or of frames.
    at_s : float
        Run clock when the last result was told.
    """

    visits: list[Visit] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    results: list[VisitResult] = field(default_factory=list)
    asked: list[list[Proposal]] = field(default_factory=list)
    reason: str = ""
    at_s: float = 0.0

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
                well=visit.well,
                field=one.field,
                visit=visit.number,
                readouts=one.readouts,
                profile=one.profile,
                imaging=visit.profile,
                candidates=one.candidates,
                target=place.target,
                image=place.image,
                role=visit.role,
            )
            for visit, result in zip(self.visits, self.results, strict=False)
            for place, one in zip(visit.fields, result.fields, strict=True)
            if one.status == "ok"
        ]


def play(
    policy: Policy,
    setup: Setup,
    look: Look,
    *,
    seed: int = 0,
    lag: float = 1,
    most_asks: int = 10_000,
    deny: Callable[[Proposal, float], bool] = lambda proposal, at_s: False,
    seconds: Callable[[Visit, str], float] = lambda visit, before: 0.0,
    latency_s: float = 0.0,
    enough: Callable[[], bool] = lambda: False,
) -> Played:
    """Let a policy look until it stops, its frames are spent, or it wishes for nothing while nothing is under way.

    Parameters
    ----------
    policy : Policy
        Fresh.
    setup : Setup
        It is asked for `Setup.batch` visits at a time, and gets `Limits.frames` at most, one for a field.
    look : callable
        What is seen. Called in the order of the visits.
    seed : int
        Of the chance that the policy is handed.
    lag : float
        Batches under way when the next is asked for: 1 is what the loop does, 0 waits for all results.
    most_asks : int
        Asks after which it has no end.
    deny : callable
        (proposal, run clock) -> whether a guard refuses it.
    seconds : callable
        (visit, profile of the visit before) -> how long it takes; the clock begins at 0, under ``main``.
    latency_s : float
        From the end of a visit to its results.
    enough : callable
        Called before each ask, and after each result once nothing more is asked for; true ends it there, with what is
        under way untold.

    Raises
    ------
    AssertionError
        If it did not end.
    """
    table = _Table(policy, setup, look, seed, deny, seconds, latency_s)
    done, asks, stopped = table.done, 0, False
    while True:
        if len(table.pending) > lag * setup.batch:
            table.tell()
            continue
        if enough():
            return done
        wishes: Sequence[Proposal] = ()
        if not stopped and table.frames_left != 0:
            asks += 1
            if asks > most_asks:
                raise AssertionError(f"no end after {most_asks} asks")
            answer = table.ask(asks)
            if isinstance(answer, Stop):
                done.reason, stopped = answer.reason, True
            else:
                wishes = answer
        if table.dispatch(wishes, asks):
            continue
        if table.pending:
            table.tell()  # which may change the policy's mind
        elif not wishes:
            return done


class _Table:
    """What lies on the table: visits under way, what was used of each well, frames that are left, and the clock."""

    def __init__(
        self,
        policy: Policy,
        setup: Setup,
        look: Look,
        seed: int,
        deny: Callable[[Proposal, float], bool],
        seconds: Callable[[Visit, str], float],
        latency_s: float,
    ) -> None:
        self._policy, self._setup, self._look, self._seed = policy, setup, look, seed
        self._deny, self._seconds, self._latency_s = deny, seconds, latency_s
        self._used: Counter[tuple[str, str]] = Counter()
        self._told_at_s: dict[int, float] = {}
        self._free_s, self._before = 0.0, "main"
        self.frames_left = setup.limits.frames
        self.pending: deque[Visit] = deque()
        self.done = Played()

    def ask(self, decision: int) -> Sequence[Proposal] | Stop:
        """Ask for the next batch."""
        setup = self._setup
        context = Context(
            decision=decision,
            at_s=self.done.at_s,
            pending=tuple(
                Pending(
                    visit=visit.number,
                    well=visit.well,
                    fields=len(visit.fields),
                    names=tuple(place.field for place in visit.fields),
                    profile=visit.profile,
                    by=visit.by,
                )
                for visit in self.pending
            ),
            fields_left={well: n - self._used["main", well] for well, n in zip(setup.wells, setup.fields, strict=True)},
            frames_left=self.frames_left,
            last_well=None,
            rng=np.random.default_rng([self._seed, decision]),
        )
        answer = self._policy.ask(setup.batch, context)
        if answer and not isinstance(answer, Stop):
            self.done.asked.append(list(answer))
        return answer

    def dispatch(self, wishes: Sequence[Proposal], decision: int) -> int:
        """Send for what was proposed, and tell what was refused; return how many visits are on their way."""
        before, refused = len(self.done.visits), []
        for wish in wishes:
            denied = self._deny(wish, self.done.at_s)
            places = self._places(wish) if denied else self._spend(wish, self._places(wish))
            visit = Visit(
                number=-1 if denied else len(self.done.visits) + 1,
                decision=decision,
                well=wish.well,
                profile=wish.profile,
                fields=places,
                channels=("DNA",),
                role=CONFIRM if wish.why.rule == CONFIRM else "",
                by=wish.why.by,
            )
            if denied:
                refused.append(visit)
            elif places:
                self.done.visits.append(visit)
                self.done.proposals.append(wish)
                self._free_s = max(self._free_s, self.done.at_s) + self._seconds(visit, self._before)
                self._before = visit.profile
                self._told_at_s[visit.number] = self._free_s + self._latency_s
                self.pending.append(visit)
        for visit in refused:
            self._policy.tell(visit, self._result(visit, [FieldResult(field="", status="vetoed", reason="no")]))
        return len(self.done.visits) - before

    def tell(self) -> None:
        """Tell the policy what the next visit has shown."""
        visit = self.pending.popleft()
        self.done.at_s = self._told_at_s.pop(visit.number)
        result = self._result(visit, self._look(visit))
        self.done.results.append(result)
        self._policy.tell(visit, result)

    def _places(self, wish: Proposal) -> tuple[FieldVisit, ...]:
        """Return the fields that a proposal is about."""
        if wish.targets:
            return tuple(
                FieldVisit(field=target.name, t=0, image=i, x_um=target.x_um, y_um=target.y_um)
                for i, target in enumerate(wish.targets)
            )
        names = wish.fields
        if isinstance(names, int):
            first = self._used[wish.profile, wish.well]
            names = tuple(str(first + f) for f in range(names))
        return tuple(FieldVisit(field=name, t=0, image=0) for name in names)

    def _spend(self, wish: Proposal, places: tuple[FieldVisit, ...]) -> tuple[FieldVisit, ...]:
        """Return as many of the fields as frames are left for, and count them."""
        if self.frames_left is not None:
            places = places[: self.frames_left]
            self.frames_left -= len(places)
        if isinstance(wish.fields, int) and not wish.targets:
            self._used[wish.profile, wish.well] += len(places)
        return places

    def _result(self, visit: Visit, fields: Sequence[FieldResult]) -> VisitResult:
        return VisitResult(
            visit=visit.number, well=visit.well, profile=visit.profile, fields=tuple(fields), at_s=self.done.at_s
        )
