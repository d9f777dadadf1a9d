"""Where things are: fields, wells, and the box that the stage may not leave."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

Scalar = float | int | str | bool | None
"""One cell of a plate map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """A place in a well that a visit may choose.

    Attributes
    ----------
    name : str
        Unique in its well; ``"0"``, ``"1"`` ... unless the protocol or a manifest says otherwise.
    x_um, y_um : float
        Absolute stage position of the centre of the field.
    z_um : float or None
        Absolute focus position; None means that Z is never commanded.
    """

    name: str
    x_um: float
    y_um: float
    z_um: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WellPlan:
    """A selected well.

    Attributes
    ----------
    name : str
        ``"B3"``.
    row, column : int
        Zero-based place on the plate.
    x_um, y_um : float
        Absolute stage position of its centre.
    fields : tuple of FieldPlace
        In the order in which a stage would walk through them.
    choice : tuple of int
        The order in which "the next fields" are taken: a seeded permutation of ``range(len(fields))``, so that few
        fields still stand for the whole well.
    properties : mapping
        Its row of the plate map, without the well column.
    """

    name: str
    row: int
    column: int
    x_um: float
    y_um: float
    fields: tuple[FieldPlace, ...]
    choice: tuple[int, ...]
    properties: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WellShape:
    """How far a well reaches around its centre.

    Attributes
    ----------
    width_um, height_um : float
        The diameters where it is round.
    circular : bool
        Round.
    rotation_deg : float
        Of the plate on the stage, anticlockwise.
    """

    width_um: float
    height_um: float
    circular: bool = True
    rotation_deg: float = 0.0

    def holds(self, dx_um: float, dy_um: float) -> bool:
        """Return whether a point, as an offset of the stage from the centre of the well, lies inside."""
        angle = math.radians(-self.rotation_deg)
        u = dx_um * math.cos(angle) - dy_um * math.sin(angle)
        v = dx_um * math.sin(angle) + dy_um * math.cos(angle)
        if self.circular:
            return (2 * u / self.width_um) ** 2 + (2 * v / self.height_um) ** 2 <= 1
        return abs(u) <= self.width_um / 2 and abs(v) <= self.height_um / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBox:
    """Where the stage may be sent, micrometres, inclusive. ``None`` bounds nothing."""

    x_um: tuple[float, float] | None = None
    y_um: tuple[float, float] | None = None
    z_um: tuple[float, float] | None = None

    def holds(self, x_um: float, y_um: float, z_um: float | None = None) -> bool:
        """Return whether a position is inside. A position that is not a number never is."""
        pairs = ((self.x_um, x_um), (self.y_um, y_um), (self.z_um, z_um))
        for bounds, value in pairs:
            if value is None:
                continue
            if value != value or value in (float("inf"), float("-inf")):
                return False
            if bounds is not None and not bounds[0] <= value <= bounds[1]:
                return False
        return True
