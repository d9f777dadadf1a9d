"""Some cells as a table: where they lie, how large they are, what they hold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Some cells of a well, as columns of equal length; lengths in micrometres, relative to the middle of the well.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Centre (y up, as the stage counts).
    a, b : ndarray of float64, shape (n,)
        Half-axes of the nucleus.
    angle : ndarray of float64, shape (n,)
        Of the first half-axis, radians, anticlockwise.
    shape : ndarray of float64, shape (n,)
        Number of the nucleus's stamp.
    stain : ndarray of float64, shape (n,)
        Brightness of the nuclear stain, about 1.
    intensity, nc_ratio, vesicles : ndarray of float64, shape (n,)
        Level of each cell; the number of vesicles is a whole number.
    rare : ndarray of float64, shape (n,)
        0: a cell like most; 1: a rare one; 2: one that only looks like it.
    phase : ndarray of float64, shape (n, 2)
        Where it is on its walk, 0..1.
    spot_cell : ndarray of int64, shape (m,)
        Index of the cell of each vesicle.
    spot_x, spot_y : ndarray of float64, shape (m,)
        Place of each vesicle relative to the centre of its cell.
    spot_peak : ndarray of float64, shape (m,)
        Brightness, about 1.
    """

    x: Array
    y: Array
    a: Array
    b: Array
    angle: Array
    shape: Array
    stain: Array
    intensity: Array
    nc_ratio: Array
    vesicles: Array
    rare: Array
    phase: Array
    spot_cell: NDArray[np.int64]
    spot_x: Array
    spot_y: Array
    spot_peak: Array

    def __len__(self) -> int:
        return len(self.x)

    @staticmethod
    def none() -> Cells:
        """Return a table without cells."""
        columns: dict[str, Any] = {field.name: np.empty(0) for field in dataclasses.fields(Cells)}
        return Cells(**columns | {"phase": np.empty((0, 2)), "spot_cell": np.empty(0, np.int64)})

    @staticmethod
    def joined(parts: list[Cells]) -> Cells:
        """Return all cells of some tiles in one table."""
        if not parts:
            return Cells.none()
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Cells)
            if field.name != "spot_cell"
        }
        spot_cell = np.concatenate([part.spot_cell + start for part, start in zip(parts, starts, strict=True)])
        return Cells(spot_cell=spot_cell, **columns)
