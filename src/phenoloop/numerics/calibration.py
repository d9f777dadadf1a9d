"""What a score is worth: the chance of success as a function of it, learnt from a few tries and never falling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from phenoloop.numerics.rounding import significant

LEVEL_SD: Final = 2.0
"""Prior standard deviation of the log odds at the middle score."""
SLOPE_SD: Final = 1.0
"""Prior standard deviation of how much the log odds grow from one standard deviation of the scores to the next."""
_STEPS: Final = 30
_FAR: Final = 5.0
"""A score farther from the middle than so many standard deviations is taken as this far: nothing was learnt there."""


def calibrate(scores: Sequence[float], successes: Sequence[bool]) -> Callable[[float], float]:
    """Return the chance of success as a function of the score.

    Logistic in the score (Platt 1999), at the maximum of its posterior with normal priors, found by Newton's method; a
    slope that would be negative is 0, since a higher score is said to be better. Two parameters, because a freer curve
    follows the luck of the first few tries.

    Parameters
    ----------
    scores : sequence of float, length n
        Finite, or ``-inf`` for "has none"; those count for the level only.
    successes : sequence of bool, length n
        What came of each.

    Returns
    -------
    callable
        Takes a score and returns a chance in (0, 1), rounded to nine significant digits.
    """
    known = sorted(score for score in scores if math.isfinite(score))
    middle, spread = _middle(known)

    def standard(score: float) -> float:
        return 0.0 if not (spread and math.isfinite(score)) else max(-_FAR, min(_FAR, (score - middle) / spread))

    x = [standard(score) for score in scores]
    y = [float(success) for success in successes]
    level, slope = _fit(x, y, sloped=True)
    if slope < 0:
        level, slope = _fit(x, y, sloped=False)

    def at(score: float) -> float:
        return significant(_logistic(level + slope * standard(score)))

    return at


def _middle(known: Sequence[float]) -> tuple[float, float]:
    if not known:
        return 0.0, 0.0
    mean = math.fsum(known) / len(known)
    return mean, math.sqrt(math.fsum((score - mean) ** 2 for score in known) / len(known))


def _fit(x: Sequence[float], y: Sequence[float], *, sloped: bool) -> tuple[float, float]:
    level = slope = 0.0
    for _ in range(_STEPS):
        p = [_logistic(level + slope * value) for value in x]
        weight = [chance * (1 - chance) for chance in p]
        # Gradient and curvature of the log posterior; sums by fsum, which does not depend on the order.
        down = math.fsum(want - chance for want, chance in zip(y, p, strict=True)) - level / LEVEL_SD**2
        aa = math.fsum(weight) + 1 / LEVEL_SD**2
        if not sloped:
            step = (down / aa, 0.0)
        else:
            turn = math.fsum(v * (want - chance) for v, want, chance in zip(x, y, p, strict=True)) - slope / SLOPE_SD**2
            ab = math.fsum(w * v for w, v in zip(weight, x, strict=True))
            bb = math.fsum(w * v * v for w, v in zip(weight, x, strict=True)) + 1 / SLOPE_SD**2
            scale = aa * bb - ab * ab
            step = ((bb * down - ab * turn) / scale, (aa * turn - ab * down) / scale)
        level, slope = level + step[0], slope + step[1]
        if abs(step[0]) + abs(step[1]) < 1e-12:
            break
    return level, slope


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
