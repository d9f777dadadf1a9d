"""The arithmetic of expressions: what each operator and function does to numbers of which some are unknown.

A value is a float64 array, 0-d for one number, ``(n,)`` for one number per object. NaN is unknown. A condition is 1, 0
or NaN. Nothing here ever raises for a value: what cannot be computed is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Value = NDArray[np.float64]
"""0-d or ``(n,)``; NaN is unknown."""


def known(value: Value) -> Value:
    """Return `value` with infinities turned into unknown: they come from overflow or from a division by zero."""
    return np.where(np.isfinite(value), value, np.nan)


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """Return ``left operator right``; unknown where a part is unknown or the result is no number."""
    with np.errstate(all="ignore"):
        return known(_ARITHMETIC[operator](left, right))


def compare(operator: str, left: Value, right: Value) -> Value:
    """Return 1, 0, or unknown where a part is unknown."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(left) | np.isnan(right), np.nan, _COMPARE[operator](left, right))


def compare_words(operator: str, left: object, right: object) -> Value:
    """Return 1 or 0 for ``==`` or ``!=`` of words row by row, unknown where one of them is None.

    Parameters
    ----------
    operator : str
        ``==`` or ``!=``.
    left, right : str, None or ndarray of object, shape (n,)
        Words.
    """
    one, other = np.broadcast_arrays(np.asarray(left, dtype=object), np.asarray(right, dtype=object))
    found = [
        np.nan if a is None or b is None else float((a == b) == (operator == "=="))
        for a, b in zip(one.flat, other.flat, strict=True)
    ]
    return np.array(found, dtype=np.float64).reshape(one.shape)


def both(left: Value, right: Value) -> Value:
    """Kleene ``and``: false wins over unknown."""
    return np.where((left == 0) | (right == 0), 0.0, np.where(np.isnan(left) | np.isnan(right), np.nan, 1.0))


def either(left: Value, right: Value) -> Value:
    """Kleene ``or``: true wins over unknown."""
    return np.where((left == 1) | (right == 1), 1.0, np.where(np.isnan(left) | np.isnan(right), np.nan, 0.0))


def negate(value: Value) -> Value:
    """Kleene ``not``: unknown stays unknown."""
    return 1.0 - value


def robust_z(value: Value) -> Value:
    """Return (value - median) / (1.4826 MAD) over the objects of the field; unknown where all are alike.

    The median absolute deviation, scaled to the standard deviation of a normal distribution, so that the rare objects
    one looks for do not widen the scale they are judged by.
    """
    numbers = value[~np.isnan(value)]
    if numbers.size == 0:
        return value
    centre = np.median(numbers)
    spread = 1.4826 * np.median(np.abs(numbers - centre))
    return arithmetic("/", value - centre, np.asarray(spread))


def _average(numbers: Value) -> float:
    return float(np.mean(numbers))


def _middle(numbers: Value) -> float:
    return float(np.median(numbers))


def _smallest(numbers: Value) -> float:
    return float(np.min(numbers))


def _largest(numbers: Value) -> float:
    return float(np.max(numbers))


REDUCE: Final[dict[str, Callable[[Value], float]]] = {
    "mean": _average,
    "median": _middle,
    "min": _smallest,
    "max": _largest,
}
"""Of the known numbers of the objects that were chosen; without any, the result is unknown."""


def reduce(function: str, value: Value, chosen: NDArray[np.bool_], share: float | None = None) -> Value:
    """Return one number from the objects that are `chosen`.

    Parameters
    ----------
    function : str
        A key of `REDUCE`, or ``sum``, ``quantile`` or ``fraction``.
    value : ndarray of float64, shape (n,)
        Unknown objects are left out.
    chosen : ndarray of bool, shape (n,)
        The objects that a second argument picks.
    share : float, optional
        Which quantile, 0..1 (linear interpolation).
    """
    picked = value[chosen]
    numbers = picked[~np.isnan(picked)]
    if function == "sum" and picked.size == 0:
        return np.asarray(0.0)
    if numbers.size == 0:
        return np.asarray(np.nan)
    with np.errstate(all="ignore"):
        if function == "sum":
            result = float(np.sum(numbers))
        elif function == "quantile":
            result = float(np.quantile(numbers, share if share is not None else 0.5))
        elif function == "fraction":
            result = float(np.mean(numbers == 1))
        else:
            result = REDUCE[function](numbers)
        return known(np.asarray(result))


def elementwise(function: str, *values: Value) -> Value:
    """Return ``abs``, ``log``, ``log10``, ``sqrt``, ``clip``, ``min`` or ``max`` number by number."""
    with np.errstate(all="ignore"):
        if function in ("min", "max"):
            step = np.minimum if function == "min" else np.maximum
            result = values[0]
            for value in values[1:]:
                result = step(result, value)
            return result
        if function == "clip":
            return np.minimum(np.maximum(values[0], values[1]), values[2])
        return known(_ELEMENTWISE[function](values[0]))


_Two = Callable[[Value, Value], Value]
_ARITHMETIC: Final[dict[str, _Two]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
}
_COMPARE: Final[dict[str, Callable[[Value, Value], NDArray[np.bool_]]]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_ELEMENTWISE: Final[dict[str, Callable[[Value], Value]]] = {
    "abs": np.abs,
    "log": np.log,
    "log10": np.log10,
    "sqrt": np.sqrt,
}
