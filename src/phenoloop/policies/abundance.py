"""Where wanted objects are dense: by well, and inside a well, from the fields that were looked at.

Counts are Poisson, densities Gamma: a well that was not seen yet has the plate's mean, one with a lucky first field is
drawn back to it, and a field is expected to have what its neighbours had (Gamma-Poisson smoothing with a kernel).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import FieldPlace
from phenoloop.numerics.rounding import significant

Array = NDArray[np.float64]

SHAPE: Final = 0.5
"""Shape of the Gamma distribution of densities between wells, and between places of a well: very uneven at first."""


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
    """The places of a plate, and in which order each well is walked.

    Parameters
    ----------
    places : sequence of sequence of FieldPlace
        Fields of each well, in plate order.
    lattice : int
        Before anything is known of a well, every n-th field in both directions is looked at.
    """

    def __init__(self, places: Sequence[Sequence[FieldPlace]], lattice: int) -> None:
        self._names = [[place.name for place in well] for well in places]
        self._cover: list[list[int]] = []
        self._near: list[Array] = []
        self._coarse = [math.ceil(len(well) / lattice**2) for well in places]
        known: dict[tuple[tuple[float, float], ...], tuple[list[int], Array]] = {}
        for well in places:
            shape = _relative(well)
            if shape not in known:
                known[shape] = _cover(shape), _kernel(shape)
            cover, near = known[shape]
            self._cover.append(cover)
            self._near.append(near)

    def scans(
        self,
        seen: Sequence[Mapping[str, float]],
        taken: Sequence[frozenset[str]],
        fields_per_visit: int,
    ) -> tuple[list[Scan], float]:
        """Return one possible visit per well that has a field left, best first, and the plate's mean per field.

        Parameters
        ----------
        seen : sequence of mapping of str to float
            For each well, what each field that was looked at held.
        taken : sequence of frozenset of str
            For each well, fields that may not be asked for.
        fields_per_visit : int
            Fields of one visit.
        """
        total, looks = sum(sum(well.values()) for well in seen), sum(len(well) for well in seen)
        mean = (SHAPE + total) / (1 + looks)
        scans = [
            scan
            for i in range(len(self._names))
            if (scan := self._scan(i, seen[i], taken[i], mean, fields_per_visit)) is not None
        ]
        return sorted(scans, key=lambda scan: (-scan.expected, scan.well)), significant(mean)

    def _scan(
        self, i: int, seen: Mapping[str, float], taken: frozenset[str], mean: float, fields_per_visit: int
    ) -> Scan | None:
        names, cover = self._names[i], self._cover[i]
        left = [j for j in cover if names[j] not in taken]
        if not left:
            return None
        found = sum(seen.values())
        density = (SHAPE + found) / (SHAPE / mean + len(seen))
        coarse = [j for j in cover[: self._coarse[i]] if names[j] not in taken]
        held = np.array([seen.get(name, 0.0) for name in names])
        looked = np.array([float(name in seen) for name in names])
        near = self._near[i]
        local = (SHAPE + (near * held).sum(axis=1)) / (SHAPE / density + (near * looked).sum(axis=1))
        rank = {j: place for place, j in enumerate(left)}
        dense = sorted(left, key=lambda j: (-significant(float(local[j])), rank[j]))
        chosen = (coarse + [j for j in dense if j not in coarse])[:fields_per_visit]
        expected = float(np.mean([density if j in coarse else local[j] for j in chosen]))
        return Scan(
            well=i,
            fields=tuple(names[j] for j in chosen),
            expected=significant(expected),
            seen=float(len(seen)),
            found=significant(found),
        )


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
