"""A batch laid out: every proposal past the guards, what is granted in the order of the route, each visit numbered.

Where nothing at all could be done but wait (a field must rest, the turret must not turn yet), the run waits: the first
proposal that time alone would let pass is granted for then. Otherwise what comes too early is a denial like any other,
and the policy may do something else meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from phenoloop.core.granting import Denial, Granted
from phenoloop.core.guards import grant
from phenoloop.core.ledger import Ledger
from phenoloop.core.router import Trip, route
from phenoloop.model import Plan, Proposal, ProposalRecord, Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """A batch.

    Attributes
    ----------
    records : tuple of ProposalRecord
        In the order of the proposals.
    visits : mapping of int to Visit
        By number, in the order of the route; the number inside a visit is not set yet.
    """

    records: tuple[ProposalRecord, ...]
    visits: dict[int, Visit]


def lay_out(
    proposals: Sequence[Proposal],
    plan: Plan,
    ledger: Ledger,
    *,
    decision: int,
    first: int,
    here: Trip | None,
    at_s: float,
    idle: bool,
) -> Laid:
    """Pass proposals through the guards and order what is granted.

    Parameters
    ----------
    proposals : sequence of Proposal
        In the order of the policy.
    plan : Plan
        The protocol as understood.
    ledger : Ledger
        Spent from.
    decision, first : int
        Number of the decision, and of its first visit.
    here : Trip or None
        Where the stage is, and under which objective.
    at_s : float
        Run clock.
    idle : bool
        Nothing is under way, so that time would stand still if everything were denied.
    """
    ledger.turret.begin_batch()
    asked = list(proposals)
    verdicts: list[Denial | int] = []
    granted: list[Granted] = []
    visits: list[Visit] = []

    def spend(one: Granted, not_before_s: float | None) -> int:
        granted.append(one)
        # Spent at once, so that the next proposal of the batch sees it; the number follows from the route below.
        visits.append(ledger.dispatch(0, decision, one.well, one.profile, one.fields, not_before_s, one.targets))
        return len(granted) - 1

    for proposal in asked:
        verdict = grant(proposal, plan, ledger, at_s)
        verdicts.append(verdict if isinstance(verdict, Denial) else spend(verdict, proposal.not_before_s))
    if idle and not granted and (waiting := _first_to_wait_for(verdicts)) is not None:
        place, until_s = waiting
        later = replace(asked[place], not_before_s=until_s)
        verdict = grant(later, plan, ledger, at_s)
        if isinstance(verdict, Granted):
            asked[place], verdicts[place] = later, spend(verdict, until_s)
    order = _order(granted, visits, plan, ledger.turret.objective, here, at_s)
    numbers = {index: first + place for place, index in enumerate(order)}
    records = tuple(
        _record(proposal, verdict, None if isinstance(verdict, Denial) else granted[verdict], numbers)
        for proposal, verdict in zip(asked, verdicts, strict=True)
    )
    return Laid(records=records, visits={numbers[index]: visits[index] for index in order})


def _first_to_wait_for(verdicts: Sequence[Denial | int]) -> tuple[int, float] | None:
    waits = [
        (verdict.until_s, place)
        for place, verdict in enumerate(verdicts)
        if isinstance(verdict, Denial) and verdict.until_s is not None
    ]
    if not waits:
        return None
    until_s, place = min(waits)
    return place, until_s


def _record(
    proposal: Proposal, verdict: Denial | int, granted: Granted | None, numbers: dict[int, int]
) -> ProposalRecord:
    return ProposalRecord(
        well=proposal.well,
        profile=proposal.profile,
        fields=_asked_for(proposal) if granted is None else granted.fields,
        score=proposal.score,
        why=proposal.why,
        verdict=verdict.sentence if isinstance(verdict, Denial) else "accepted",
        visit=-1 if isinstance(verdict, Denial) else numbers[verdict],
        not_before_s=proposal.not_before_s,
        targets=proposal.targets if granted is None else granted.targets,
    )


def _asked_for(proposal: Proposal) -> tuple[str, ...]:
    if proposal.targets:
        return tuple(target.name for target in proposal.targets)
    return () if isinstance(proposal.fields, int) else proposal.fields


def _order(
    granted: Sequence[Granted],
    visits: Sequence[Visit],
    plan: Plan,
    in_place: str | None,
    here: Trip | None,
    at_s: float,
) -> list[int]:
    """Return the order of a batch: what is due first comes first; of what is due together, the shortest way."""
    together: dict[float, list[int]] = {}
    for index, visit in enumerate(visits):
        together.setdefault(at_s if visit.not_before_s is None else max(at_s, visit.not_before_s), []).append(index)
    order: list[int] = []
    start = here
    for _, indices in sorted(together.items()):
        stops = [Trip(granted[index].well, granted[index].profile.objective_config) for index in indices]
        order += [indices[place] for place in route(stops, start, plan.cost)]
        start = stops[indices.index(order[-1])]
    if plan.limits.objective_changes_per_hour is None:
        return order
    # The guard counted one change per objective, so visits of one objective go together, the present one first.
    turns = list(dict.fromkeys([in_place, *(granted[index].profile.objective_config for index in order)]))
    return sorted(order, key=lambda index: turns.index(granted[index].profile.objective_config))
