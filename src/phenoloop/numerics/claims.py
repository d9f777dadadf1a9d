"""What must hold of a well that is called, besides its evidence: enough fields, far enough out, and in agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.rounding import significant_all
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

CHANGES: Final = {"up": 1, "down": -1, "both": 0}
"""Direction of an effect, as the protocol names it and as its sign; 0 is two-sided."""

LEAST_CONTROLS: Final = 6
"""Control wells below which nothing is called: a spread seen in so few wells bounds nothing."""

LEAST_FIELDS: Final = 2
"""Fields (or all, in a well that has fewer) below which nothing is called: one image may show a speck of dust."""

AGREEMENT: Final = 2.0
"""Standard errors, from the well's own fields, that a hit is out at least. One odd field among others that show nothing
makes one, however odd it is: so outliers call no hit, while fields that agree on an effect are far beyond."""


def response(mean: Array, centre: float, change: str) -> Array:
    """Return the distance from the controls in the asked direction (in either for ``both``), to nine digits."""
    sign = CHANGES[change]
    raw = sign * (mean - centre) if sign else np.abs(mean - centre)
    return significant_all(raw)


def claimable(
    log_e: Array, wells: WellSums, fields: Sequence[int] | NDArray[np.int64], distance: Array, smallest: float
) -> Array:
    """Return log e-values with those set to ``-inf`` (e = 0) that must not lead to a hit.

    An e-value times an indicator is at most itself, so what bounds false hits goes on to hold.

    Parameters
    ----------
    log_e : ndarray of float, shape (wells,)
        From `Null.log_evidence`.
    wells : WellSums
        What is known of them.
    fields : sequence of int
        Fields that each well has, imaged or not.
    distance : ndarray of float, shape (wells,)
        From `response`; NaN is never far enough.
    smallest : float
        Distance that the mean of a hit has at least.
    """
    enough = wells.n >= np.minimum(LEAST_FIELDS, np.asarray(fields))
    own_error = np.sqrt(wells.scatter / np.maximum(wells.n - 1, 1) / np.maximum(wells.n, 1))
    far = (distance >= smallest) & (distance >= AGREEMENT * own_error)
    return np.where(enough & far, log_e, -math.inf)
