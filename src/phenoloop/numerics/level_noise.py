"""How much more fields scatter where a readout is high than where it is low: one number for a plate.

Counts and intensities scatter more the larger they are. A curve whose top is three times as noisy as its bottom looks
far better known than it is when one spread is taken for both. The variance is a straight line from the lowest to the
highest well of the plate; its ratio between the two ends is learnt from the scatter of fields inside wells (marginal of
the normal variance function model of Davidian and Carroll, Journal of the American Statistical Association 82 (1987)
1079-1091, with the common variance profiled out), and stays near 1 until that scatter says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.rounding import significant
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

_LOG_RATIOS: Final[Array] = np.log(2.0) * np.arange(-8.0, 8.01, 0.5)
"""Logarithms of the ratios of variances that are tried: 1/256 to 256."""
_PRIOR_SD: Final = math.log(5.0)
# That a ratio lies far from 1 must be shown: a factor of five either way is common, a factor of a hundred is not.
_LOG_PRIOR: Final[Array] = -0.5 * (_LOG_RATIOS / _PRIOR_SD) ** 2


@dataclass(frozen=True, slots=True)
class LevelNoise:
    """Variance of fields at a level, over that in the middle (geometric) of the plate's levels.

    Attributes
    ----------
    low, high : float
        Lowest and highest mean of a well.
    ratio : float
        Variance at `high` over that at `low`; 1 where nothing is known.
    """

    low: float = 0.0
    high: float = 0.0
    ratio: float = 1.0

    def at(self, levels: Array) -> Array:
        """Return the variance at some levels, of any shape; beyond the ends it is that of the end."""
        if self.ratio == 1.0 or not self.high > self.low:
            return np.ones_like(levels)
        place = np.clip((levels - self.low) / (self.high - self.low), 0.0, 1.0)
        found: Array = (1 + (self.ratio - 1) * place) / math.sqrt(self.ratio)
        return found


def level_noise(sums: WellSums) -> LevelNoise:
    """Learn the variance function from some wells.

    Parameters
    ----------
    sums : WellSums
        Wells that take part; those without fields are passed over.
    """
    means = sums.mean[sums.n > 0]
    many = sums.n > 1
    if not many.any():
        return LevelNoise()
    low, high = float(means.min()), float(means.max())
    freedom, scatter = sums.n[many] - 1, sums.scatter[many]
    if not high > low or not scatter.sum() > 0:
        return LevelNoise()
    place = (sums.mean[many] - low) / (high - low)
    variance = 1 + (np.exp(_LOG_RATIOS)[:, None] - 1) * place
    explained = (scatter / variance).sum(axis=1)
    log_weight = _LOG_PRIOR - 0.5 * (freedom * np.log(variance)).sum(axis=1)
    log_weight -= 0.5 * float(freedom.sum()) * np.log(explained)
    weight = np.exp(log_weight - log_weight.max())
    log_ratio = float((weight * _LOG_RATIOS).sum() / weight.sum())
    return LevelNoise(low, high, significant(math.exp(log_ratio)))
