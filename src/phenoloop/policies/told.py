"""What every policy remembers: per well, the accepted values and the failures in a row. Only `tell` changes it."""

from __future__ import annotations

import math
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import CONFIRM, Context, Setup, Visit, VisitResult
from phenoloop.numerics.well_sums import WellSums, summarise

MAX_FAILED: Final = 3
"""Fields in a row without a usable value after which an adaptive policy leaves a well alone."""
MAX_VETOED: Final = 2
"""Denials in a row after which a well is not proposed again: nothing was spent, so it could go on for ever."""


class Told:
    """The tells of a run, by well in plate order.

    A field that was rejected, missing, late or without a value is never averaged; it only counts as a failure. A field
    taken to confirm a call is counted and not averaged: what chose the well must not be mixed with what judges it.

    Parameters
    ----------
    setup : Setup
        Wells.
    readout : str or None
        The number to remember of each field; None remembers which fields were accepted, with the value 0.
    """

    def __init__(self, setup: Setup, readout: str | None) -> None:
        self._index = {well: i for i, well in enumerate(setup.wells)}
        self._readout = readout
        self._values: list[dict[str, float]] = [{} for _ in setup.wells]
        # Kept up to date well by well: a large plate is summed too slowly for every ask.
        self._sums = summarise([()] * len(setup.wells))
        self._first = summarise([()] * len(setup.wells))
        self.confirmed = [0] * len(setup.wells)
        """Accepted fields of each well that were taken to confirm its call."""
        self.fields = 0
        """Fields that were tried, whatever became of them."""
        self.looked_at = 0
        """Wells of which anything is known."""
        self._failed = [0] * len(setup.wells)
        self._vetoed = [0] * len(setup.wells)

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        i = self._index.get(visit.well)
        if i is None or visit.profile != "main":
            return
        if all(field.status == "vetoed" for field in result.fields):
            self._vetoed[i] += 1
            return
        self._vetoed[i] = 0
        self.fields += len(result.fields)
        was_new = not self._values[i]
        for field in result.fields:
            value = 0.0 if self._readout is None else field.readouts.get(self._readout)
            if field.status == "ok" and value is not None and math.isfinite(value):
                if visit.role == CONFIRM:
                    self.confirmed[i] += 1
                else:
                    self._values[i][field.field] = value
                self._failed[i] = 0
            else:
                self._failed[i] += 1
        now = summarise([list(self._values[i].values())])
        self.looked_at += was_new and bool(self._values[i])
        for known in (self._sums, self._first) if was_new else (self._sums,):
            known.n[i], known.mean[i], known.scatter[i] = now.n[0], now.mean[0], now.scatter[0]

    def sums(self) -> WellSums:
        """Return count, mean and scatter of the accepted values of each well."""
        return WellSums(self._sums.n.copy(), self._sums.mean.copy(), self._sums.scatter.copy())

    def first_looks(self) -> WellSums:
        """Return the same of the first visit to each well that gave a value."""
        return WellSums(self._first.n.copy(), self._first.mean.copy(), self._first.scatter.copy())

    def pending(self, context: Context) -> NDArray[np.int64]:
        """Return the fields of each well that are under way."""
        fields = np.zeros(len(self._values), dtype=np.int64)
        for visit in context.pending:
            fields[self._index[visit.well]] += visit.fields
        return fields

    def left(self, context: Context, *, patient: bool = False) -> NDArray[np.int64]:
        """Return the fields of each well that may be asked for; 0 in a well that is better left alone.

        Parameters
        ----------
        context : Context
            Of this ask.
        patient : bool
            Keep wells whose images fail: for a policy whose order must not depend on results.
        """
        left = np.array([*map(context.fields_left.get, self._index, repeat(0))], dtype=np.int64)
        left[np.array(self._vetoed) >= MAX_VETOED] = 0
        if not patient:
            left[np.array(self._failed) >= MAX_FAILED] = 0
        return left

    def left_alone(self) -> list[str]:
        """Return the wells that are better left alone, in plate order."""
        return [
            well for well, i in self._index.items() if self._failed[i] >= MAX_FAILED or self._vetoed[i] >= MAX_VETOED
        ]
