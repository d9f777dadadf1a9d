"""A plate as numbers: what a field of a synthetic well would measure, learnt from a sample that was really measured.

A sample of fields is drawn and goes through the protocol's own analysis once. Its readouts are smoothed over the levels
that the phenotype gave their wells (local regression [1]_); what is left over is the noise between fields. A field of
a new plate then takes the level of its well (its place on the curve, and the noise between wells of that plate, both
from the specimen itself) and the left-over of a measured field from wells like it, a donor. Status, quality and the
unknown readouts are the donor's own, so fields are rejected as often as those that were measured.

References
----------
.. [1] W. S. Cleveland and S. J. Devlin, "Locally weighted regression", Journal of the American Statistical Association
   83 (1988) 596-610.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Measured, MeasurementFailed, Plan
from phenoloop.numerics.rounding import significant

Floats = NDArray[np.float64]
Levels = Mapping[str, Mapping[str, float]]
"""Level of each quantity in each well: ``[quantity][well]``."""

SPAN: Final = 0.4
"""Share of the sample that one local regression looks at."""
LEAST: Final = 12
"""Fields that it looks at in any case."""
DONORS: Final = 16
"""Nearest measured fields that one is drawn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A field that was really measured, and the levels of its well."""

    result: Measured | MeasurementFailed
    levels: tuple[float, ...]


class Response:
    """How readouts follow the levels of a well.

    Parameters
    ----------
    sample : sequence of Sampled
        Measured fields; at least one with a result.
    readouts : sequence of str
        Names, in protocol order.
    follows : sequence of bool
        Which levels follow the plate map. These say which wells are alike; the others only differ by the noise between
        wells, and count as slopes.

    Raises
    ------
    ValueError
        If none of the fields could be measured.
    """

    def __init__(self, sample: Sequence[Sampled], readouts: Sequence[str], follows: Sequence[bool]) -> None:
        self._results = [one.result for one in sample]
        self._readouts = tuple(readouts)
        at = np.array([one.levels for one in sample], dtype=np.float64).reshape(len(sample), -1)
        spread = at.std(axis=0)
        # A quantity that is the same everywhere says nothing, and would be divided by zero.
        self._unit = np.where(spread > 1e-12, spread, np.inf)
        self._scale = np.where(np.asarray(follows, dtype=bool), self._unit, np.inf)
        self._at = at
        self._known = [one for one in range(len(sample)) if isinstance(sample[one].result, Measured)]
        if not self._known:
            raise ValueError("none of the sampled fields could be measured")
        self._values = np.array([self._row(self._results[i]) for i in self._known])
        self._left = self._values - self.curve(at[self._known])

    @property
    def size(self) -> int:
        """Fields of the sample."""
        return len(self._results)

    def curve(self, levels: Floats) -> Floats:
        """Return readouts and profile without noise.

        Parameters
        ----------
        levels : ndarray of float64, shape (n, quantities)
            Of n wells.

        Returns
        -------
        ndarray of float64, shape (n, columns)
            Readouts, then the objects of a field, then the columns of its profile; NaN where nothing is known.
        """
        return np.stack([self._local(at) for at in np.asarray(levels, dtype=np.float64)])

    def readout(self, levels: Floats, name: str) -> Floats:
        """Return one readout without noise, shape (n,)."""
        column: Floats = self.curve(levels)[:, self._readouts.index(name)]
        return column

    def draw(self, level: Floats, curve: Floats, rng: np.random.Generator) -> Measured | MeasurementFailed:
        """Return what a field measures: a donor's noise on the curve of its own well.

        Parameters
        ----------
        level : ndarray of float64, shape (quantities,)
            Of its well.
        curve : ndarray of float64, shape (columns,)
            What `curve` gives for it.
        rng : numpy.random.Generator
            Chance of this field.
        """
        far = self._distance(level, self._at)
        nearest = np.argsort(far, kind="stable")[:DONORS]
        donor = int(nearest[rng.integers(len(nearest))])
        result = self._results[donor]
        if not isinstance(result, Measured):
            return result
        values = [significant(float(x)) for x in curve + self._left[self._known.index(donor)]]
        count = len(self._readouts)
        return dataclasses.replace(
            result,
            readouts={
                name: None if result.readouts.get(name) is None else value
                for name, value in zip(self._readouts, values[:count], strict=True)
            },
            objects=max(0, round(values[count])),
            profile=tuple(
                None if own is None else value for own, value in zip(result.profile, values[count + 1 :], strict=True)
            ),
        )

    def _row(self, result: Measured | MeasurementFailed) -> list[float]:
        assert isinstance(result, Measured)
        known = [result.readouts.get(name) for name in self._readouts]
        return [np.nan if x is None else float(x) for x in (*known, float(result.objects), *result.profile)]

    def _distance(self, level: Floats, others: Floats) -> Floats:
        return np.asarray(np.sqrt((((others - level) / self._scale) ** 2).sum(axis=1)))

    def _local(self, level: Floats) -> Floats:
        at = self._at[self._known]
        far = self._distance(level, at)
        width = float(np.sort(far)[min(len(far), max(LEAST, round(SPAN * len(far)))) - 1])
        weight = np.clip(1 - (far / (1.0001 * width)) ** 3, 0, None) ** 3 if width > 0 else np.ones(len(far))
        design = np.column_stack([np.ones(len(at)), (at - level) / self._unit])
        return np.array([_intercept(design, column, weight) for column in self._values.T])


def _intercept(design: Floats, values: Floats, weight: Floats) -> float:
    """Return the weighted least-squares value at the origin of a design; NaN where no value is known."""
    use = np.isfinite(values) & (weight > 0)
    if not use.any():
        return float("nan")
    root = np.sqrt(weight[use])
    # The smallest solution: where all wells of a neighbourhood have one level, the slope is left at zero.
    found = np.linalg.lstsq(design[use] * root[:, None], values[use] * root, rcond=1e-9)[0]
    return float(found[0])


class DrawnPlate:
    """A plate whose fields are drawn when they are asked for (a `FieldSource`).

    Parameters
    ----------
    response : Response
        How readouts follow levels.
    levels : Levels
        Of the wells of this plate, with the noise between wells.
    plan : Plan
        Its wells; the seed of the plan decides all that is drawn.
    """

    def __init__(self, response: Response, levels: Levels, plan: Plan) -> None:
        self._response = response
        self._plan = plan
        names = [well.name for well in plan.wells]
        self._level = dict(zip(names, as_rows(levels, names), strict=True))
        self._curve: dict[str, Floats] = {}
        self._place = {well.name: (well.row, well.column) for well in plan.wells}

    def measured(self, well: str, field: str) -> Measured | MeasurementFailed:
        """Return what a field measures; the same in whatever order fields are asked for, and in a plan with fewer."""
        level = self._level[well]
        if well not in self._curve:
            self._curve[well] = self._response.curve(level[None, :])[0]
        # By its name, which is its number in the whole plate: a grid of some fields sees what a policy sees in them.
        key = (abs(self._plan.seed), int(self._plan.seed < 0), *self._place[well], int(field))
        return self._response.draw(level, self._curve[well], np.random.default_rng(key))


class KnownFields:
    """Fields that were measured before (a `FieldSource`)."""

    def __init__(self, results: Mapping[tuple[str, str], Measured | MeasurementFailed]) -> None:
        self._results = results

    def measured(self, well: str, field: str) -> Measured | MeasurementFailed:
        """Return what a field measured; KeyError where it was not."""
        return self._results[well, field]


def as_rows(levels: Levels, wells: Sequence[str]) -> Floats:
    """Return levels as an array of shape (wells, quantities)."""
    return np.array([[levels[quantity][well] for quantity in levels] for well in wells], dtype=np.float64)
