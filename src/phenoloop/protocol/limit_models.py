"""The shape of `limits`, `autonomy` and automatic exposures: what a run may spend, and what a person is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import TIME, Bytes, Duration, Exposure, Percent, Quantity


class Every(NamedTuple):
    """How often: after so much run clock, or after so many visits."""

    seconds: float | None = None
    visits: int | None = None


_VISITS: Final = re.compile(r"\s*(\d+)\s*visits?\s*")
_TIME: Final = Quantity("a duration", TIME, "30 min")


def _every(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Every):
        return value
    if isinstance(value, str) and (match := _VISITS.fullmatch(value)):
        visits = int(match.group(1))
        if visits < 1:
            raise PydanticCustomError("every", "at least 1 visit lies between two looks at a control")
        return Every(visits=visits)
    try:
        seconds = _TIME(value, info)
    except PydanticCustomError as error:
        raise PydanticCustomError(
            "every", "{given} is not understood; write a duration like 30 min, or 40 visits", {"given": repr(value)}
        ) from error
    if not seconds > 0:
        raise PydanticCustomError("every", "the time between two looks at a control is above 0")
    return Every(seconds=float(seconds))


_EVERY_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^\s*(\d+\s*visits?|[0-9.]+\s*(us|µs|ms|s|min|h|d))\s*$",
    "description": "a duration or a number of visits, for example 30 min or 40 visits",
}


class LimitsBlock(StrictModel):
    """Budgets and hard limits; none unless given. Light is exposure times power, where `power` is known."""

    frames: int | None = Field(default=None, ge=1)
    duration: Duration | None = Field(default=None, gt=0)
    disk: Bytes | None = None
    light_per_field: Duration | None = Field(
        default=None, gt=0, description="light one field may get, autofocus and metering included"
    )
    light_per_object: Duration | None = Field(
        default=None, gt=0, description="light any place may get from all frames that show it, overlapping ones too"
    )
    revisits_per_field: int | None = Field(default=None, ge=0, description="visits of a field beyond the first")
    revisit_interval: Duration | None = Field(default=None, gt=0, description="between two visits of a field")
    objective_changes_per_hour: int | None = Field(default=None, ge=0)
    share_per_well: Percent | None = Field(default=None, gt=0, description="share of `frames` that one well may take")
    controls_every: Annotated[Every, BeforeValidator(_every), WithJsonSchema(_EVERY_SCHEMA)] | None = Field(
        default=None, description="each control is imaged again at least this often"
    )


Level = Literal["shadow", "confirm", "veto", "unattended"]
VETO_S: Final = 30.0
"""Time to veto a batch where the protocol says no other."""


class AutonomyBlock(StrictModel):
    """How far a run goes without a person."""

    level: Level
    for_: tuple[Literal["objective", "profile", "revisit"], ...] = Field(
        default=(), alias="for", description="ask only about these; about every visit unless given"
    )
    within: Duration | None = Field(default=None, gt=0, description="time to answer, by the clock on the wall")
    otherwise: Literal["skip", "go", "stop"] | None = Field(
        default=None, description="what happens when nobody answers in that time"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(value.get("for"), str):
            return {**value, "for": (value["for"],)}
        if isinstance(value, Mapping) and isinstance(value.get("for"), list):
            return {**value, "for": tuple(value["for"])}
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> AutonomyBlock:
        said = ""
        if self.level in ("shadow", "unattended"):
            if self.model_fields_set - {"level"}:
                said = f"nobody is asked with {self.level}; leave out for, within and otherwise"
        elif self.level == "veto":
            if self.otherwise is not None:
                said = "veto goes on unless somebody objects; to wait for a yes, write level: confirm"
        elif (self.within is None) != (self.otherwise is None):
            said = "within and otherwise belong together: how long to wait, and what then (skip, go or stop)"
        if said:
            raise PydanticCustomError("autonomy", "{said}", {"said": said})
        return self


def _autonomy_form(value: Any) -> str:
    return "<block>" if isinstance(value, Mapping | AutonomyBlock) else "<level>"


Autonomous = Annotated[
    Annotated[Level, Tag("<level>")] | Annotated[AutonomyBlock, Tag("<block>")], Discriminator(_autonomy_form)
]


class AutoExposure(StrictModel):
    """An exposure that is metered on the controls before the first decision, and then frozen."""

    auto: Percent = Field(gt=0, le=0.9, description="share of the camera's range that the bright pixels reach")
    max: Exposure = Field(ge=4, description="longest exposure, never exceeded; at least 4 ms")
