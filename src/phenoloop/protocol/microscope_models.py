"""The shape of a microscope file: what a facility writes once about its instrument."""

from __future__ import annotations

import math

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Acceleration, Angle, Bytes, Duration, Length, Speed

Range = tuple[Length, Length]


class A1(StrictModel):
    """Stage position of the centre of well A1."""

    x: Length = 0.0
    y: Length = 0.0


class StageBlock(StrictModel):
    """The stage: where it may go, where the plate lies on it, and when a move is done."""

    x: Range | None = Field(default=None, description="smallest and largest allowed position")
    y: Range | None = None
    z: Range | None = None
    a1: A1 = A1()
    rotation: Angle = Field(default=0.0, description="of the plate, anticlockwise")
    tolerance: Length = Field(default=1.0, gt=0, description="a position is reached when it is this close")
    z_tolerance: Length = Field(default=0.2, gt=0)
    settle: Duration = Field(default=0.0, description="rest after a move")
    timeout: Duration = Field(default=20.0, gt=0, description="of stage moves and other waits")

    @model_validator(mode="after")
    def _ordered(self) -> StageBlock:
        for axis in ("x", "y", "z"):
            bounds = getattr(self, axis)
            if bounds is not None and bounds[0] > bounds[1]:
                raise PydanticCustomError("stage", "the limits of {axis} are the wrong way round", {"axis": axis})
        return self


class OffsetBlock(StrictModel):
    """How far the stage and the focus must go so that an objective looks at what the first one looked at."""

    x: Length = 0.0
    y: Length = 0.0
    z: Length = 0.0


class ObjectiveBlock(StrictModel):
    """An objective by the name that protocols use."""

    preset: str
    group: str = "Objective"
    pixel_size: Length | None = Field(
        default=None, gt=0, description="of an unbinned pixel; from the .cfg unless given"
    )
    offset: OffsetBlock = Field(
        default=OffsetBlock(), description="how far stage and focus go to look at the same place as without offset"
    )
    safe_height: Length | None = Field(
        default=None, description="where the focus drive goes before this objective comes or leaves"
    )


class CameraBlock(StrictModel):
    """An unbinned frame of the camera."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    bits: int = Field(default=16, ge=1, le=16)
    buffer: Bytes = Field(default=256_000_000, description="circular buffer")
    rotation: Angle = Field(default=0.0, description="of the picture on the stage, anticlockwise")
    mirrored: bool = Field(default=False, description="left and right are exchanged before the picture is turned")

    def image_axes(self) -> tuple[float, float, float, float]:
        """Return where columns and rows lie on the stage; see `ProfilePlan.image_axes`."""
        cos, sin = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        right = -1.0 if self.mirrored else 1.0
        # Rows run against y. Rounded: the last bits of a sine are not the same on every machine.
        a, b, c, d = (round(value, 12) + 0.0 for value in (right * cos, sin, right * sin, -cos))
        return a, b, c, d


class CostBlock(StrictModel):
    """How long things take, for the virtual clock, the order of visits and the forecast."""

    stage_speed: Speed = 20_000.0
    stage_acceleration: Acceleration = 100_000.0
    settle: Duration = 0.08
    channel: Duration = 0.05
    objective: Duration = 2.0
    z: Duration = 0.02
    readout: Duration = 0.03


class MicroscopeFile(StrictModel):
    """A whole microscope file."""

    config: str = Field(description="the Micro-Manager .cfg, relative to this file")
    channel_group: str | None = Field(default=None, description="what the .cfg says unless given")
    stage: StageBlock = StageBlock()
    objectives: dict[str, ObjectiveBlock] = Field(default_factory=dict)
    pixel_size: Length | None = Field(default=None, gt=0, description="where no objective is named")
    camera: CameraBlock | None = None
    cost: CostBlock = CostBlock()
    retries: int = Field(default=2, ge=0, le=10, description="attempts per hardware call beyond the first")
    startup: dict[str, dict[str, str | int | float]] = Field(default_factory=dict, description="set after loading")
    safe_state: dict[str, dict[str, str | int | float]] = Field(default_factory=dict, description="set at the end")
    record: dict[str, list[str]] = Field(default_factory=dict, description="properties kept with each visit")
