"""The shape of a protocol file: every key, its type, its default. What they mean for a run is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from phenoloop.model.features import CELLPROFILER, FAMILIES
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.limit_models import AutoExposure, Autonomous, LimitsBlock
from phenoloop.protocol.quantities import Duration, Exposure, Length, Percent, Pixels

_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
_RESERVED = frozenset({"and", "or", "not", "in"})


def _check_name(value: Any) -> Any:
    if isinstance(value, str) and (not re.fullmatch(_IDENTIFIER, value) or value in _RESERVED):
        raise PydanticCustomError(
            "name",
            "{given} cannot be a name in expressions; use letters, digits and _, not beginning with a digit",
            {"given": repr(value)},
        )
    return value


Name = Annotated[str, BeforeValidator(_check_name), Field(json_schema_extra={"pattern": _IDENTIFIER})]
"""A word that expressions can name."""


class PluginBlock(BaseModel):
    """A block with a `kind`; its other keys are checked by the plug-in that `kind` names."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    @property
    def given(self) -> dict[str, Any]:
        """The keys that the plug-in has to understand."""
        return dict(self.__pydantic_extra__ or {})


class SimulationBlock(PluginBlock):
    """What stands in for the specimen on the virtual plate."""

    analysis_latency: Duration = Field(default=0.2, description="time an analysis takes on the virtual clock")


class SegmentBlock(PluginBlock):
    """How objects are found."""

    channel: str
    name: Name = "objects"


class GridFields(StrictModel):
    """Fields in rows and columns around the centre of the well."""

    kind: Literal["grid"]
    rows: int = Field(default=1, ge=1, le=100)
    columns: int = Field(default=1, ge=1, le=100)
    overlap: Percent = Field(default=0.0, lt=1, description="share of a frame that neighbours have in common")
    spacing: Length | None = Field(default=None, gt=0, description="distance of neighbours, instead of overlap")

    @field_validator("spacing")
    @classmethod
    def _one_of_both(cls, value: float | None, info: Any) -> float | None:
        if value is not None and info.data.get("overlap"):
            raise PydanticCustomError("spacing", "overlap and spacing say the same thing; give one of them")
        return value


class RandomFields(StrictModel):
    """Fields at seeded random places of the well that do not overlap."""

    kind: Literal["random"]
    count: int = Field(ge=1, le=1000)


class Offset(StrictModel):
    """A place in the well, from its centre; +x to higher columns, +y to row A."""

    x: Length
    y: Length


class ExplicitFields(StrictModel):
    """Fields at given places of the well."""

    kind: Literal["explicit"]
    offsets: list[Offset] = Field(min_length=1)


FieldsBlock = Annotated[GridFields | RandomFields | ExplicitFields, Discriminator("kind")]


