"""How likely each well is to become a hit with more fields: the model with which the policy `hits` steers.

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

from phenoloop.model import Setup
from phenoloop.numerics.ebh import ebh, log_threshold
from phenoloop.numerics.evidence import LEAST_FIELDS, Null, WellSums, claimable, response
from phenoloop.numerics.rounding import significant

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_DEPTHS: Final = 8
"""Depths at which the distance needed is worked out; between them it is interpolated in 1/n."""
_ROUNDS: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What is believed of the wells that are no controls, in their order.

    Attributes
    ----------
    log_e : ndarray of float
        Log e-value against "as the controls".
    called : ndarray of bool
        Hits as of now.
    distance : ndarray of float
        From the controls, in the asked direction; ``-inf`` without data.
    needed : ndarray of float
        Distance that would be called with all fields.
    chance : ndarray of float
        That the well becomes a hit, at the best number of its remaining fields; 0 for a hit.
    per_field : ndarray of float
        The best chance per field.
    """

    log_e: Array
    called: NDArray[np.bool_]
    distance: Array
    needed: Array
    chance: Array
    per_field: Array


def look_ahead(
    null: Null, family: WellSums, setup: Setup, left: Counts, pending: Counts, fields_per_visit: int
) -> Outlook:
    """Work out evidence and chances.

    Parameters
    ----------
    null : Null
        The controls.
    family : WellSums
        The wells that are no controls.
    setup : Setup
        Direction, smallest effect and error level of the question.
    left, pending : ndarray of int
        Fields of each that may still be asked for, and that are under way.
    fields_per_visit : int
        Fields of one visit.
    """
    controls = set(setup.controls)
    log_e = null.log_evidence(family, setup.change)
    distance = np.where(family.n > 0, response(family.mean, null.centre, setup.change), -math.inf)
    most = np.array([fields for well, fields in zip(setup.wells, setup.fields, strict=True) if well not in controls])
    called = ebh(claimable(log_e, family, most, distance, setup.smallest), setup.level)
    least = np.minimum(LEAST_FIELDS, most)
    chance = per_field = np.zeros(len(log_e))
    needed = np.full(len(log_e), math.inf)
    if not null.usable:
        return Outlook(log_e, called, distance, needed, chance, per_field)

    deepest = (family.n + pending + left).max(initial=1)
    depths = np.unique(np.round(np.geomspace(1, deepest, _DEPTHS))).astype(np.float64)
    reach = null.reach(depths, setup.change, null.field_sd)
    # Wells are called together, each lowers the threshold for all. As e-BH does, start from the most and come down.
    hits = len(log_e)
    for _ in range(_ROUNDS):
        at_depth = reach.needed(log_threshold(hits, len(log_e), setup.level))
        # Beyond reach is far away, not infinitely far: infinity cannot be interpolated.
        at_depth = np.maximum(np.where(np.isfinite(at_depth), at_depth, 1e3 * null.field_sd), setup.smallest)
        needed = np.interp(-1 / np.maximum(family.n + pending + left, 1), -1 / depths, at_depth)
        chance, per_field = np.zeros((2, len(log_e)))
        more = fields_per_visit
        while True:
            m = np.minimum(more, left)
            ready = (family.n > 0) & (m > 0) & ~called & (family.n + pending + m >= least)
            goal = np.interp(-1 / np.maximum(family.n + pending + m, 1), -1 / depths, at_depth)
            now = _chance(distance, goal, family.n, m + pending, null.field_sd, ready)
            chance = np.maximum(chance, now)
            per_field = np.maximum(per_field, now / np.maximum(m, 1))
            if more >= left.max(initial=0):
                break
            more *= 2
        likely = int(called.sum()) + max(1, math.floor(significant(math.fsum(chance))))
        if likely >= hits:
            break
        hits = likely
    return Outlook(log_e, called, distance, needed, _rounded(chance), _rounded(per_field))


def _chance(distance: Array, goal: Array, n: Array, coming: Counts, field_sd: float, ready: NDArray[np.bool_]) -> Array:
    """Return the chance that a mean of `n` fields is at its goal when `coming` more are in; 0 where not `ready`."""
    chance = np.zeros(len(n))
    move = field_sd * np.sqrt(coming[ready] / (n[ready] * (n[ready] + coming[ready])))
    z = (distance[ready] - goal[ready]) / move
    chance[ready] = [0.5 * math.erfc(-x / math.sqrt(2)) for x in z]
    return chance


def _rounded(values: Array) -> Array:
    return np.array([significant(float(value)) for value in values])
