"""What can be said of a synthetic specimen, and what it is unless something is said."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from phenoloop.microscope.virtual.flares import FlareParams
from phenoloop.microscope.virtual.phenotype import Phenotype
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Duration, Length, Percent

Structure = Literal["nuclei", "vesicles", "cytoplasm", "reporter"]

STRUCTURES: Final[dict[str, Structure]] = {
    "DAPI": "nuclei",
    "Hoechst": "nuclei",
    "FITC": "vesicles",
    "GFP": "vesicles",
    "Rhodamine": "cytoplasm",
}
"""What a preset shows unless the protocol says otherwise; any other preset shows the reporter."""
LIGHT: Final[dict[str, float]] = {"nuclei": 20.0, "vesicles": 1.6, "cytoplasm": 6.0, "reporter": 6.0}
"""Photoelectrons per pixel and millisecond of a typical object."""
VESICLE_LIGHT: Final = 16.0
"""The same at the peak of a vesicle, before any blur."""
VESICLE_SIGMA_UM: Final = 0.4
PLATE_HEIGHT_UM: Final = 72_000.0
"""What the rows of a plate of the SBS footprint share."""


class Rare(StrictModel):
    """Rare cells: a bright nucleus, which others have too, and vesicles, which only they have so many of."""

    share: Percent = Field(description="of the cells, that are rare")
    lookalikes: Percent = Field(default=0.0, description="of the cells, that have the bright nucleus only")
    brightness: float = Field(default=2.5, gt=0, le=100, description="of such a nucleus, relative to the others")
    vesicles: int = Field(default=12, ge=1, le=36, description="of a rare cell")
    uneven: float = Field(
        default=0.0, ge=0, le=100, description="squared coefficient of variation of the share between wells"
    )


class SyntheticParams(StrictModel):
    """Keys of ``simulation: {kind: synthetic, ...}``."""

    phenotype: Phenotype = Field(default=Phenotype(), description="how cells follow the plate map")
    channels: dict[str, Structure] = Field(
        default_factory=dict, description="preset to structure: nuclei, vesicles, cytoplasm or reporter"
    )
    width: int = Field(default=512, ge=16, le=8192, description="pixels")
    height: int = Field(default=512, ge=16, le=8192, description="pixels")
    cells_per_field: float | None = Field(
        default=None, ge=0, description="cells in one field of the profile main; 60 unless so many do not fit"
    )
    rare: Rare | None = Field(default=None, description="a few cells of another kind, and others that look like them")
    nucleus: Length = Field(default=14.0, gt=0, description="typical diameter of a nucleus")
    well_diameter: Length | None = Field(
        default=None, gt=0, description="cells lie within; taken from the plate unless set"
    )
    well_sd: Percent = Field(default=0.05, description="spread between replicate wells")
    field_sd: Percent = Field(default=0.08, description="spread between fields of a well")
    cell_sd: Percent = Field(default=0.3, description="spread between cells of a field")
    illumination: Percent = Field(default=0.15, description="light missing in the darkest corner")
    brightness: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="of all structures, relative to 1")
    background: float = Field(default=0.5, ge=0, allow_inf_nan=False, description="photoelectrons per pixel and ms")
    read_noise: float = Field(default=3.0, ge=0, le=1000, description="standard deviation, photoelectrons")
    gain: float = Field(default=1.0, gt=0, le=1000, description="counts per photoelectron")
    offset: float = Field(default=100.0, ge=0, le=10_000, description="counts without light")
    blur: Length = Field(default=0.35, gt=0, description="standard deviation of the point spread in focus")
    focus: Length = Field(default=0.0, description="stage height at which cells are sharp")
    tilt: Length = Field(default=0.0, description="how much higher the focus lies 10 mm further in x")
    events: FlareParams | None = Field(default=None, description="cells whose nuclei flare up now and then")
    motion: Length = Field(default=0.0, ge=0, le=100, description="how far cells wander from their place")
    motion_period: Duration = Field(default=7200.0, gt=0, description="time of one turn of their walk")
