"""How much more fields scatter where a readout is high than where it is low: one number for a plate.

Counts and intensities scatter more the larger they are. A curve whose top is three times as noisy as its bottom looks
far better known than it is when one spread is taken for both. The variance is a straight line from the lowest to the
highest well of the plate; its ratio between the two ends is learnt from the scatter of fields inside wells and of wells
that hold the same (marginal of the normal variance function model of Davidian and Carroll, Journal of the American
Statistical Association 82 (1987) 1079-1091, with the common variance of either scatter profiled out), and stays near 1
until they say otherwise. Replicate wells tell it before any well has a second field.
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
_USUAL: Final = 0.09
"""(well SD / field SD)² by which means of few and of many fields are weighed against one another."""
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


def level_noise(sums: WellSums, holds: NDArray[np.intp]) -> LevelNoise:
    """Learn the variance function from some wells.

    Parameters
    ----------
    sums : WellSums
        Wells that take part; those without fields are passed over.
    holds : ndarray of int, shape (wells,)
        What each well holds, numbered from 0; wells of one number are replicates.
    """
    seen = sums.n > 0
    means = sums.mean[seen]
    if not len(means):
        return LevelNoise()
    low, high = float(means.min()), float(means.max())
    many = sums.n > 1
    told = [
        (sums.mean[many], sums.scatter[many], sums.n[many] - 1),
        _replicates(means, sums.n[seen], holds[seen]),
    ]
    told = [one for one in told if one[1].sum() > 0]
    if not high > low or not told:
        return LevelNoise()
    log_weight = _LOG_PRIOR
    for level, scatter, freedom in told:
        place = (level - low) / (high - low)
        variance = 1 + (np.exp(_LOG_RATIOS)[:, None] - 1) * place
        explained = (scatter / variance).sum(axis=1)
        log_weight = log_weight - 0.5 * (freedom * np.log(variance)).sum(axis=1)
        log_weight -= 0.5 * float(freedom.sum()) * np.log(explained)
    weight = np.exp(log_weight - log_weight.max())
    log_ratio = float((weight * _LOG_RATIOS).sum() / weight.sum())
    return LevelNoise(low, high, significant(math.exp(log_ratio)))


def _replicates(means: Array, n: Array, holds: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Return level, scatter of the means of wells, and its degrees of freedom, of all that stands in several wells."""
    wells = np.bincount(holds)
    weight = 1 / (_USUAL + 1 / n)
    total = np.bincount(holds, weight)
    level = np.bincount(holds, weight * means) / np.where(wells > 0, total, 1.0)
    scatter = np.bincount(holds, weight * (means - level[holds]) ** 2)
    several = wells > 1
    return level[several], scatter[several].astype(np.float64), (wells[several] - 1).astype(np.float64)
