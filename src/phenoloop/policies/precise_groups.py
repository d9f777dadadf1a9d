"""Where the next field narrows the mean of a group of wells most: a replicate well before more fields of the same.

The model: well means of a group differ by ``well_sd² + field_sd² / n``, with both spreads pooled over the groups, and
the half-width of a group's interval is Student's, with the wells as replicates. It steers; the question claims.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from phenoloop.numerics.rounding import significant
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

_WORTH: Final = 0.005
"""Share of a half-width that one more field of a well seen before must take away."""
_BORROWED: Final = 4.0
"""Degrees of freedom that the other groups lend to one: the spread of three wells alone is guessed far too low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWish:
    """A field that narrows a group.

    Attributes
    ----------
    well : int
        Where, as a place in plate order.
    group : str
        Which mean it narrows.
    ratio : float
        Half-width that the group will have without it, over the one asked for; infinity where it is not known.
    wells, fields : int
        Wells of the group with a field, and fields of this well, before it.
    """

    well: int
    group: str
    ratio: float
    wells: int
    fields: int


class GroupWidths:
    """The half-widths of the groups, now and with more fields.

    Parameters
    ----------
    sums : WellSums
        What is known of the wells.
    groups : mapping of str to sequence of int
        Wells of each group.
    level : float
        Coverage of the intervals.
    """

    def __init__(self, sums: WellSums, groups: Mapping[str, Sequence[int]], level: float) -> None:
        # Lists: single numbers of an array are slow to get at, and every ask goes over all wells.
        self._n, self._means = sums.n.tolist(), sums.mean.tolist()
        self._groups = groups
        self._quantiles: dict[float, float] = {}
        self._level = level
        known = not math.isnan(sums.field_sd)
        self._field = sums.field_sd**2 if known else 0.0
        squares, freedom, inner = 0.0, 0, 0.0
        for wells in groups.values():
            seen = [i for i in wells if self._n[i] > 0]
            if len(seen) > 1:
                middle = self.mean(seen)
                squares += math.fsum([(self._means[i] - middle) ** 2 for i in seen])
                inner += math.fsum([self._field / self._n[i] for i in seen]) * (len(seen) - 1) / len(seen)
                freedom += len(seen) - 1
        self._freedom = freedom
        self._between = max(0.0, squares - inner) / freedom if freedom else math.nan
        if not known and freedom:
            # No well has two fields yet. As if all of the spread were between fields: a second look will tell.
            self._field, self._between = self._between, 0.0

    def mean(self, wells: Sequence[int]) -> float:
        """Return the mean over wells with data, each counting once; NaN without any."""
        seen = [self._means[i] for i in wells if self._n[i] > 0]
        return math.fsum(seen) / len(seen) if seen else math.nan

    def half_width(self, group: str, n: Sequence[float]) -> float:
        """Return the half-width of a group whose wells have `n` fields; infinity where it is not known."""
        return self._half_width([n[i] for i in self._groups[group] if n[i] > 0])

    def _half_width(self, used: Sequence[float]) -> float:
        if len(used) < 2 or math.isnan(self._between):
            return math.inf
        variance = self._between + math.fsum([self._field / fields for fields in used]) / len(used)
        freedom = min(self._freedom, len(used) - 1 + _BORROWED)
        if freedom not in self._quantiles:
            self._quantiles[freedom] = float(stdtrit(freedom, 0.5 + self._level / 2))
        return self._quantiles[freedom] * math.sqrt(variance / len(used))

    def next_well(self, group: str, n: Sequence[float], left: Sequence[int], now: float) -> int | None:
        """Return the well to image next: one without a field, else the one with fewest; None if nothing helps.

        `now` is the half-width of the group with these fields.
        """
        free = [(n[i], i) for i in self._groups[group] if left[i] > 0]
        if not free:
            return None
        fields, best = min(free)
        if fields == 0 or math.isinf(now):
            return best
        then = self._half_width([n[i] + (i == best) for i in self._groups[group] if n[i] > 0])
        return best if then <= (1 - _WORTH) * now else None


def group_wishes(
    widths: GroupWidths,
    groups: Mapping[str, Sequence[int]],
    targets: Mapping[str, float],
    coming: Array,
    left: NDArray[np.int64],
    per_visit: int,
    most: int,
) -> list[GroupWish]:
    """Return up to `most` fields, each for the group that is widest after those before it; plate order breaks ties.

    Parameters
    ----------
    widths : GroupWidths
        The model.
    groups : mapping of str to sequence of int
        Wells of each group.
    targets : mapping of str to float
        Half-width asked for, by group; 0 or NaN where there is none yet.
    coming : ndarray of float
        Fields of each well, those under way included.
    left : ndarray of int
        Fields that may still be asked for.
    per_visit : int
        Fields of one visit.
    most : int
        Wishes at most.
    """
    have, free = coming.tolist(), left.tolist()

    def wish_of(name: str) -> GroupWish | None:
        half, target = widths.half_width(name, have), targets[name]
        ratio = significant(half / target) if target > 0 and math.isfinite(half) else math.inf
        well = widths.next_well(name, have, free, half) if ratio > 1 else None
        if well is None:
            return None
        seen = sum(1 for i in groups[name] if have[i] > 0)
        return GroupWish(well=well, group=name, ratio=ratio, wells=seen, fields=int(have[well]))

    # A field changes the wish of its own group only.
    open_ = {name: wish for name in groups if (wish := wish_of(name)) is not None}
    wishes: list[GroupWish] = []
    while open_ and len(wishes) < most:
        best = min(open_.values(), key=_order)
        wishes.append(best)
        fields = min(per_visit, free[best.well])
        have[best.well] += fields
        free[best.well] -= fields
        if (wish := wish_of(best.group)) is None:
            del open_[best.group]
        else:
            open_[best.group] = wish
    return wishes


def _order(wish: GroupWish) -> tuple[float, bool, int, int]:
    return (-wish.ratio, wish.fields > 0, wish.wells, wish.well)
