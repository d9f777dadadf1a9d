"""The shape of `plate`: its format, which wells may be imaged, and where in a well the fields lie."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, field_validator
from pydantic_core import PydanticCustomError

from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Length, Percent


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


class RecordedFields(StrictModel):
    """All fields of a well that a recorded plate holds, as many as there are."""

    kind: Literal["recorded"]


FieldsBlock = Annotated[GridFields | RandomFields | ExplicitFields | RecordedFields, Discriminator("kind")]


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