class Plate(StrictModel):
    """The plate, the wells of it that may be imaged, and the places in a well."""

    format: str = Field(description="a plate of useq's registry, such as 96-well")
    wells: list[str] | None = Field(default=None, min_length=1, description="wells and ranges; all unless given")
    where: str | None = Field(default=None, description="condition over the columns of the map")
    map: str | None = Field(default=None, description="CSV file with a column 'well', relative to this file")
    fields: FieldsBlock = GridFields(kind="grid")

    @field_validator("wells", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class ExposureColumn(StrictModel):
    """An exposure that a column of the plate map gives, in milliseconds."""

    column: str
    otherwise: Exposure | None = Field(default=None, description="for wells whose cell is empty")


def _exposure_form(value: Any) -> str:
    # In angle brackets, so that no key of a file can be taken for the tag in the path of an error.
    if isinstance(value, AutoExposure) or (isinstance(value, Mapping) and ("auto" in value or "max" in value)):
        return "<auto>"
    return "<column>" if isinstance(value, Mapping | ExposureColumn) else "<value>"


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


class SpotsBlock(StrictModel):
    """Bright puncta of one channel, counted per object."""

    name: Name
    channel: str
    diameter: Pixels = 4.0
    threshold: float = Field(default=8.0, gt=0, description="contrast in robust SD of the filtered background")
    within: Pixels = Field(default=25.0, description="a spot belongs to the nearest object at most this far")


def _share_form(value: Any) -> str:
    return "<word>" if value in ("auto", "off") else "<share>"


class QualityBlock(StrictModel):
    """Gates on a field; none of them looks at the question's readout."""

    min_objects: int | None = Field(default=None, ge=1)
    max_saturated: Percent | None = None
    focus: float | Literal["auto", "off"] = Field(default="off", description="smallest focus score")
    confidence: float | Literal["auto", "off"] = Field(
        default="off", description="smallest mean confidence of the segmenter, 0 to 1; auto: what the segmenter says"
    )
    out_of_distribution: float | Literal["auto", "off"] = Field(
        default="auto",
        description="largest distance from the fields of the question's controls, in SD per number; off without any",
    )
    count_drop: Annotated[
        Annotated[Percent, Field(gt=0, lt=1), Tag("<share>")] | Annotated[Literal["auto", "off"], Tag("<word>")],
        Discriminator(_share_form),
    ] = Field(
        default="off", description="fall of the objects per field, in several wells in succession, that is too much"
    )
    retries: int = Field(default=0, ge=0, le=5, description="replacements that a rejected field may cause")

    @field_validator("focus", "confidence", "out_of_distribution", mode="before")
    @classmethod
    def _words(cls, value: Any, info: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if number and info.field_name == "confidence" and value > 1:
            raise PydanticCustomError("confidence", "{given} is more than 1, the surest", {"given": repr(value)})
        if not number and value not in ("auto", "off"):
            said = "{given} is not understood; write auto, off or a number"
            raise PydanticCustomError("focus", said, {"given": repr(value)})
        return value


_FAMILIES: Final[dict[str, Any]] = {"items": {"enum": ["all", CELLPROFILER, *FAMILIES]}}


class FieldProfileBlock(StrictModel):
    """The morphological profile of a field: one number per feature, over its objects."""

    families: Annotated[tuple[str, ...], Field(json_schema_extra=_FAMILIES)] = Field(
        default=("all",), min_length=1, description="families of features that make the profile; all of our own"
    )
    summary: Literal["median", "mean"] = Field(default="median", description="over the objects of a field")

    @field_validator("families", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class AnalysisBlock(StrictModel):
    """How a field becomes readouts."""

    segment: SegmentBlock
    spots: tuple[SpotsBlock, ...] = ()
    readouts: dict[Name, str] = Field(min_length=1, description="one number per field")
    features: Annotated[tuple[str, ...], Field(json_schema_extra=_FAMILIES)] = Field(
        default=(), description="families of features for the table of objects, besides those that readouts name"
    )
    profile: FieldProfileBlock | None = Field(
        default=None, description="a profile per field, for policies, questions and `phenoloop profiles`; {} is enough"
    )
    quality: QualityBlock = QualityBlock()
    deadline: Duration = Field(default=10.0, gt=0, description="a later result is kept and not used for decisions")
    workers: int = Field(default=2, ge=1, le=64)
    executor: Literal["threads", "processes"] = "threads"
    batch: int | None = Field(
        default=None, ge=1, le=256, description="fields one worker takes at once; what the segmenter likes, unless set"
    )

    @field_validator("spots", "features", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, Mapping | str) else value


class ProfileAnalysisBlock(StrictModel):
    """What a profile's analysis does otherwise than `analysis`; what is not named stays."""

    segment: SegmentBlock | None = None
    spots: tuple[SpotsBlock, ...] = ()
    readouts: dict[Name, str] = Field(default_factory=dict, description="one number per field")
    features: Annotated[tuple[str, ...], Field(json_schema_extra=_FAMILIES)] = ()
    quality: QualityBlock = QualityBlock()

    @field_validator("spots", "features", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, Mapping | str) else value


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


def _check_version(value: Any) -> Any:
    if value != 1 or isinstance(value, bool):
        said = "this is version {given} of the file format, and this phenoloop reads version 1"
        raise PydanticCustomError("version", said, {"given": repr(value)})
    return value


def _check_protocol_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", value):
        raise PydanticCustomError(
            "name", "{given} is not a name; use letters, digits, - and _, at most 40", {"given": repr(value)}
        )
    return value


class Protocol(StrictModel):
    """A whole protocol file."""

    protocol: Annotated[Literal[1], BeforeValidator(_check_version)] = Field(description="version of this file format")
    name: Annotated[
        str, BeforeValidator(_check_protocol_name), Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,40}$"})
    ]
    seed: int = Field(default=1, ge=0, description="root of all chance")
    microscope: str | dict[str, Any] = Field(description="name of a file in mm_configs, or its content")
    simulation: SimulationBlock | None = None
    plate: Plate
    imaging: Imaging
    profiles: dict[Name, ProfileBlock] = Field(
        default_factory=dict, description="further ways of imaging; `imaging` is the one that is called main"
    )
    analysis: AnalysisBlock | None = None
    question: PluginBlock | None = None
    policy: PluginBlock
    fallback: PluginBlock = PluginBlock(kind="sweep")
    limits: LimitsBlock = LimitsBlock()
    autonomy: Autonomous = Field(default="unattended", description="what a person is asked while the run goes on")
