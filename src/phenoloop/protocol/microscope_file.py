"""The microscope file: what a facility writes once about its instrument, and where such files are looked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

import phenoloop
from phenoloop.errors import ProtocolError
from phenoloop.model import CostModel, MicroscopePlan, StageBox
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.cfg import Cfg, read_cfg
from phenoloop.protocol.names import nearest
from phenoloop.protocol.problems import Problems, validate
from phenoloop.protocol.quantities import Acceleration, Angle, Bytes, Duration, Length, Speed
from phenoloop.protocol.yaml_source import Path as KeyPath
from phenoloop.protocol.yaml_source import Source, read

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


@dataclass(frozen=True, slots=True)
class Microscope:
    """A microscope file with its configuration read.

    Attributes
    ----------
    name : str
        As the protocol calls it.
    file : MicroscopeFile
        Its content.
    cfg : Cfg
        Its configuration.
    hashes : mapping of str to str
        File to SHA-256.
    """

    name: str
    file: MicroscopeFile
    cfg: Cfg
    hashes: Mapping[str, str]

    @property
    def channel_group(self) -> str | None:
        """The group in which presets of channels are looked for."""
        return self.file.channel_group or self.cfg.channel_group

    @property
    def camera(self) -> CameraBlock | None:
        """The camera; the demo camera needs no description."""
        if self.file.camera is None and self.cfg.needs_demo_adapters:
            return CameraBlock(width=512, height=512)
        return self.file.camera

    def stage_box(self) -> StageBox:
        """Return where the stage may be sent."""
        stage = self.file.stage
        return StageBox(x_um=stage.x, y_um=stage.y, z_um=stage.z)

    def cost(self) -> CostModel:
        """Return the cost model."""
        cost = self.file.cost
        return CostModel(
            stage_um_per_s=cost.stage_speed,
            stage_um_per_s2=cost.stage_acceleration,
            settle_s=cost.settle,
            channel_s=cost.channel,
            objective_s=cost.objective,
            z_s=cost.z,
            readout_s=cost.readout,
        )

    def plan(self) -> MicroscopePlan:
        """Return what the microscope layer is told."""
        file, camera = self.file, self.camera
        return MicroscopePlan(
            name=self.name,
            config=str(self.cfg.path),
            config_sha256=self.cfg.sha256,
            needs_demo_adapters=self.cfg.needs_demo_adapters,
            stage_tolerance_um=file.stage.tolerance,
            z_tolerance_um=file.stage.z_tolerance,
            timeout_s=file.stage.timeout,
            settle_s=file.stage.settle,
            retries=file.retries,
            safe_state=_settings(file.safe_state),
            record=tuple((device, name) for device, names in file.record.items() for name in names),
            cost=self.cost(),
            buffer_mb=max(1, round((camera.buffer if camera else 256_000_000) / 1e6)),
            startup=_settings(file.startup),
        )


def _settings(block: Mapping[str, Mapping[str, str | int | float]]) -> tuple[tuple[str, str, str], ...]:
    return tuple((device, name, str(value)) for device, values in block.items() for name, value in values.items())


def shared_folder(name: str) -> Path:
    """Return a folder that ships with the package: ``mm_configs`` or ``protocols``, also in an editable checkout."""
    package = Path(phenoloop.__file__).parent
    packed = package / "share" / name
    return packed if packed.is_dir() else package.parents[1] / name


def search_path(base: Path) -> list[Path]:
    """Return the folders in which a microscope file is looked for, first come first served."""
    return [base, base / "mm_configs", Path.cwd() / "mm_configs", shared_folder("mm_configs")]


def find_microscope(name: str, base: Path) -> Path | None:
    """Return the path of the microscope file `name` (``demo`` or ``my/scope.yaml``), or None."""
    if name.endswith((".yaml", ".yml")):
        path = base / name
        return path if path.is_file() else None
    for folder in search_path(base):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def known_microscopes(base: Path) -> list[str]:
    """Return the names that `find_microscope` knows."""
    found = {path.stem for folder in search_path(base)[1:] for path in sorted(folder.glob("*.yaml"))}
    return sorted(found - {"template"})


def open_microscope(
    block: str | Mapping[str, Any], base: Path, source: Source, problems: Problems, path: KeyPath = ("microscope",)
) -> Microscope | None:
    """Read the microscope that a protocol names or describes.

    Parameters
    ----------
    block : str or mapping
        A name, or the content of a microscope file.
    base : Path
        Folder of the protocol.
    source, path : Source, tuple
        Where `block` stands, for messages.
    problems : Problems
        Gets what is wrong.

    Returns
    -------
    Microscope or None
        None if anything was wrong.
    """
    hashes: dict[str, str] = {}
    if isinstance(block, str):
        found = find_microscope(block, base)
        if found is None:
            known = known_microscopes(base)
            said = f"there is no microscope file {block!r}{nearest(block, known)} (known: {', '.join(known) or 'none'})"
            problems.add(source.problem(path, f"{said}; it is looked for as mm_configs/{block}.yaml"))
            return None
        data = found.read_bytes()
        hashes[str(found)] = hashlib.sha256(data).hexdigest()
        try:
            source = read(data.decode("utf-8", errors="replace"), str(found), what="microscope file")
        except ProtocolError as error:
            problems.add(*error.problems)
            return None
        name, base, content, path = found.stem, found.parent, source.data, ()
    else:
        name, content = "inline", dict(block)
    file = validate(MicroscopeFile, content, source, problems, path)
    if file is None:
        return None
    cfg_path = _find_cfg(file.config, base)
    if cfg_path is None:
        problems.add(source.problem((*path, "config"), f"there is no configuration {file.config!r} in {base}"))
        return None
    try:
        cfg = read_cfg(cfg_path)
    except ProtocolError as error:
        problems.add(*error.problems)
        return None
    hashes[str(cfg_path)] = cfg.sha256
    microscope = Microscope(name, file, cfg, hashes)
    _check(microscope, source, problems, path)
    return microscope


def _find_cfg(name: str, base: Path) -> Path | None:
    names = [name] if name.endswith(".cfg") else [name, f"{name}.cfg"]
    for folder in search_path(base):
        for candidate in names:
            path = (folder / candidate).absolute()
            if path.is_file():
                return path
    return None


def _check(microscope: Microscope, source: Source, problems: Problems, path: KeyPath) -> None:
    """Compare the names of a microscope file with its configuration."""
    file, cfg = microscope.file, microscope.cfg
    groups = list(cfg.groups)
    if file.channel_group is not None and file.channel_group not in cfg.groups:
        said = f"{cfg.path.name} has no group {file.channel_group!r}{nearest(file.channel_group, groups)}"
        problems.add(source.problem((*path, "channel_group"), f"{said} (groups: {', '.join(groups) or 'none'})"))
    for name, objective in file.objectives.items():
        at = (*path, "objectives", name)
        if objective.group not in cfg.groups:
            said = f"{cfg.path.name} has no group {objective.group!r}{nearest(objective.group, groups)}"
            problems.add(source.problem((*at, "group"), said))
        elif objective.preset not in cfg.groups[objective.group]:
            presets = list(cfg.groups[objective.group])
            said = (
                f"the group {objective.group!r} has no preset {objective.preset!r}{nearest(objective.preset, presets)}"
            )
            problems.add(source.problem((*at, "preset"), f"{said} (presets: {', '.join(presets)})"))
        z, safe = file.stage.z, objective.safe_height
        if safe is not None and z is not None and not z[0] <= safe <= z[1]:
            said = "the safe height is outside the limits of stage.z"
            problems.add(source.problem((*at, "safe_height"), said))
    devices = [*cfg.devices, "Core"]
    for block in ("startup", "safe_state", "record"):
        for device in getattr(file, block):
            if device not in devices:
                said = f"{cfg.path.name} has no device {device!r}{nearest(device, devices)}"
                problems.add(source.problem((*path, block, device), said, key=True))
