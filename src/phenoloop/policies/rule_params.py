"""The keys of a rule, as a protocol writes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from phenoloop.protocol.base import PolicyParams, StrictModel
from phenoloop.protocol.nested import PART
from phenoloop.protocol.quantities import Duration


class ImageParams(StrictModel):
    """Keys of ``do: {image: ...}``."""

    fields: int | None = Field(
        default=None,
        ge=1,
        description="level well: the next unused fields, so many at a time; fields_per_visit unless set",
    )
    profile: str = Field(default="main", description="way of imaging; one of `profiles:`, or main")
    every: Duration | None = Field(
        default=None, gt=0, description="level field: again and again at this interval while the rule is on; else once"
    )


class DoParams(StrictModel):
    """Keys of ``do:``; one of them."""

    image: ImageParams | None = Field(default=None, description="image fields of the well, or the field again")
    leave: Literal["well"] | None = Field(default=None, description="no further image of the well")
    stop: str | None = Field(default=None, min_length=1, max_length=200, description="end the run, with this reason")

    @model_validator(mode="after")
    def _one(self) -> DoParams:
        if sum(one is not None for one in (self.image, self.leave, self.stop)) != 1:
            raise PydanticCustomError("do", "give one of image, leave and stop")
        return self


class RuleLimits(StrictModel):
    """Keys of ``limits:`` of a rule."""

    fields: int | None = Field(default=None, ge=1, description="fields that this rule may image in all")
    per_well: int | None = Field(default=None, ge=1, description="fields that this rule may image in one well")
    per_field: int | None = Field(default=None, ge=1, description="level field: looks of this rule at one field")


class RuleParams(StrictModel):
    """Keys of a rule."""

    name: Annotated[str, Field(pattern=PART)] = Field(description="what its images are told to be due to")
    level: Literal["well", "field"] = Field(
        default="well", description="what it is about: each well, or each field seen"
    )
    when: str = Field(description="condition in which it is on; what is unknown does not switch it on")
    clear: str | None = Field(
        default=None, description="condition in which it goes off; that `when` is false, unless given"
    )
    hold: Duration = Field(default=0.0, description="how long it stays on at least")
    do: DoParams = Field(description="what it does while it is on")
    because: str = Field(
        default="", max_length=300, description="the reason that is told; {name} and {name:.3g} are filled in"
    )
    limits: RuleLimits = Field(default=RuleLimits(), description="what it may spend at most")

    @model_validator(mode="after")
    def _fits(self) -> RuleParams:
        image = self.do.image
        if image is None:
            if self.limits != RuleLimits():
                raise PydanticCustomError("limits", "only a rule that images can have limits")
        elif not self.because:
            raise PydanticCustomError("because", "the key 'because' is needed: every image has a reason that is told")
        elif self.level == "field" and image.fields is not None:
            raise PydanticCustomError("level", "level field images the field itself again; `fields` is for level well")
        elif self.level == "well" and (image.every is not None or self.limits.per_field is not None):
            raise PydanticCustomError("level", "`every` and `per_field` are about one field: add `level: field`")
        return self


class RulesParams(PolicyParams):
    """Keys of ``policy: {kind: rules}``."""

    rules: tuple[RuleParams, ...] = Field(
        min_length=1, description="the first comes first where the batch is too small"
    )
    ranges: dict[str, tuple[float | None, float | None]] = Field(
        default_factory=dict,
        description="what a readout can be, [least, greatest]; null is unlimited. Only the checks of the rules use it",
    )
