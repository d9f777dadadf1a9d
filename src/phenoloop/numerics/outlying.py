"""How far a point lies from a few good ones: a Mahalanobis distance that some bad ones among them do not spoil."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from phenoloop.numerics.rounding import significant

_CLIP: Final = 3.0
"""Deviations of the good points count up to here towards the correlations, in robust SD."""
_FAR: Final = 8.0
"""Deviations of the point count up to here: far is far, and one number must not drown what the others say."""
_NORMAL: Final = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One number of a point.

    Attributes
    ----------
    name : str
        What it is called.
    bad : str
        Which deviation counts: ``"low"``, ``"high"`` or ``"both"``.
    floor : float
        Smallest standard deviation believed, in its own unit: good points that agree by chance must not make a
        trifle look far away.
    """

    name: str
    bad: str
    floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Farness:
    """How far a point lies outside.

    Attributes
    ----------
    distance : float
        Root of the mean squared deviation per axis, correlations taken out; about 1 or less for a good point.
    deviations : mapping of str to float
        By axis, in robust SD of the good points; negative is low. Those in the harmless direction are 0.
    """

    distance: float
    deviations: dict[str, float]


def farness(point: Sequence[float | None], good: Sequence[Sequence[float | None]], axes: Sequence[Axis]) -> Farness:
    """Return how far a point lies from good ones.

    Centre and scale of each axis are median and median absolute deviation (times 1.4826, at least `Axis.floor`), made
    wider by ``1 + 1 / n`` for the centre's own error and by ``(n + 4) / n`` for the scale's. Correlations are those of
    the deviations clipped at 3, drawn towards none with weight ``p / (n + p)`` (as Ledoit and Wolf 2004,
    doi 10.1016/S0047-259X(03)00096-4, but with a fixed weight), so that the matrix can be inverted however few points
    there are. Sums are exact (`math.fsum`) and nothing else is summed in an order that a machine could choose, so the
    same numbers give the same distance everywhere.

    Parameters
    ----------
    point : sequence of float or None, length p
        None is unknown, and says nothing.
    good : sequence of sequence of float or None, each of length p
        At least two points.
    axes : sequence of Axis, length p
        What the numbers are.

    Returns
    -------
    Farness
        0 where nothing can be compared.
    """
    used: list[int] = []
    z: list[float] = []
    columns: list[list[float]] = []
    n = len(good)
    widen = math.sqrt(1 + 1 / n) * (n + 4) / n
    for k, axis in enumerate(axes):
        value, known = point[k], [row[k] for row in good]
        values = [v for v in known if v is not None]
        if value is None or len(values) < max(2, n // 2):
            continue
        centre = _median(values)
        scale = max(_NORMAL * _median([abs(v - centre) for v in values]), axis.floor)
        away = (value - centre) / (scale * widen)
        used.append(k)
        z.append(max(-_FAR, min(_FAR, _harmful(away, axis.bad))))
        columns.append([0.0 if v is None else max(-_CLIP, min(_CLIP, (v - centre) / scale)) for v in known])
    if not used:
        return Farness(distance=0.0, deviations={})
    squared = _quadratic(_correlations(columns), z) / len(used)
    return Farness(
        distance=significant(math.sqrt(max(0.0, squared))),
        deviations={axes[k].name: significant(away) for k, away in zip(used, z, strict=True)},
    )


def _harmful(away: float, bad: str) -> float:
    if bad == "low":
        return min(away, 0.0)
    if bad == "high":
        return max(away, 0.0)
    return away


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _correlations(columns: Sequence[Sequence[float]]) -> list[list[float]]:
    p, n = len(columns), len(columns[0])
    kept = n / (n + p)
    power = [math.fsum(v * v for v in column) for column in columns]
    matrix = [[1.0] * p for _ in range(p)]
    for i in range(p):
        for j in range(i):
            both = math.sqrt(power[i] * power[j])
            shared = math.fsum(a * b for a, b in zip(columns[i], columns[j], strict=True))
            matrix[i][j] = matrix[j][i] = kept * shared / both if both > 0 else 0.0
    return matrix


def _quadratic(matrix: list[list[float]], z: Sequence[float]) -> float:
    """Return ``z' matrix^-1 z`` by Cholesky; for a handful of rows plain Python is fast enough."""
    p = len(z)
    lower = [[0.0] * p for _ in range(p)]
    solved: list[float] = []
    for i in range(p):
        for j in range(i):
            rest = matrix[i][j] - math.fsum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = rest / lower[j][j]
        lower[i][i] = math.sqrt(matrix[i][i] - math.fsum(v * v for v in lower[i][:i]))
        solved.append((z[i] - math.fsum(lower[i][k] * solved[k] for k in range(i))) / lower[i][i])
    return math.fsum(v * v for v in solved)
