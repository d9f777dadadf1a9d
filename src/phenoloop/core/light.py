"""Where light fell on the sample: frames as rectangles in stage coordinates, so that overlapping fields add up.

An object is lit by every frame that shows its place, whatever the field or the profile is called. Nobody knows all
objects, so the account is kept for every place: what the most exposed place of a frame has got is what the most exposed
object in it can have got. Light outside the camera's frame is not known and not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_WORTH_UM: Final = 1e-3
"""Frames that share less than this share an edge, not a place."""


class Frame(NamedTuple):
    """A frame in the sample: stage position of its centre, width and height, micrometres."""

    x_um: float
    y_um: float
    width_um: float
    height_um: float

    def meets(self, other: Frame) -> bool:
        """Return whether the two have a place in common."""
        return (
            abs(self.x_um - other.x_um) < (self.width_um + other.width_um) / 2 - _WORTH_UM
            and abs(self.y_um - other.y_um) < (self.height_um + other.height_um) / 2 - _WORTH_UM
        )


@dataclass(slots=True)
class LightMap:
    """Seconds of exposure at full power by place.

    Parameters
    ----------
    cell_um : float
        Frames are sorted into squares of this size; the widest frame is a good one.
    """

    cell_um: float
    _given: dict[Frame, float] = field(default_factory=dict)
    _cells: dict[tuple[int, int], dict[Frame, None]] = field(default_factory=dict)

    def copy(self) -> LightMap:
        """Return a map that can be added to without changing this one."""
        cells = {cell: dict(frames) for cell, frames in self._cells.items()}
        return LightMap(self.cell_um, dict(self._given), cells)

    def add(self, frame: Frame, seconds: float) -> None:
        """Count light; a negative number takes back what was reserved."""
        if frame not in self._given:
            for cell in self._cells_of(frame):
                self._cells.setdefault(cell, {})[frame] = None
        self._given[frame] = self._given.get(frame, 0.0) + seconds

    def most(self, frame: Frame) -> float:
        """Return the light of the most exposed place inside a frame.

        The sum over rectangles is constant between their edges, so it is enough to look where a left edge and a lower
        edge cross, inside the frame.
        """
        near = dict.fromkeys(other for cell in self._cells_of(frame) for other in self._cells.get(cell, ()))
        others = [other for other in near if other.meets(frame) and self._given[other] > 0]
        if not others:
            return 0.0
        left, low = _lower(frame)
        xs = dict.fromkeys(max(left, _lower(other)[0]) + _WORTH_UM / 2 for other in others)
        ys = dict.fromkeys(max(low, _lower(other)[1]) + _WORTH_UM / 2 for other in others)
        return max(self._at(x, y, others) for x in xs for y in ys)

    def _at(self, x_um: float, y_um: float, frames: list[Frame]) -> float:
        return math.fsum(
            self._given[one]
            for one in frames
            if abs(one.x_um - x_um) <= one.width_um / 2 and abs(one.y_um - y_um) <= one.height_um / 2
        )

    def _cells_of(self, frame: Frame) -> list[tuple[int, int]]:
        left, low = _lower(frame)
        columns = range(math.floor(left / self.cell_um), math.floor((left + frame.width_um) / self.cell_um) + 1)
        rows = range(math.floor(low / self.cell_um), math.floor((low + frame.height_um) / self.cell_um) + 1)
        return [(column, row) for column in columns for row in rows]


def _lower(frame: Frame) -> tuple[float, float]:
    return frame.x_um - frame.width_um / 2, frame.y_um - frame.height_um / 2
