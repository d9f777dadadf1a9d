"""Many runs in a few numbers: means with their bands over plates, curves, and how much less than the grid it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from phenoloop.studies.quality import POSITIVE, SHARE, Bounds, Measure
from phenoloop.studies.study import Look, Record

AXES: Final[Mapping[str, tuple[str, Callable[[Look], float]]]] = {
    "frames": ("frames", lambda look: float(look.spent.frames)),
    "minutes": ("minutes by the cost model", lambda look: look.spent.seconds / 60),
    "light_s": ("light: seconds of exposure at full power", lambda look: look.spent.light_s),
}
"""What an answer costs: by name, for people, and how it is read off a look."""

POINTS: Final = 60
"""Points of a curve."""
NEAR: Final = 0.01
"""Share of a score by which a grid may fall short and still answers as well: less is chance of the plates."""
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Band:
    """A mean over plates and its 95 % t interval; without a second plate low and high are None."""

    mean: float
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return it as a mapping."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contestant in the table.

    Attributes
    ----------
    name, kind : str
        What it is called; ``policy``, ``habit`` (all fields of every well) or ``grid`` (sized in hindsight).
    fields : int or None
        Fields per well of a grid; of a fixed rate, looks at each field.
    score : Band or None
        Quality of the answer at the end; None where a plate had none.
    cost : mapping of str to Band
        At the end, by the names of `AXES`.
    beside : mapping of str to Band
        Further numbers.
    grid : str or None
        The smallest grid that answers as well as this policy, in words; None where none does.
    grid_fields : int or None
        Its fields per well, or its looks at each field.
    less : mapping of str to Band
        How many times less than that grid this policy took, plate by plate, by the names of `AXES`.
    reasons : tuple of str
        Why its runs ended.
    """

    name: str
    kind: str
    fields: int | None
    score: Band | None
    cost: Mapping[str, Band]
    beside: Mapping[str, Band]
    grid: str | None = None
    grid_fields: int | None = None
    less: Mapping[str, Band] | None = None
    reasons: tuple[str, ...] = ()


def band(values: Sequence[float], bounds: Bounds = (-math.inf, math.inf)) -> Band:
    """Return the mean of some values, one per plate, and its 95 % t interval, cut at what values can be."""
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if len(data) < 2:
        return Band(mean, None, None)
    half = float(stdtrit(len(data) - 1, 0.975)) * float(data.std(ddof=1)) / math.sqrt(len(data))
    return Band(mean, max(bounds[0], mean - half), min(bounds[1], mean + half))


def ratio_band(values: Sequence[float]) -> Band:
    """Return the geometric mean of some ratios, one per plate, and its 95 % t interval (of their logarithms)."""
    found = band([math.log(value) for value in values])
    ends = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Band(math.exp(found.mean), *ends)


def row(name: str, kind: str, records: Sequence[Record], quality: Measure, fields: int | None = None) -> Row:
    """Return a contestant as a row of the table."""
    scores = [record.end.score for record in records]
    names = dict.fromkeys(key for record in records for key in record.end.beside)
    known = [score for score in scores if score is not None]
    return Row(
        name=name,
        kind=kind,
        fields=fields,
        score=band(known, quality.bounds) if known and len(known) == len(scores) else None,
        cost={axis: band([read(record.end) for record in records], POSITIVE) for axis, (_, read) in AXES.items()},
        # A plate with nothing to find has no share of it that was found.
        beside={key: band([one.end.beside[key] for one in records if key in one.end.beside], SHARE) for key in names},
        reasons=tuple(dict.fromkeys(record.reason for record in records)),
    )


def sized(score: Band | None, grids: Mapping[int, Sequence[Record]], quality: Measure) -> int | None:
    """Return the fields per well of the smallest grid within 1 % of a policy's mean quality; None: none is.

    Parameters
    ----------
    score : Band or None
        Of the policy.
    grids : mapping of int to sequence of Record
        Runs by fields per well.
    quality : Measure
        Says which way is better.
    """
    if score is None:
        return None
    sign = 1.0 if quality.higher else -1.0
    for depth in sorted(grids):
        found = row("", "grid", grids[depth], quality).score
        if found is not None and sign * (found.mean - score.mean) >= -NEAR * abs(score.mean):
            return depth
    return None


def times_less(policy: Sequence[Record], other: Sequence[Record]) -> dict[str, Band]:
    """Return how many times less a policy took than another, plate by plate (geometric mean over plates)."""
    pairs = list(zip(policy, other, strict=True))
    return {
        axis: ratio_band([max(_SAME, read(theirs.end)) / max(_SAME, read(ours.end)) for ours, theirs in pairs])
        for axis, (_, read) in AXES.items()
    }


def curve(records: Sequence[Record], axis: str, quality: Measure) -> dict[str, list[float | None]]:
    """Return quality against cost: what was known after so much was spent, with its band over plates.

    A run that has ended keeps its last answer. Where a plate has no number yet, there is no point.

    Returns
    -------
    dict of str to list
        ``at``, ``mean``, ``low``, ``high``.
    """
    read = AXES[axis][1]
    most = max(read(record.end) for record in records)
    at = np.linspace(0.0, most, POINTS)
    table = np.stack([_steps(record, read, at) for record in records])
    found: dict[str, list[float | None]] = {"at": [], "mean": [], "low": [], "high": []}
    for x, scores in zip(at.tolist(), table.T, strict=True):
        if not np.isfinite(scores).all():
            continue
        said = band(scores.tolist(), quality.bounds)
        for key, value in (("at", x), ("mean", said.mean), ("low", said.low), ("high", said.high)):
            found[key].append(value)
    return found


def _steps(record: Record, read: Callable[[Look], float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    spent = np.array([read(look) for look in record.looks])
    scores = np.array([np.nan if look.score is None else look.score for look in record.looks])
    last = np.searchsorted(spent, at + _SAME, side="right") - 1
    return np.where(last >= 0, scores[np.maximum(last, 0)], np.nan)


def plain(found: Row) -> dict[str, Any]:
    """Return a row as JSON-ready values."""

    def bands(some: Mapping[str, Band] | None) -> dict[str, Any] | None:
        return None if some is None else {key: value.to_json() for key, value in some.items()}

    return {
        "name": found.name,
        "kind": found.kind,
        "fields_per_well": found.fields,
        "score": None if found.score is None else found.score.to_json(),
        "cost": bands(found.cost),
        "beside": bands(found.beside),
        "grid": found.grid,
        "grid_fields_per_well": found.grid_fields,
        "times_less": bands(found.less),
        "reasons": list(found.reasons),
    }
