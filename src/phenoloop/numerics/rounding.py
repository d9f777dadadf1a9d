"""Nine significant digits: what is compared must not depend on the order of a sum or on the machine that summed it."""

from __future__ import annotations

import math

SIGNIFICANT_DIGITS = 9


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
