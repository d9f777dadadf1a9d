"""A decision in one line: where the images go, why the first of them, what was denied, what another policy would do."""

from __future__ import annotations

from phenoloop.core.decision import WOULD
from phenoloop.model import Decided, ProposalRecord, ShadowRecord
from phenoloop.watch.tally import ACCEPTED
from phenoloop.watch.verdict import names


def in_shadow(shadow: ShadowRecord) -> str:
    """Return one line on what a policy in the shadow would have done."""
    if shadow.error:
        return f"{shadow.error}; it is not asked any more"
    if shadow.stop:
        return f"{shadow.policy} would have stopped: {shadow.stop}"
    wells = [made.well for made in shadow.proposals if made.verdict == WOULD]
    return f"{shadow.policy} would have gone to {names(wells) or 'no well'}"


def _by_origin(taken: list[ProposalRecord]) -> list[str]:
    """Return a line for each part of the policy that proposed: its wells, and why the first of them."""
    parts: dict[str, list[ProposalRecord]] = {}
    for made in taken:
        parts.setdefault(made.why.by, []).append(made)
    return [
        f"{names([made.well for made in some])} - {some[0].why.head}: {some[0].why.text.rstrip('.')}"
        for some in parts.values()
    ]


def summary(decided: Decided) -> str:
    """Return one line on a decision: the wells, why the first of them, what was denied, or the reason to stop."""
    taken = [made for made in decided.proposals if made.verdict == ACCEPTED]
    denied = [made for made in decided.proposals if made.verdict != ACCEPTED]
    parts = []
    if decided.error:
        parts.append(f"{decided.error}; {decided.policy} goes on")
    if taken:
        parts += _by_origin(taken)
    if denied:
        parts.append(f"denied {names([made.well for made in denied])}: {denied[0].verdict}")
    if decided.stop:
        parts.append(f"stop: {decided.stop}")
    if decided.shadow is not None:
        parts.append(in_shadow(decided.shadow))
    return "; ".join(parts) or "nothing to do before the next result"
