"""What stands in for the specimen: whether anything does, what it says of itself, and what frame follows from it."""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from phenoloop.errors import ProtocolError
from phenoloop.model import SimulationPlan, SpecimenInfo
from phenoloop.plugins import Registry
from phenoloop.protocol.imaging_models import Imaging
from phenoloop.protocol.microscope_file import Microscope
from phenoloop.protocol.microscope_models import ObjectiveBlock
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.plugin_blocks import Chosen, anchored, choose
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_source import Source


@dataclass(frozen=True, slots=True)
class Camera:
    """A frame as it will arrive: shape after binning, bit depth, and whether the depth is known before the run."""

    height: int
    width: int
    bits: int
    certain: bool

    @property
    def frame_bytes(self) -> int:
        """Uncompressed size."""
        return self.height * self.width * (1 if self.bits <= 8 else 2)

    def frame_um(self, pixel_um: float) -> tuple[float, float]:
        """Return (width, height) in the sample."""
        return self.width * pixel_um, self.height * pixel_um


@dataclass(frozen=True, slots=True)
class Specimen:
    """What stands in for the specimen.

    Attributes
    ----------
    chosen : Chosen
        Its plug-in.
    plan : SimulationPlan
        With absolute paths.
    latency_s : float
        Declared analysis time on the virtual clock.
    info : SpecimenInfo or None
        What it says of itself; None until it was asked, or where it refused.
    hashes : dict of str to str
        Files it is defined by.
    """

    chosen: Chosen
    plan: SimulationPlan
    latency_s: float
    info: SpecimenInfo | None = None
    hashes: dict[str, str] = field(default_factory=dict)


def choose_specimen(
    protocol: Protocol,
    microscope: Microscope,
    registry: Registry,
    base: Path,
    source: Source,
    problems: Problems,
    *,
    simulate: bool,
) -> Specimen | None:
    """Return what the `simulation` block names; None on a real microscope, where it is not read, or without a block."""
    block = protocol.simulation
    if not (simulate or microscope.cfg.needs_demo_adapters):
        return None
    if block is None:
        if simulate:
            problems.add(
                source.at("to simulate, the protocol needs a `simulation` block, such as {kind: synthetic}", 1)
            )
        return None
    chosen = choose("specimens", block, registry, source, problems, ("simulation",))
    if chosen is None:
        return None
    deadline = protocol.analysis.deadline if protocol.analysis is not None else None
    if deadline is not None and block.analysis_latency > deadline:
        said = (
            f"with an analysis of {block.analysis_latency:g} s every result would miss the deadline of {deadline:g} s"
        )
        problems.add(source.problem(("simulation", "analysis_latency"), said))
    parameters = {key: _absolute(key, value, chosen.params, base) for key, value in chosen.parameters.items()}
    plan = SimulationPlan(kind=chosen.kind, target=chosen.target, parameters=parameters)
    return Specimen(chosen, plan, block.analysis_latency)


def _absolute(key: str, value: Any, params: BaseModel, base: Path) -> Any:
    """Return a parameter that is a path as an absolute one; relative paths start at the protocol's folder."""
    model = type(params)
    annotation = model.model_fields[key].annotation if key in model.model_fields else None
    is_path = key == "manifest" or annotation is Path or Path in typing.get_args(annotation)
    return str((base / value).resolve()) if is_path and isinstance(value, str) else value


def describe(
    specimen: Specimen, wells: Sequence[str], channels: Sequence[str], base: Path, source: Source, problems: Problems
) -> Specimen:
    """Return the specimen with what it says of itself; a refusal of its own is a problem at its block."""
    try:
        info = specimen.chosen.plugin.describe(specimen.plan.parameters, list(wells), list(channels), base)
    except (ProtocolError, ValueError) as error:
        problems.add(*anchored(error, source, ("simulation",)))
        return specimen
    hashes = {str(file): hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in info.files}
    return dataclasses.replace(specimen, info=info, hashes=hashes)


def as_recorded(microscope: Microscope, imaging: Imaging, specimen: Specimen | None) -> Microscope:
    """Return the microscope under whose objective a pixel is as large as recorded pictures say, where they say it."""
    if specimen is None or specimen.info is None or specimen.info.pixel_um is None:
        return microscope
    size, file = specimen.info.pixel_um / imaging.binning, microscope.file
    if imaging.objective is None:
        return dataclasses.replace(microscope, file=file.model_copy(update={"pixel_size": size}))
    block = file.objectives.get(imaging.objective)
    if block is None:
        if imaging.objective not in microscope.cfg.groups.get("Objective", {}):
            return microscope  # there is no such objective, which is told elsewhere
        block = ObjectiveBlock(preset=imaging.objective)
    objectives = {**file.objectives, imaging.objective: block.model_copy(update={"pixel_size": size})}
    return dataclasses.replace(microscope, file=file.model_copy(update={"objectives": objectives}))


def camera_of(
    microscope: Microscope, specimen: Specimen | None, binning: int, source: Source, problems: Problems
) -> Camera | None:
    """Return the frame that will arrive; None where it cannot be known, which is a problem told here or before."""
    if specimen is not None:
        info = specimen.info
        return None if info is None else Camera(info.height, info.width, info.bits, certain=True)
    camera = microscope.camera
    if camera is None:
        said = f"the microscope file {microscope.name} needs the size of a frame: camera: {{width: ..., height: ...}}"
        problems.add(source.problem(("microscope",), said))
        return None
    return Camera(camera.height // binning, camera.width // binning, camera.bits, certain=False)
