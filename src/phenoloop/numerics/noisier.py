"""How much noisier the fields of other wells are than those of the controls, from first looks, which nothing chose.

Later fields of a well are there because of what the first showed, so their scatter is selected. The first look is not:
whatever the policy, it cannot have known the well. Of the first looks those on the side of the controls count where no
hit is asked for, since responding wells do not widen them; a share of odd wells is allowed for, too. The distance from
the controls then has the variance ``well_sd² + (noise field_sd)² / n``, and the likeliest noise is what is returned.

It is the one nuisance of the evidence that is plugged in. Its upper bound would be safer, and cost where nothing is
wrong: with 32 controls x 16 fields on 384 wells, two to three in a hundred hits (24 simulated plates), and more where
fewer wells can tell. With the likeliest value, 2 of 491 simulated plates without hits showed a false one when treated
fields were 40 % noisier; without it 51 of 879. Treated wells that differ more from one another than controls do look
noisier as well.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.claims import CHANGES
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.rounding import significant_all
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

LEAST_BELOW: Final = 20
"""First looks on the far side of the controls below which their spread says nothing."""
_NOISES: Final[Array] = np.array([1.05**step for step in range(24)])
"""What is tried: from as noisy as the controls, the least that is assumed, to three times."""
_ODD_SHARE: Final = 0.1
_ODD_SPREAD: Final = 4.0
"""Share of wells that may be odd on the far side (toxic, out of focus), and how many times as widely they spread."""


def noise_ratio(null: Null, first: WellSums, change: str) -> float:
    """Return how many times as much as the controls' fields those of other wells scatter.

    Parameters
    ----------
    null : Null
        The controls.
    first : WellSums
        First look at each of the other wells; wells without one have no field.
    change : str
        ``"up"``, ``"down"`` or ``"both"``: then the side that spreads less counts.

    Returns
    -------
    float
        1 to 3; 1 where fewer than `LEAST_BELOW` first looks can tell.
    """
    if not null.usable:
        return 1.0
    sides = (CHANGES[change],) if CHANGES[change] else (1, -1)
    return min(_on_one_side(null, first, side) for side in sides)


def _on_one_side(null: Null, first: WellSums, sign: int) -> float:
    distance = sign * (np.where(first.n > 0, first.mean, np.inf * sign) - null.centre)
    far = distance < 0
    if int(far.sum()) < LEAST_BELOW:
        return 1.0
    away, fields = distance[far] ** 2, first.n[far]
    wells = null.well_sd_expected**2 + null.centre_sd**2
    variance = wells + (_NOISES[:, None] * null.field_sd) ** 2 / fields
    odd = _ODD_SPREAD**2
    density = (1 - _ODD_SHARE) * np.exp(-away / variance / 2) / np.sqrt(variance)
    density += _ODD_SHARE * np.exp(-away / variance / odd / 2) / np.sqrt(variance * odd)
    log_likelihood = significant_all(np.log(np.maximum(density, 1e-300)).sum(axis=1))
    return float(_NOISES[int(np.argmax(log_likelihood))])
