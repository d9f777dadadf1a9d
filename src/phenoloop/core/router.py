"""The order in which a batch is visited: least time from where the stage is, objective changes included.

It never drops a visit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from phenoloop.model import CostModel, WellPlan
from phenoloop.numerics.rounding import significant

_SERPENTINE_ABOVE: Final = 64
"""Beyond this many wells 2-opt costs more than it saves; rows walked to and fro are then nearly as short."""


_WORTH_S: Final = 1e-6
"""A shorter path must be shorter by more than rounding."""


class Trip(NamedTuple):
    """Where a visit goes: its well, and the preset of its objective (None leaves the turret alone)."""

    well: WellPlan
    objective: str | None = None

    def way_s(self, other: Trip, cost: CostModel) -> float:
        """Return the time from here to another stop."""
        change_s = cost.objective_s if self.objective != other.objective else 0.0
        return change_s + cost.move_s(self.well.x_um - other.well.x_um, self.well.y_um - other.well.y_um)


def route(stops: Sequence[Trip], start: Trip | None, cost: CostModel) -> list[int]:
    """Order stops by the time between them: nearest neighbour, then 2-opt (Croes 1958, doi:10.1287/opre.6.6.791).

    Parameters
    ----------
    stops : sequence of Trip
        In the order of the policy; the same well may come twice.
    start : Trip or None
        Where the stage is, and under which objective; None begins at the first stop in plate order.
    cost : CostModel
        Time of a move and of a change of objective.

    Returns
    -------
    list of int
        A permutation of ``range(len(stops))``. Equal costs keep plate order.
    """
    if len(stops) > _SERPENTINE_ABOVE:
        in_place = None if start is None else start.objective
        return sorted(
            range(len(stops)), key=lambda i: (*_objective_first(stops[i], in_place), *_serpentine(stops[i]), i)
        )
    plate_order = sorted(range(len(stops)), key=lambda i: (stops[i].well.row, stops[i].well.column, i))
    points = [stops[i] for i in plate_order]
    if start is not None:
        points.insert(0, start)
    travel = [[significant(a.way_s(b, cost)) for b in points] for a in points]
    path = _shortest(travel, fixed=0 if start is None else 1)
    return [plate_order[i - 1] for i in path[1:]] if start is not None else [plate_order[i] for i in path]


def walk(points: Sequence[tuple[float, float]], cost: CostModel) -> list[int]:
    """Order places inside a well by stage travel, from the first in their order along x, then y.

    Parameters
    ----------
    points : sequence of (x_um, y_um)
        The places.
    cost : CostModel
        Time of a move.
    """
    if len(points) > _SERPENTINE_ABOVE:
        return sorted(range(len(points)), key=lambda i: (*points[i], i))
    along = sorted(range(len(points)), key=lambda i: (*points[i], i))
    travel = [
        [significant(cost.move_s(points[i][0] - points[j][0], points[i][1] - points[j][1])) for j in along]
        for i in along
    ]
    return [along[i] for i in _shortest(travel, fixed=0)]


def _objective_first(stop: Trip, in_place: str | None) -> tuple[bool, str]:
    return stop.objective != in_place, stop.objective or ""


def _serpentine(stop: Trip) -> tuple[int, int]:
    return stop.well.row, stop.well.column if stop.well.row % 2 == 0 else -stop.well.column


def _shortest(travel: list[list[float]], *, fixed: int) -> list[int]:
    path = _nearest_neighbour(travel)
    _two_opt(path, travel, fixed=fixed)
    return path


def _nearest_neighbour(travel: list[list[float]]) -> list[int]:
    """Begin at 0, always go to the nearest point that is left; of equals to the first."""
    path, left = [0][: len(travel)], list(range(1, len(travel)))
    while left:
        here = travel[path[-1]]
        nearest = min(left, key=here.__getitem__)
        left.remove(nearest)
        path.append(nearest)
    return path


def _two_opt(path: list[int], travel: list[list[float]], *, fixed: int) -> None:
    """Turn stretches of the path around, in place, while that makes it shorter; the first `fixed` points stay."""
    improved = True
    while improved:
        improved = False
        for i in range(fixed, len(path) - 1):
            for j in range(i + 1, len(path)):
                gain = 0.0
                if i > 0:
                    gain += travel[path[i - 1]][path[i]] - travel[path[i - 1]][path[j]]
                if j + 1 < len(path):
                    gain += travel[path[j]][path[j + 1]] - travel[path[i]][path[j + 1]]
                if gain > _WORTH_S:
                    path[i : j + 1] = reversed(path[i : j + 1])
                    improved = True
