"""A microscope file and the Micro-Manager configuration it names, read together and held against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phenoloop.errors import ProtocolError
from phenoloop.model import CostModel, MicroscopePlan, StageBox
from phenoloop.protocol.cfg import Cfg, read_cfg
from phenoloop.protocol.microscope_folders import find_cfg, find_microscope, known_cfgs, known_microscopes
from phenoloop.protocol.microscope_models import CameraBlock, MicroscopeFile
from phenoloop.protocol.names import nearest
from phenoloop.protocol.problems import Problems, validate
from phenoloop.protocol.yaml_reader import read
from phenoloop.protocol.yaml_source import Path as KeyPath
from phenoloop.protocol.yaml_source import Source


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
    cfg_path = find_cfg(file.config, base)
    if cfg_path is None:
        near = nearest(file.config, known_cfgs(base))
        said = f"there is no configuration {file.config!r} in {base} or in mm_configs{near}"
        problems.add(source.problem((*path, "config"), said))
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
