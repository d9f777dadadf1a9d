"""What was seen of every well, as columns: fields, failures, and mean and spread of every readout. Fed by `tell`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from phenoloop.model import CONFIRM, Context, Setup, Visit, VisitResult
from phenoloop.numerics.rounding import significant
from phenoloop.policies.told import MAX_FAILED

Column = NDArray[np.float64]
"""One number per well in plate order, shape (wells,); NaN is unknown."""


@dataclass(slots=True)
class WellSeen:
    """One well: the readouts of its accepted fields, and what became of all of them."""

    fields: dict[str, dict[str, float]] = field(default_factory=dict)
    """By field, the newest accepted look under ``main``."""
    tried: int = 0
    rejected: int = 0
    missing: int = 0
    failed_in_a_row: int = 0
    last_s: float = math.nan
    used: dict[str, dict[str, None]] = field(default_factory=dict)
    """By profile, the fields that were given a visit."""


class PlateTable:
    """The wells of a plate as columns. Sums are exact, so no order of tells shows in a number.

    Images that were taken to confirm a call are counted as tried and have no part in any readout.

    Parameters
    ----------
    setup : Setup
        Wells, readouts, controls.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._index = {well: i for i, well in enumerate(setup.wells)}
        self.readouts: tuple[str, ...] = readouts_of(setup)
        """Names of the readouts that have columns."""
        self.wells = [WellSeen() for _ in setup.wells]
        """By well in plate order."""
        self._n = {name: np.zeros(len(setup.wells)) for name in self.readouts}
        self._mean = {name: np.full(len(setup.wells), np.nan) for name in self.readouts}
        self._sd = {name: np.full(len(setup.wells), np.nan) for name in self.readouts}
        # Kept up to date well by well: a large plate is counted too slowly for every ask.
        self._half_width = {name: np.full(len(setup.wells), np.nan) for name in self.readouts}
        self._accepted = np.zeros(len(setup.wells))
        self._used: dict[str, NDArray[np.int64]] = {}
        self._failing = np.zeros(len(setup.wells), dtype=np.bool_)

    def place(self, well: str) -> int | None:
        """Return the row of a well; None for one that was not selected."""
        return self._index.get(well)

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; one that was denied changes nothing."""
        i = self._index.get(visit.well)
        if i is None or all(one.status == "vetoed" for one in result.fields):
            return
        well = self.wells[i]
        well.last_s = result.at_s
        for one in result.fields:
            well.used.setdefault(visit.profile, {})[one.field] = None
            if visit.profile != "main":
                continue
            well.tried += 1
            well.rejected += one.status == "qc_fail"
            well.missing += one.status in ("missing", "late")
            well.failed_in_a_row = 0 if one.status == "ok" else well.failed_in_a_row + 1
            if one.status == "ok" and visit.role != CONFIRM:
                known = {name: value for name, value in one.readouts.items() if value is not None}
                well.fields[one.field] = {name: value for name, value in known.items() if math.isfinite(value)}
        if result.fields:
            counts = self._used.setdefault(visit.profile, np.zeros(len(self.wells), dtype=np.int64))
            counts[i] = len(well.used[visit.profile])
        self._sum(i)

    def _sum(self, i: int) -> None:
        self._accepted[i] = len(self.wells[i].fields)
        self._failing[i] = self.wells[i].failed_in_a_row >= MAX_FAILED
        for name in self.readouts:
            values = [seen[name] for seen in self.wells[i].fields.values() if name in seen]
            mean, sd = mean_and_sd(values)
            self._n[name][i], self._mean[name][i], self._sd[name][i] = len(values), mean, sd
            self._half_width[name][i] = math.nan
            if len(values) >= 2:
                t = float(stdtrit(len(values) - 1, 1 - self._setup.level / 2))
                self._half_width[name][i] = significant(t * sd / math.sqrt(len(values)))

    # -- columns ----------------------------------------------------------------------------------------------------

    @property
    def accepted(self) -> Column:
        """Accepted fields of each well."""
        return self._accepted.copy()

    def n(self, readout: str) -> Column:
        """Accepted fields of each well in which a readout is known."""
        return self._n[readout].copy()

    def mean(self, readout: str) -> Column:
        """Mean of a readout over the fields of each well."""
        return self._mean[readout].copy()

    def sd(self, readout: str) -> Column:
        """Standard deviation of a readout between the fields of each well; unknown below two."""
        return self._sd[readout].copy()

    def half_width(self, readout: str) -> Column:
        """Half-width of Student's t interval of each well's mean, at the level of the question."""
        return self._half_width[readout].copy()

    def mean_of(self, readout: str, wells: tuple[str, ...]) -> tuple[float, float]:
        """Return mean and standard deviation between some wells, each as its own mean; NaN where too few are known."""
        means = [float(self._mean[readout][self._index[well]]) for well in wells if well in self._index]
        return mean_and_sd([value for value in means if not math.isnan(value)])

    def used(self, i: int, profile: str) -> dict[str, None]:
        """Return the fields of a well that were given a visit under a profile."""
        return self.wells[i].used.get(profile, {})

    def used_fields(self, profile: str) -> NDArray[np.int64]:
        """Return how many fields of each well were given a visit under a profile, shape (wells,)."""
        counts = self._used.get(profile)
        return np.zeros(len(self.wells), dtype=np.int64) if counts is None else counts.copy()

    def left(self, context: Context) -> NDArray[np.int64]:
        """Return the fields of each well that may be asked for under ``main``; 0 where image after image fails."""
        left = np.array([*map(context.fields_left.get, self._setup.wells, repeat(0))], dtype=np.int64)
        left[self._failing] = 0
        return left

    def pending(self, context: Context) -> NDArray[np.int64]:
        """Return the fields of each well that are under way, whatever the profile."""
        fields = np.zeros(len(self.wells), dtype=np.int64)
        for visit in context.pending:
            if visit.well in self._index:
                fields[self._index[visit.well]] += visit.fields
        return fields

    def left_alone(self) -> list[str]:
        """Return the wells in which one image after another failed."""
        return [name for name, failing in zip(self._setup.wells, self._failing, strict=True) if failing]


def readouts_of(setup: Setup) -> tuple[str, ...]:
    """Return the names of the readouts that fields will have."""
    return setup.readouts or (() if setup.readout is None else (setup.readout,))


def mean_and_sd(values: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation, rounded to nine digits; NaN of too few."""
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return significant(mean), math.nan
    return significant(mean), significant(
        math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    )
