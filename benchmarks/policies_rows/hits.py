"""Rows of the policy `hits` and its question: ranking, calls, intervals, wall clock, worlds that the model has wrong.

All runs go through the policy and the question that ship (`_screens.run`), at readout level. Images per well are those
of all wells over all wells, controls included, unless a row says "controls aside": images of the other wells over the
other wells. Plates have seeds from 5000 on; defaults were tuned on other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.policies_rows import Row
from benchmarks.policies_rows._claims import calls, no_hits
from benchmarks.policies_rows._clock import wall_clock
from benchmarks.policies_rows._ranking import ranking
from benchmarks.policies_rows._wrong_worlds import misspecified

EMPTY_PLATES = 300


def rows(seeds: int) -> Iterator[Row]:
    """Yield every row; `seeds` plates behind each figure unless its world says otherwise."""
    yield from ranking(seeds)
    yield from calls(seeds)
    yield from no_hits(EMPTY_PLATES)
    yield from wall_clock(max(4, seeds // 2))
    yield from misspecified(max(8, seeds // 2))
