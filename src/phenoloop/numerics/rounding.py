"""Nine significant digits: what is compared must not depend on the order of a sum or on the machine that summed it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SIGNIFICANT_DIGITS = 9
_EXACT_POWER = 22
"""Powers of ten up to this one are exact in a double, so scaling by them is rounded once, alike everywhere."""
_POWERS = np.array([float(f"1e{power}") for power in range(-_EXACT_POWER, _EXACT_POWER + 1)])
# A table, because a vectorised `pow` need not give the same last bit on every processor.


def significant(value: float, digits: int = SIGNIFICANT_DIGITS) -> float:
    """Round to significant digits.

    Parameters
    ----------
    value : float
        Any number; infinities and NaN are returned as they are.
    digits : int
        Digits that are kept.
    """
    if value == 0 or not math.isfinite(value):
        return float(value)
    return float(f"{value:.{digits - 1}e}")


def significant_all(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round every number of an array to nine significant digits: as `significant`, in a fraction of the time.

    Parameters
    ----------
    values : ndarray of float, any shape
        Infinities and NaN stay as they are.
    """
    some = np.isfinite(values) & (values != 0)
    size = np.abs(np.where(some, values, 1.0))
    place = np.floor(np.log10(size)).astype(np.int64)
    # A logarithm may come out on the wrong side of a whole number; comparing with the exact power does not.
    power = _power_of_ten(place)
    place += (size >= 10 * power).astype(np.int64) - (size < power)
    shift = SIGNIFICANT_DIGITS - 1 - place
    easy = some & (np.abs(shift) <= _EXACT_POWER) & (np.abs(place) < _EXACT_POWER)
    up = _power_of_ten(np.where(easy & (shift > 0), shift, 0))
    down = _power_of_ten(np.where(easy & (shift < 0), -shift, 0))
    rounded = np.where(easy, np.rint(np.where(easy, values, 0.0) * up / down) / up * down, values)
    for i in np.argwhere(some & ~easy):
        rounded[tuple(i)] = significant(float(values[tuple(i)]))
    return rounded


def _power_of_ten(exponent: NDArray[np.int64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = _POWERS[np.clip(exponent, -_EXACT_POWER, _EXACT_POWER) + _EXACT_POWER]
    return powers
