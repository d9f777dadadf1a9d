"""Where wanted objects are dense: by well, and inside a well, from the fields that were looked at.

Counts are Poisson, densities Gamma: a well that was not seen yet has the plate's mean, one with a lucky first field is
drawn back to it, and a field is expected to have what its neighbours had (Gamma-Poisson smoothing with a kernel).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import FieldPlace
from phenoloop.numerics.rounding import significant, significant_all

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHAPE: Final = 0.5
"""Shape of the Gamma distribution of densities between wells, and between places of a well: very uneven at first."""
_ALIKE: Final = 1e9
"""Expectations that agree to one part in so many objects per field are ties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Fields of one well that would be looked at next, and what is expected of them.

    Attributes
    ----------
    well : int
        Index in plate order.
    fields : tuple of str
        In the order in which they are wanted.
    expected : float
        Wanted objects per field.
    seen, found : float
        Fields of the well that were looked at, and what they held.
    """

    well: int
    fields: tuple[str, ...]
    expected: float
    seen: float
    found: float


class Abundance:
    """The places of a plate, in which order each well is walked, and what was looked at. Only `tried` changes it.

    Parameters
    ----------
    places : sequence of sequence of FieldPlace
        Fields of each well, in plate order.
    lattice : int
        Before anything is known of a well, every n-th field in both directions is looked at.
    """

    def __init__(self, places: Sequence[Sequence[FieldPlace]], lattice: int) -> None:
        # All tables have the fields of a well in the order in which it is walked.
        self._names: list[list[str]] = []
        self._column: list[dict[str, int]] = []
        self._near: list[Array] = []
        self._pattern = np.zeros(len(places), dtype=np.intp)
        shape = len(places), max((len(well) for well in places), default=0)
        self._left: Flags = np.zeros(shape, dtype=bool)
        self._coarse: Flags = np.zeros(shape, dtype=bool)
        self._looked: Flags = np.zeros(shape, dtype=bool)
        self._near_looked: Array = np.zeros(shape)
        known: dict[tuple[tuple[float, float], ...], tuple[int, list[int]]] = {}
        for i, well in enumerate(places):
            relative = _relative(well)
            if relative not in known:
                cover = _cover(relative)
                known[relative] = len(self._near), cover
                self._near.append(_kernel(relative)[np.ix_(cover, cover)])
            self._pattern[i], cover = known[relative]
            self._names.append([well[j].name for j in cover])
            self._column.append({name: column for column, name in enumerate(self._names[i])})
            self._left[i, : len(well)] = True
            self._coarse[i, : math.ceil(len(well) / lattice**2)] = True

    @property
    def fields(self) -> int:
        """Fields that were looked at."""
        return int(self._looked.sum())

    def tried(self, well: int, field: str, *, seen: bool) -> None:
        """Note that a field was imaged: it is not asked for again; `seen` where it could be searched."""
        column = self._column[well].get(field)
        if column is None:
            return
        self._left[well, column] = False
        if seen and not self._looked[well, column]:
            self._looked[well, column] = True
            near = self._near[self._pattern[well]]
            self._near_looked[well, : len(near)] += near[:, column]

    def cell(self, well: int, field: str) -> int:
        """Return the number of a field among all fields of the plate, as `scans` takes it; it must be one of them."""
        return well * int(self._left.shape[1]) + self._column[well][field]

    def scans(
        self,
        cells: Sequence[int],
        worth: Array,
        away: Iterable[tuple[int, str]],
        usable: Flags,
        fields_per_visit: int,
        most: int,
    ) -> tuple[list[Scan], float]:
        """Return one possible visit per well that has a field left, best first, and the plate's mean per field.

        Parameters
        ----------
        cells : sequence of int, length n
            Where objects were found (`cell`).
        worth : ndarray of float, shape (n,)
            How much of a wanted object each is.
        away : iterable of (int, str)
            Fields that are under way: well and name.
        usable : ndarray of bool, shape (wells,)
            Wells that may be asked for.
        fields_per_visit : int
            Fields of one visit.
        most : int
            Visits that are wanted.
        """
        left = self._left.copy()
        for well, name in away:
            if name in self._column[well]:
                left[well, self._column[well][name]] = False
        shape = left.shape
        held: Array = np.bincount(np.array(cells, dtype=np.intp), worth, left.size).astype(float).reshape(shape)
        looks, found = self._looked.sum(axis=1), held.sum(axis=1)
        mean = (SHAPE + float(found.sum())) / (1 + int(looks.sum()))
        density = (SHAPE + found) / (SHAPE / mean + looks)
        known = np.flatnonzero((looks > 0) & left.any(axis=1) & usable)
        columns, expected = self._wanted(known, held[known], left[known], density[known], fields_per_visit)
        all_expected = density.copy()
        all_expected[known] = expected
        all_expected = significant_all(all_expected)
        free = np.flatnonzero(left.any(axis=1) & usable)
        row = np.full(len(left), -1)
        row[known] = np.arange(len(known))
        scans = []
        for i in free[np.lexsort((free, -all_expected[free]))[:most]].tolist():
            # Of a well in which nothing was seen yet, all fields left are alike: it is walked in order.
            chosen = columns[row[i]] if row[i] >= 0 else np.flatnonzero(left[i])[:fields_per_visit].tolist()
            scans.append(
                Scan(
                    well=i,
                    fields=tuple(self._names[i][column] for column in chosen),
                    expected=float(all_expected[i]),
                    seen=float(looks[i]),
                    found=significant(float(found[i])),
                )
            )
        return scans, significant(mean)

    def _wanted(
        self, wells: NDArray[np.intp], held: Array, left: Flags, density: Array, most: int
    ) -> tuple[list[list[int]], Array]:
        """Return which fields of some wells come next, and how many wanted objects each is expected to have."""
        near_held = np.zeros(held.shape)
        for number, near in enumerate(self._near):
            rows = np.flatnonzero(self._pattern[wells] == number)
            # A plain einsum sums by itself, without a linear algebra library.
            near_held[rows, : len(near)] = np.einsum("wf,fg->wg", held[rows, : len(near)], near)
        local = (SHAPE + near_held) / (SHAPE / density[:, None] + self._near_looked[wells])
        coarse = self._coarse[wells] & left
        value = np.where(coarse, density[:, None], local)
        # The coarse lattice first, in order; then the densest, of equals the first: argmax takes the first of equals.
        rank = np.where(coarse, math.inf, np.where(left, np.rint(local * _ALIKE), -math.inf))
        columns: list[list[int]] = [[] for _ in wells]
        total, count = np.zeros(len(wells)), np.zeros(len(wells))
        every = np.arange(len(wells))
        for _ in range(most):
            best = rank.argmax(axis=1) if len(wells) else every
            some = rank[every, best] > -math.inf
            total[some] += value[every, best][some]
            count += some
            rank[every, best] = -math.inf
            for r in np.flatnonzero(some).tolist():
                columns[r].append(int(best[r]))
        return columns, total / np.maximum(count, 1)


def _relative(well: Sequence[FieldPlace]) -> tuple[tuple[float, float], ...]:
    """Return places from their middle, so that wells with the same pattern share what follows from it."""
    x, y = (sum(getattr(place, axis) for place in well) / max(1, len(well)) for axis in ("x_um", "y_um"))
    return tuple((round(place.x_um - x, 2), round(place.y_um - y, 2)) for place in well)


def _cover(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return an order that covers evenly however far one goes: the middle first, then always the farthest point."""
    order: list[int] = []
    far = [-round(math.hypot(*point), 2) for point in points]
    while len(order) < len(points):
        nearest = max((j for j in range(len(points)) if j not in order), key=lambda j: (far[j], -j))
        order.append(nearest)
        for j, point in enumerate(points):
            away = round(math.dist(point, points[nearest]), 2)
            far[j] = away if len(order) == 1 else min(far[j], away)
    return order


def _kernel(points: Sequence[tuple[float, float]]) -> Array:
    """Return how much each place says of each: a normal kernel as wide as neighbours lie apart."""
    xy = np.array(points, dtype=np.float64).reshape(-1, 2)
    away = np.hypot(xy[:, 0, None] - xy[:, 0], xy[:, 1, None] - xy[:, 1])
    others = away[away > 0]
    width = float(others.min()) if others.size else 1.0
    near: Array = np.exp(-0.5 * (away / width) ** 2)
    return near
