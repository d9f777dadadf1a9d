"""The order in which a batch is visited: shortest travel from where the stage is. It never drops a visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from phenoloop.model import CostModel, WellPlan
from phenoloop.numerics.rounding import significant

_SERPENTINE_ABOVE: Final = 64
"""Beyond this many wells 2-opt costs more than it saves; rows walked to and fro are then nearly as short."""


_WORTH_S: Final = 1e-6
"""A shorter path must be shorter by more than rounding."""


def route(wells: Sequence[WellPlan], start: tuple[float, float] | None, cost: CostModel) -> list[int]:
    """Order wells by stage travel: nearest neighbour, then 2-opt (Croes 1958, doi:10.1287/opre.6.6.791).

    Parameters
    ----------
    wells : sequence of WellPlan
        Targets, in the order of the policy; the same well may come twice.
    start : (x_um, y_um) or None
        Where the stage is; None begins at the first target.
    cost : CostModel
        Time of a move.

    Returns
    -------
    list of int
        A permutation of ``range(len(wells))``. Equal costs keep plate order.
    """
    if len(wells) > _SERPENTINE_ABOVE:
        return sorted(
            range(len(wells)),
            key=lambda i: (wells[i].row, wells[i].column if wells[i].row % 2 == 0 else -wells[i].column, i),
        )
    plate_order = sorted(range(len(wells)), key=lambda i: (wells[i].row, wells[i].column, i))
    points = [(wells[i].x_um, wells[i].y_um) for i in plate_order]
    if start is not None:
        points.insert(0, start)
    travel = [[significant(cost.move_s(a[0] - b[0], a[1] - b[1])) for b in points] for a in points]
    path = _nearest_neighbour(travel)
    _two_opt(path, travel, fixed=0 if start is None else 1)
    return [plate_order[i - 1] for i in path[1:]] if start is not None else [plate_order[i] for i in path]


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
