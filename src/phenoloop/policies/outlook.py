"""How likely each well is to become a hit with more fields: the model with which ``aim: call`` steers.

A well that is not yet called would have to move from where its mean is to where evidence reaches the e-BH threshold.
The mean of n fields moves by ``field_sd sqrt(m / (n (n + m)))`` when m more come in, and the distance that is called
shrinks with depth. Nothing here is a claim: a wrong model costs images, not truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from phenoloop.model import Setup
from phenoloop.numerics.claims import LEAST_FIELDS, claimable, response
from phenoloop.numerics.ebh import ebh, log_threshold
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.reach import Reach
from phenoloop.numerics.rounding import significant, significant_all
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_DEPTHS: Final = 8
"""Depths at which the distance needed is worked out; between them it is interpolated in 1/n."""
_ROUNDS: Final = 12
_NEAR: Final = 0.7
"""Share of the distance that any call takes, below which evidence need not be worked out."""
_HARDLY: Final = 1e-4
"""A chance below this only becomes smaller when the threshold rises: the well is left out of later rounds."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What is believed of the wells that are no controls, in their order.

    Attributes
    ----------
    distance : ndarray of float
        From the controls, in the asked direction; ``-inf`` without data.
    needed : ndarray of float
        Distance that would be called with all fields.
    chance : ndarray of float
        That the well becomes a hit, at the best number of its remaining fields; 0 for a hit.
    per_field : ndarray of float
        The best chance per field.
    """

    distance: Array
    needed: Array
    chance: Array
    per_field: Array


def depths(setup: Setup) -> Array:
    """Return the depths at which `look_ahead` wants to know what is called (see `reach_of`)."""
    deepest = max(setup.fields, default=1)
    return np.unique(np.round(np.geomspace(1, deepest, _DEPTHS))).astype(np.float64)


def called_now(
    null: Null, reach: Reach, family: WellSums, setup: Setup, most: Counts
) -> tuple[NDArray[np.bool_], Array]:
    """Return which wells are hits as of now, and their log e-values; NaN where evidence cannot be near enough.

    Parameters
    ----------
    null, reach, family, setup
        As for `look_ahead`.
    most : ndarray of int
        Fields that each well of the family has.
    """
    distance = _distance(null, family, setup)
    table = _Table(reach, setup, len(family.n), _far(null))
    far_out = distance >= _NEAR * table.at(len(family.n), np.maximum(family.n, 1))
    near = np.flatnonzero(far_out & (family.n >= np.minimum(LEAST_FIELDS, most)))
    log_e = np.full(len(family.n), math.nan)
    log_e[near] = null.log_evidence(family.at(near), setup.change)
    known = np.where(np.isnan(log_e), -math.inf, log_e)
    return ebh(claimable(known, family, most, distance, setup.smallest), setup.level), log_e


def look_ahead(
    null: Null,
    reach: Reach,
    family: WellSums,
    setup: Setup,
    called: NDArray[np.bool_],
    most: Counts,
    left: Counts,
    pending: Counts,
    fields_per_visit: int,
) -> Outlook:
    """Work out the chances of all wells that are not called.

    Parameters
    ----------
    null : Null
        The controls; must be usable.
    reach : Reach
        What is called at which of the `depths`; may stem from a little fewer control fields.
    family : WellSums
        The wells that are no controls.
    setup : Setup
        Direction, smallest effect and error level of the question.
    called : ndarray of bool
        From `called_now`.
    most, left, pending : ndarray of int
        Fields that each has, that may still be asked for, and that are under way.
    fields_per_visit : int
        Fields of one visit.
    """
    size = len(family.n)
    distance = _distance(null, family, setup)
    table = _Table(reach, setup, size, _far(null))
    least = np.minimum(LEAST_FIELDS, most)

    def at(hits: int, wells: NDArray[np.intp], m: Counts) -> Array:
        depth = family.n[wells] + pending[wells] + m
        move = null.noise * null.field_sd * np.sqrt((m + pending[wells]) / (family.n[wells] * depth))
        reached: Array = ndtr((distance[wells] - table.at(hits, depth)) / move)
        return np.where(depth >= least[wells], reached, 0.0)

    open_ = np.flatnonzero((family.n > 0) & (left > 0) & ~called)
    hits = size
    # Wells are called together, each lowers the threshold for all. As e-BH does, start from the most and come down.
    for _ in range(_ROUNDS):
        # A well beyond its goal is best left as it is, one before it best given all: the two ends stand for all depths.
        best = np.maximum(at(hits, open_, np.minimum(fields_per_visit, left[open_])), at(hits, open_, left[open_]))
        likely = int(called.sum()) + max(1, math.floor(significant(float(best.sum()))))
        if likely >= hits:
            break
        hits = likely
        open_ = open_[best >= _HARDLY]
    chance, per_field = np.zeros((2, size))
    more = fields_per_visit
    while True:
        m = np.minimum(more, left[open_])
        now = at(hits, open_, m)
        chance[open_] = np.maximum(chance[open_], now)
        per_field[open_] = np.maximum(per_field[open_], now / m)
        if more >= left[open_].max(initial=0):
            break
        more *= 2
    needed = table.at(hits, np.maximum(family.n + pending + left, 1))
    return Outlook(distance, needed, significant_all(chance), significant_all(per_field))


def _distance(null: Null, family: WellSums, setup: Setup) -> Array:
    return np.where(family.n > 0, response(family.mean, null.centre, setup.change), -math.inf)


def _far(null: Null) -> float:
    return 1e3 * null.field_sd


class _Table:
    """The distance that is called, by how many are called together and by depth."""

    def __init__(self, reach: Reach, setup: Setup, family: int, far: float) -> None:
        self._reach, self._setup, self._family, self._far = reach, setup, family, far
        self._known: dict[int, Array] = {}

    def at(self, hits: int, depth: Array) -> Array:
        """Return the distance needed at some depths, if so many are called together."""
        if hits not in self._known:
            needed = self._reach.needed(log_threshold(hits, self._family, self._setup.level))
            # Beyond reach is far away, not infinitely far: infinity cannot be interpolated.
            self._known[hits] = np.maximum(np.where(np.isfinite(needed), needed, self._far), self._setup.smallest)
        return np.interp(-1 / depth, -1 / self._reach.n, self._known[hits])
