"""The visits of each well for the page, each with a link to the decision that says why; `report --story` says more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from phenoloop.watch.tally import ACCEPTED, Tally
from phenoloop.watch.verdict import count

MOST: Final = 8
"""Visits of a well that are listed; a time-lapse has very many."""
NOT_GOOD: Final = {"qc_fail": "rejected", "late": "too late", "failed": "not measured", "missing": "missing"}


def stories(tally: Tally, order: Sequence[str]) -> list[dict[str, Any]]:
    """Return the wells that anything was proposed for, in an order, each with its visits and denials."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for decided in tally.decisions:
        for made in decided.proposals:
            granted = made.verdict == ACCEPTED
            found[made.well].append(
                {
                    "decision": decided.decision,
                    "rule": made.why.head,
                    "said": _fields(tally, made.visit, made.fields) if granted else f"denied: {made.verdict}",
                    "granted": granted,
                }
            )
    return [
        {"well": well, "visits": found[well][:MOST], "more": max(0, len(found[well]) - MOST)}
        for well in order
        if well in found
    ]


def _fields(tally: Tally, visit: int, fields: Sequence[str]) -> str:
    gone = {gap.address.field for gap in tally.missing if gap.address.visit == visit}
    states = [
        result.status if (result := tally.results.get((visit, name))) is not None else "missing" if name in gone else ""
        for name in fields
    ]
    bad = [NOT_GOOD[state] for state in states if state in NOT_GOOD]
    said = f"{count(len(fields), 'field')}: {', '.join(fields)}" if len(fields) <= 4 else count(len(fields), "field")
    return said + (f" ({', '.join(f'{bad.count(one)} {one}' for one in dict.fromkeys(bad))})" if bad else "")
