"""The shape of a protocol file as a whole; the modules beside it have that of its larger parts.

Every key, its type, its default. What they mean for a run is decided elsewhere.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from phenoloop.protocol.analysis_models import AnalysisBlock
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.blocks import Name, PluginBlock, SimulationBlock
from phenoloop.protocol.imaging_models import Imaging, ProfileBlock
from phenoloop.protocol.limit_models import Autonomous, LimitsBlock
from phenoloop.protocol.plate_models import Plate


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
