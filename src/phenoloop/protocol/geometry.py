"""Where wells and fields lie on the stage. +Y is up: row B lies at a lower y than row A, as in useq."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from phenoloop.model import WellShape

Offset = tuple[float, float]
"""Micrometres from the centre of the well, along the plate's own axes: +x to higher columns, +y to row A."""

_ATTEMPTS: Final = 400
_RANDOM: Final = 1
_CHOICE: Final = 2


@dataclass(frozen=True, slots=True)
class PlateGeometry:
    """A plate on the stage; lengths in micrometres.

    Attributes
    ----------
    rows, columns : int
        Size.
    spacing_um : (float, float)
        Distance of neighbouring wells along x and y.
    well_um : (float, float)
        Width and height of a well; the diameters where it is round.
    circular : bool
        Round wells.
    a1_um : (float, float)
        Stage position of the centre of A1.
    rotation_deg : float
        Anticlockwise.
    """

    rows: int
    columns: int
    spacing_um: tuple[float, float]
    well_um: tuple[float, float]
    circular: bool
    a1_um: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0

    def stage_um(self, row: int, column: int, offset: Offset = (0.0, 0.0)) -> tuple[float, float]:
        """Return the stage position of a point of a well.

        Parameters
        ----------
        row, column : int
            Zero-based place of the well.
        offset : (float, float)
            From its centre, along the plate's axes; turned with the plate.
        """
        x = column * self.spacing_um[0] + offset[0]
        y = -row * self.spacing_um[1] + offset[1]
        angle = math.radians(self.rotation_deg)
        cos, sin = math.cos(angle), math.sin(angle)
        # Rounded to the nanometre: the last bits of a sine are not the same on every machine.
        return (
            round(self.a1_um[0] + x * cos - y * sin, 3),
            round(self.a1_um[1] + x * sin + y * cos, 3),
        )

    def well_shape(self) -> WellShape:
        """Return how far a well reaches, for the guard over objects."""
        width, height = self.well_um
        return WellShape(width_um=width, height_um=height, circular=self.circular, rotation_deg=self.rotation_deg)

    def holds(self, offset: Offset, frame_um: tuple[float, float]) -> bool:
        """Return whether a whole frame around `offset` lies inside the well."""
        width, height = self.well_um[0] / 2, self.well_um[1] / 2
        x, y = abs(offset[0]) + frame_um[0] / 2, abs(offset[1]) + frame_um[1] / 2
        if self.circular:
            return (x / width) ** 2 + (y / height) ** 2 <= 1 + 1e-9
        return x <= width * (1 + 1e-9) and y <= height * (1 + 1e-9)


def grid_offsets(rows: int, columns: int, step_um: tuple[float, float]) -> list[Offset]:
    """Return a grid around the centre, in the order of a walk: from the top left, every second row backwards."""
    offsets: list[Offset] = []
    for row in range(rows):
        y = ((rows - 1) / 2 - row) * step_um[1]
        walk = range(columns) if row % 2 == 0 else range(columns - 1, -1, -1)
        offsets.extend(((column - (columns - 1) / 2) * step_um[0], y) for column in walk)
    return offsets


def random_offsets(
    count: int, geometry: PlateGeometry, frame_um: tuple[float, float], key: Sequence[int]
) -> list[Offset]:
    """Return points of a well whose frames lie inside it and do not overlap; fewer than `count` if no more fit.

    Parameters
    ----------
    count : int
        Points wanted.
    geometry : PlateGeometry
        Shape of the well.
    frame_um : (float, float)
        Width and height of a frame.
    key : sequence of int
        Seed, row and column: the same key gives the same points, whatever other wells there are.
    """
    rng = np.random.default_rng([*key, _RANDOM])
    half = ((geometry.well_um[0] - frame_um[0]) / 2, (geometry.well_um[1] - frame_um[1]) / 2)
    if min(half) < 0:
        return []
    found: list[Offset] = []
    for _ in range(_ATTEMPTS * count):
        if len(found) == count:
            break
        point = (round(float(rng.uniform(-half[0], half[0])), 3), round(float(rng.uniform(-half[1], half[1])), 3))
        clear = all(abs(point[0] - x) >= frame_um[0] or abs(point[1] - y) >= frame_um[1] for x, y in found)
        if clear and geometry.holds(point, frame_um):
            found.append(point)
    return walk_order(found)


def walk_order(points: Sequence[Offset]) -> list[Offset]:
    """Return points in the order of a short walk: nearest neighbour, from the top left one."""
    left = sorted(points, key=lambda point: (-point[1], point[0]))
    found = left[:1]
    left = left[1:]
    while left:
        here = found[-1]
        near = min(left, key=lambda point: (round(math.dist(here, point), 6), point))
        left.remove(near)
        found.append(near)
    return found


def choice_order(fields: int, key: Sequence[int]) -> tuple[int, ...]:
    """Return the order in which the next fields of a well are taken: a permutation keyed by seed, row and column."""
    return tuple(int(index) for index in np.random.default_rng([*key, _CHOICE]).permutation(fields))
