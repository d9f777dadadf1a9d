"""A row of the benchmark of policies: one figure with its interval, the world it was measured in, and the bar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from phenoloop.numerics.proportions import clopper_pearson


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes
    ----------
    name : str
        What was measured, with its unit.
    world : str
        Where: wells, effects, noise, plates.
    figure, low, high : float or None
        The figure and its 95 % interval over plates; None where there is none.
    bar : float or None
        What it is held against; None for a figure that is only told.
    ok : bool or None
        Whether the bar is met; None where there is no bar.
    """

    name: str
    world: str
    figure: float | None
    low: float | None
    high: float | None
    bar: float | None
    ok: bool | None


HEADER = f"{'':<6} {'figure':>9} {'95 % interval':>19} {'bar':>7}  name | world"


def line(row: Row) -> str:
    """Return a row as one line of the table."""
    verdict = "" if row.ok is None else "ok" if row.ok else "MISSED"
    span = "" if row.low is None or row.high is None else f"[{row.low:.4g}, {row.high:.4g}]"
    numbers = ["" if x is None else f"{x:.4g}" for x in (row.figure, row.bar)]
    return f"{verdict:<6} {numbers[0]:>9} {span:>19} {numbers[1]:>7}  {row.name} | {row.world}"


def show(rows: Iterable[Row]) -> int:
    """Print rows as they come; return how many missed their bar."""
    missed = 0
    for row in rows:
        print(line(row), flush=True)
        missed += row.ok is False
    return missed


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean over plates and its 95 % t interval; no width where there is one plate only."""
    data = np.asarray(values, float)
    mean = float(data.mean())
    if len(data) < 2:
        return mean, mean, mean
    half = float(stdtrit(len(data) - 1, 0.975) * data.std(ddof=1) / math.sqrt(len(data)))
    return mean, mean - half, mean + half


def share_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float, float]:
    """Return a share and its exact binomial interval."""
    return count / total, *clopper_pearson(count, total, level)


def coverage_row(name: str, world: str, held: int, total: int, level: float = 0.95) -> Row:
    """Hold coverage against its level less the 99 % binomial error of so many intervals."""
    bar = level - 2.3263478740408408 * math.sqrt(level * (1 - level) / total)
    figure, low, high = share_interval(held, total)
    return Row(name, f"{world}, {total} intervals", figure, low, high, round(bar, 4), figure >= bar)
