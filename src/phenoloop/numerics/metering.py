"""Which exposure brings the bright pixels of a field to a share of the camera's range.

The light of a field is linear in the exposure, above an offset that every camera adds. Two looks at different exposures
give both, so the ladder below ends after the second useful look and the rest is arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BRIGHT: Final = 99.5
"""Percentile of the pixels that is brought to the target: the objects of a sparse field, and no hot pixels."""
FLOOR_MS: Final = 1.0
"""No exposure below this: shutters and cameras are not exact there."""
_STEP: Final = 4.0
"""Factor between two looks."""
_ENOUGH: Final = 0.25
"""A look this near to the target (share of it, above the first look) is extrapolated from."""
_CLIPPED: Final = 0.98
"""From this share of the range on the bright pixels are saturated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What was found at one place.

    Attributes
    ----------
    exposure_ms : float
        The exposure, between `FLOOR_MS` and the longest allowed.
    level : float
        Share of the camera's range that the bright pixels reach with it, by the line through the looks.
    looks : int
        Exposures it took.
    """

    exposure_ms: float
    level: float
    looks: int


class NothingToMeter(Exception):
    """The place is dark at the longest exposure, or saturated at the shortest; the text says which."""


def meter(look: Callable[[float], NDArray[Any]], target: float, longest_ms: float, full: float) -> Metered:
    """Find the exposure for one channel at one place.

    Parameters
    ----------
    look : callable
        Takes an exposure in milliseconds, returns a picture, shape (y, x), counts.
    target : float
        Share (0..1) of the range that the bright pixels (percentile `BRIGHT`) are to reach.
    longest_ms : float
        Never exceeded, by the looks neither.
    full : float
        Largest count of the camera.

    Raises
    ------
    NothingToMeter
        If the bright pixels do not rise with the exposure, or are saturated at the shortest one.
    """
    shortest = min(FLOOR_MS, longest_ms)
    # Steps that end at the longest exposure exactly, so that all looks together give little more light than that one.
    steps = min(3, max(1, math.floor(math.log(longest_ms / shortest, _STEP) + 1e-9)))
    exposure = longest_ms / _STEP**steps
    looks: list[tuple[float, float]] = []
    saturated_ms = math.inf
    noise = 0.0
    count = 0
    while True:
        picture = look(exposure)
        count += 1
        low, middle, bright = (float(value) for value in np.percentile(picture, (15.865525393145708, 50.0, BRIGHT)))
        if bright >= _CLIPPED * full:
            if looks:
                break  # the line through the looks below is known well enough
            if exposure <= shortest:
                raise NothingToMeter(f"is saturated already at {exposure:g} ms: lower the power of the light")
            saturated_ms = exposure
            exposure = max(shortest, exposure / _STEP)
            continue
        if not looks:
            # Hardly any light fell: the lower half of the pixels spreads by the noise of the read-out alone.
            noise = max(middle - low, full * 2.0**-16)
        looks.append((exposure, bright))
        risen = looks[-1][1] - looks[0][1]
        if len(looks) > 1 and risen >= max(_ENOUGH * (target * full - looks[0][1]), 4 * noise):
            break
        # Above a look that was saturated there is nothing to see; below it half a step is left.
        following = exposure * (_STEP if math.isinf(saturated_ms) else 2.0)
        if exposure >= longest_ms or following >= saturated_ms:
            break
        exposure = min(longest_ms, following)
    exposure, level = _extrapolated(looks, noise, target, longest_ms, shortest, full)
    return Metered(exposure_ms=exposure, level=level, looks=count)


def _extrapolated(
    looks: list[tuple[float, float]], noise: float, target: float, longest_ms: float, shortest: float, full: float
) -> tuple[float, float]:
    first_ms, first = looks[0]
    last_ms, last = looks[-1]
    if last_ms == first_ms:
        # One look only (the next was saturated, or none longer is allowed): the offset of the camera is not known and
        # taken as nothing, which errs to the short side.
        rate, offset = first / first_ms, 0.0
    else:
        rate = (last - first) / (last_ms - first_ms)
        offset = first - rate * first_ms
        if last - first < 2 * noise:
            raise NothingToMeter(f"is dark even at {last_ms:g} ms")
    wanted = (target * full - offset) / rate if rate > 0 else longest_ms
    exposure = _rounded(min(longest_ms, max(shortest, wanted)))
    exposure = min(exposure, longest_ms)
    return exposure, min(1.0, (offset + rate * exposure) / full)


def _rounded(exposure_ms: float) -> float:
    """Return three digits, downwards: what a protocol would say, and never above what was found."""
    digits = 2 - math.floor(math.log10(exposure_ms))
    scale = 10.0**digits
    return round(math.floor(exposure_ms * scale + 1e-9) / scale, 6)
