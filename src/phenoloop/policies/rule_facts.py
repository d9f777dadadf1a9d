"""The names that a rule can use: what each means, what it can be, and its column for all wells or fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Setup
from phenoloop.policies.plate_table import Column, PlateTable, readouts_of
from phenoloop.protocol.expression_spans import Range

SHARES: Final = Range(0.0, 1.0, needs=(("n_tried", 1.0),))
COUNT: Final = Range(0.0, math.inf, whole=True)
TIME: Final = Range(0.0, math.inf)


@dataclass(slots=True)
class FieldSeen:
    """One field: its newest readouts under any profile, and its looks."""

    well: int
    name: str
    readouts: dict[str, float]
    looks: int = 0
    last_s: float = math.nan


def vocabulary(setup: Setup, level: str, declared: Mapping[str, tuple[float | None, float | None]]) -> dict[str, Range]:
    """Return every name that a rule of a level can use, with what it can be.

    Parameters
    ----------
    setup : Setup
        Readouts, controls, plate map.
    level : str
        ``"well"`` or ``"field"``.
    declared : mapping of str to (float or None, float or None)
        What readouts can be, where the protocol says so.
    """
    most = float(max(setup.fields, default=0))
    found: dict[str, Range] = {name: _column_range(setup, name) for row in setup.properties for name in row}
    found |= {
        "well": Range(words=setup.wells),
        "is_control": Range(0.0, 1.0, whole=True),
        "n_fields": Range(0.0, most, whole=True),
        "n_tried": COUNT,
        "fields_left": Range(0.0, most, whole=True),
        "accepted_share": SHARES,
        "rejected_share": SHARES,
        "missing_share": SHARES,
        "since_s": Range(0.0, math.inf, needs=(("n_tried", 1.0),)),
        "at_s": TIME,
        "plate_fields": COUNT,
        "plate_wells": Range(0.0, float(len(setup.wells)), whole=True),
    }
    for readout in readouts_of(setup):
        found |= _of_readout(setup, readout, *_declared(declared.get(readout)))
    if level == "field":
        found["n_looks"] = Range(1.0, math.inf, whole=True)
        found["since_s"] = TIME
        for readout in readouts_of(setup):
            found[readout] = Range(*_declared(declared.get(readout)))
    return found


def _declared(given: tuple[float | None, float | None] | None) -> tuple[float, float]:
    low, high = given if given is not None else (None, None)
    return -math.inf if low is None else low, math.inf if high is None else high


def _column_range(setup: Setup, column: str) -> Range:
    cells = [row.get(column) for row in setup.properties]
    words = [cell for cell in cells if isinstance(cell, str)]
    if words:
        return Range(words=tuple(dict.fromkeys(words)))
    numbers = [float(cell) for cell in cells if cell is not None]
    return Range(min(numbers), max(numbers)) if numbers else Range()


def _of_readout(setup: Setup, name: str, low: float, high: float) -> dict[str, Range]:
    width = high - low
    seen, twice = (("n_fields", 1.0),), (("n_fields", 2.0),)
    found = {
        f"mean_{name}": Range(low, high, needs=seen),
        f"sd_{name}": Range(0.0, width, needs=twice),
        f"half_width_{name}": Range(0.0, math.inf, needs=twice),
    }
    if setup.controls:
        found |= {
            f"control_mean_{name}": Range(low, high, needs=(("plate_fields", 1.0),)),
            f"control_sd_{name}": Range(0.0, width, needs=(("plate_fields", 2.0),)),
            f"effect_{name}": Range(-width, width, needs=(*seen, ("plate_fields", 1.0))),
            f"z_{name}": Range(needs=(*seen, ("plate_fields", 2.0))),
        }
    if setup.controls and setup.plateau:
        found[f"control_gap_{name}"] = Range(0.0, width, needs=(("plate_fields", 2.0),))
    return found


def meaning(name: str) -> str:
    """Return what a name needs to be known, for a message about one that is unknown."""
    if name.startswith(("sd_", "half_width_")):
        return "two accepted fields of the well"
    if name.startswith(("control_", "z_", "effect_")):
        return "accepted fields of the well and of control wells"
    return "an accepted field"


class Facts:
    """Columns of the names, computed when they are asked for.

    Parameters
    ----------
    setup : Setup
        The plate.
    table : PlateTable
        What was seen of the wells.
    fields : list of FieldSeen
        What was seen of the fields, in the order in which they were first seen.
    left : ndarray of int, shape (wells,)
        Fields that may be asked for under ``main``.
    at_s : float
        Run clock.
    """

    def __init__(
        self, setup: Setup, table: PlateTable, fields: list[FieldSeen], left: NDArray[np.int64], at_s: float
    ) -> None:
        self._setup = setup
        self._table = table
        self._fields = fields
        self._left = left
        self.at_s = at_s

    def rows(self, level: str) -> int:
        """Return how many wells, or fields that were seen, there are."""
        return len(self._setup.wells) if level == "well" else len(self._fields)

    def columns(self, names: tuple[str, ...], level: str) -> dict[str, NDArray[Any]]:
        """Return the columns of some names, each of shape (rows,): numbers, or words as objects."""
        names = tuple(name for name in names if name != "field")
        if level == "well" or not names:
            return {name: self._of_wells(name) for name in names}
        wells = np.array([one.well for one in self._fields], dtype=np.int64)
        return {name: self._of_fields(name, wells) for name in names}

    def _of_fields(self, name: str, wells: NDArray[np.int64]) -> NDArray[Any]:
        if name == "n_looks":
            return np.array([one.looks for one in self._fields], dtype=np.float64)
        if name == "since_s":
            return np.array([self.at_s - one.last_s for one in self._fields])
        if name in self._table.readouts:
            return np.array([one.readouts.get(name, np.nan) for one in self._fields])
        found: NDArray[Any] = self._of_wells(name)[wells]
        return found

    def _of_wells(self, name: str) -> NDArray[Any]:
        count = len(self._setup.wells)
        seen = self._table.wells
        match name:
            case "well":
                return np.array(self._setup.wells, dtype=object)
            case "is_control":
                return np.array([float(well in self._setup.controls) for well in self._setup.wells])
            case "n_fields":
                return self._table.accepted
            case "n_tried":
                return np.array([well.tried for well in seen], dtype=np.float64)
            case "fields_left":
                return self._left.astype(np.float64)
            case "accepted_share":
                return _share([well.tried - well.rejected - well.missing for well in seen], seen)
            case "rejected_share":
                return _share([well.rejected for well in seen], seen)
            case "missing_share":
                return _share([well.missing for well in seen], seen)
            case "since_s":
                return np.array([self.at_s - well.last_s for well in seen])
            case "at_s":
                return np.full(count, self.at_s)
            case "plate_fields":
                return np.full(count, float(self._table.accepted.sum()))
            case "plate_wells":
                return np.full(count, float((self._table.accepted > 0).sum()))
        for readout in self._table.readouts:
            if name.endswith(f"_{readout}") and (found := self._of_readout(name, readout, count)) is not None:
                return found
        cells = [row.get(name) for row in self._setup.properties]
        if any(isinstance(cell, str) for cell in cells):
            return np.array([cell if isinstance(cell, str) else None for cell in cells], dtype=object)
        return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)

    def _of_readout(self, name: str, readout: str, count: int) -> Column | None:
        table = self._table
        mean, sd = table.mean_of(readout, self._setup.controls)
        match name.removesuffix(f"_{readout}"):
            case "mean":
                return table.mean(readout)
            case "sd":
                return table.sd(readout)
            case "half_width":
                return table.half_width(readout)
            case "control_mean":
                return np.full(count, mean)
            case "control_sd":
                return np.full(count, sd)
            case "effect":
                return table.mean(readout) - mean
            case "z":
                with np.errstate(divide="ignore", invalid="ignore"):
                    found: Column = (table.mean(readout) - mean) / sd
                return np.where(np.isfinite(found), found, np.nan)
            case "control_gap":
                return np.full(count, abs(table.mean_of(readout, self._setup.plateau)[0] - mean))
        return None


def _share(parts: list[int], seen: list[Any]) -> Column:
    return np.array([part / well.tried if well.tried else np.nan for part, well in zip(parts, seen, strict=True)])
