"""The shape of `imaging` and `profiles`: channels, exposures, planes, autofocus, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from phenoloop.protocol.analysis_models import ProfileAnalysisBlock
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.blocks import Name
from phenoloop.protocol.limit_models import AutoExposure
from phenoloop.protocol.quantities import Duration, Exposure, Length, Percent


class ExposureColumn(StrictModel):
    """An exposure that a column of the plate map gives, in milliseconds."""

    column: str
    otherwise: Exposure | None = Field(default=None, description="for wells whose cell is empty")


def _exposure_form(value: Any) -> str:
    # In angle brackets, so that no key of a file can be taken for the tag in the path of an error.
    if isinstance(value, Mapping):
        return "<auto>" if "auto" in value or "max" in value else "<column>"
    if isinstance(value, AutoExposure) or value == "auto":
        return "<auto>"
    return "<column>" if isinstance(value, ExposureColumn) else "<value>"


class ChannelBlock(StrictModel):
    """A channel: its name here, and the preset of the microscope that it is."""

    name: Name
    config: str
    group: str | None = Field(
        default=None, description="configuration group; the microscope's channel group unless given"
    )
    exposure: Annotated[
        Annotated[Exposure, Tag("<value>")]
        | Annotated[ExposureColumn, Tag("<column>")]
        | Annotated[AutoExposure, Tag("<auto>")],
        Discriminator(_exposure_form),
    ]
    power: Percent | None = Field(default=None, description="light power; light is exposure times power")
    acquire_every: int = Field(
        default=1, ge=1, le=1000, description="time-lapse: imaged at every n-th time point only, the first included"
    )


class ZBlock(StrictModel):
    """A stack of planes around the reference focus."""

    range: Length = Field(gt=0)
    step: Length = Field(gt=0)


class AutofocusBlock(StrictModel):
    """Software autofocus: the sharpest plane of a sweep."""

    kind: Literal["software"]
    channel: str
    range: Length = Field(gt=0)
    step: Length | None = Field(default=None, gt=0, description="a tenth of the range unless given")
    when: Literal["each_well", "each_visit", "each_field"] = "each_well"
    if_fails: Literal["keep", "skip"] = "keep"


class Imaging(StrictModel):
    """How a field is imaged."""

    objective: str | None = None
    binning: int = Field(default=1, ge=1, le=16)
    channels: list[ChannelBlock] = Field(min_length=1)
    z: ZBlock | None = None
    autofocus: AutofocusBlock | None = None
    every: Duration | None = Field(default=None, gt=0, description="time-lapse: interval of the looks at one field")
    for_: Duration | None = Field(
        default=None, gt=0, alias="for", description="time-lapse: how long, from the beginning of the run"
    )


def _channel_form(value: Any) -> str:
    return "<name>" if isinstance(value, str) else "<channel>"


class ProfileBlock(StrictModel):
    """A named way of imaging: starts from `imaging` and changes what it names."""

    objective: str | None = None
    binning: int = Field(default=1, ge=1, le=16)
    channels: list[
        Annotated[
            Annotated[str, Tag("<name>")] | Annotated[ChannelBlock, Tag("<channel>")], Discriminator(_channel_form)
        ]
    ] = Field(default=[], min_length=1, description="channels, or names of channels of `imaging`")
    z: ZBlock | Literal["off"] = "off"
    autofocus: AutofocusBlock | Literal["off"] = "off"
    every: Duration | None = Field(default=None, gt=0, description="time-lapse: interval of the looks at one field")
    analysis: ProfileAnalysisBlock = Field(
        default=ProfileAnalysisBlock(), description="starts from `analysis` and changes what it names"
    )
