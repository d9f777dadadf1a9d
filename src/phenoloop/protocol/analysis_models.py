"""The shape of `analysis`: how objects are found, what is read from them, and which fields are not believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from phenoloop.model.features import CELLPROFILER, FAMILIES
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.blocks import Name, PluginBlock
from phenoloop.protocol.quantities import Duration, Percent, Pixels


class SegmentBlock(PluginBlock):
    """How objects are found."""

    channel: str
    name: Name = "objects"


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
