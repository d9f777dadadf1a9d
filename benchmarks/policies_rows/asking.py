"""Rows of the time that a decision takes: an ask of 16 on the largest plate, for the policies that every plate may use.

    python benchmarks/policies.py --rows asking

Each plays one plate of 1,536 wells (seed 5000), one batch under way, until 2.2 images per well are spent; every ask
counts, in processor time. Rules and policies made of policies have theirs in `combinators`, others beside their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from benchmarks.policies_rows import Row
from benchmarks.policies_rows._screens import draw
from benchmarks.policies_rows._stopwatch import asking_rows
from benchmarks.policies_rows.combinators import BATCH, PER_WELL, plate, play

POLICIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "hits, aim call": {"kind": "hits", "control_fields": 8},
    "hits, aim rank": {"kind": "hits", "aim": "rank", "control_fields": 8},
    "precise, wells": {"kind": "precise", "half_width": 1.0},
    "precise, 192 groups of 8 wells": {"kind": "precise", "half_width": 0.5, "by": "compound"},
    "sweep": {"kind": "sweep"},
    "sweep in random order": {"kind": "sweep", "order": "random"},
}


def rows(seeds: int) -> Iterator[Row]:
    """Yield the p99 of each policy; one plate each, whatever `seeds` is."""
    screen = draw(5000, wells=1536, controls=64, fields=12)
    setup = replace(plate(screen), properties=tuple({"compound": f"C{i % 192}"} for i in range(len(screen.wells))))
    for name, block in POLICIES.items():
        said = f"{name}, 1536 wells x 12 fields, batches of {BATCH}, {PER_WELL} images per well"
        yield from asking_rows(play(screen, block, setup), said)
