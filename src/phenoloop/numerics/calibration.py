"""What a score is worth: the chance of success as a function of it, learnt from a few tries and never falling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.rounding import significant_all

Array = NDArray[np.float64]

LEVEL_SD: Final = 2.0
"""Prior standard deviation of the log odds at the middle score."""
SLOPE_SD: Final = 1.0
"""Prior standard deviation of how much the log odds grow from one standard deviation of the scores to the next."""
_STEPS: Final = 30
_FAR: Final = 5.0
"""A score farther from the middle than so many standard deviations is taken as this far: nothing was learnt there."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The chance of success as a function of the score: ``logistic(level + slope (score - middle) / spread)``."""

    level: float = 0.0
    slope: float = 0.0
    middle: float = 0.0
    spread: float = 0.0

    def at(self, scores: Array) -> Array:
        """Return the chances, in (0, 1) and rounded to nine significant digits; shape as that of the scores."""
        return significant_all(_logistic(self.level + self.slope * self.standard(scores)))

    def standard(self, scores: Array) -> Array:
        """Return scores in standard deviations from the middle; 0 where there is none."""
        if not self.spread:
            return np.zeros(len(scores))
        known = np.isfinite(scores)
        away: Array = np.clip((np.where(known, scores, self.middle) - self.middle) / self.spread, -_FAR, _FAR)
        return away


def calibrate(scores: Sequence[float], successes: Sequence[bool]) -> Calibration:
    """Learn the chance of success as a function of the score.

    Logistic in the score (Platt 1999), at the maximum of its posterior with normal priors, found by Newton's method; a
    slope that would be negative is 0, since a higher score is said to be better. Two parameters, because a freer curve
    follows the luck of the first few tries.

    Parameters
    ----------
    scores : sequence of float, length n
        Finite, or ``-inf`` for "has none"; those count for the level only.
    successes : sequence of bool, length n
        What came of each.
    """
    middle, spread = _middle(sorted(score for score in scores if math.isfinite(score)))
    x = Calibration(middle=middle, spread=spread).standard(np.array(scores, dtype=np.float64))
    y = np.array(successes, dtype=np.float64)
    level, slope = _fit(x, y, sloped=True)
    if slope < 0:
        level, slope = _fit(x, y, sloped=False)
    return Calibration(level, slope, middle, spread)


def _middle(known: Sequence[float]) -> tuple[float, float]:
    if not known:
        return 0.0, 0.0
    mean = math.fsum(known) / len(known)
    return mean, math.sqrt(math.fsum((score - mean) ** 2 for score in known) / len(known))


def _fit(x: Array, y: Array, *, sloped: bool) -> tuple[float, float]:
    level = slope = 0.0
    for _ in range(_STEPS):
        p = _logistic(level + slope * x)
        off, weight = y - p, p * (1 - p)
        # Gradient and curvature of the log posterior; sums by fsum, which does not depend on the order.
        down = math.fsum(off.tolist()) - level / LEVEL_SD**2
        aa = math.fsum(weight.tolist()) + 1 / LEVEL_SD**2
        if not sloped:
            step = (down / aa, 0.0)
        else:
            turn = math.fsum((x * off).tolist()) - slope / SLOPE_SD**2
            ab = math.fsum((weight * x).tolist())
            bb = math.fsum((weight * x * x).tolist()) + 1 / SLOPE_SD**2
            scale = aa * bb - ab * ab
            step = ((bb * down - ab * turn) / scale, (aa * turn - ab * down) / scale)
        level, slope = level + step[0], slope + step[1]
        if abs(step[0]) + abs(step[1]) < 1e-12:
            break
    return level, slope


def _logistic(values: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.maximum(values, -700.0)))
    return found
