"""From the imaging block to a profile: presets that exist, exposures by well, pixel size, planes, autofocus."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phenoloop.model import AutofocusPlan, ChannelPlan, ProfilePlan, WellPlan
from phenoloop.protocol.imaging_models import ChannelBlock, ExposureColumn, Imaging, ZBlock
from phenoloop.protocol.limit_models import AutoExposure
from phenoloop.protocol.microscope_file import Microscope
from phenoloop.protocol.names import nearest
from phenoloop.protocol.platemap import PlateMap
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_source import Path, Source


def pixel_size_um(
    imaging: Imaging, microscope: Microscope, source: Source, problems: Problems, at: Path = ("imaging",)
) -> float | None:
    """Return the size of a binned pixel in the sample, or None where it is not known; that is a problem.

    `at` is where the block stands.
    """
    size: float | None
    if imaging.objective is None:
        size = microscope.file.pixel_size or microscope.cfg.pixel_size_um(microscope.cfg.startup)
        if size is None:
            said = f"name the objective, or give pixel_size in the microscope file {microscope.name}: it is not known"
            problems.add(source.problem((*at, "objective"), said, key=True))
            return None
        return size * imaging.binning
    known = microscope.file.objectives
    presets = microscope.cfg.groups.get("Objective", {})
    if imaging.objective in known:
        block = known[imaging.objective]
        settings = microscope.cfg.groups.get(block.group, {}).get(block.preset, [])
        size = block.pixel_size or microscope.cfg.pixel_size_um(settings)
    elif imaging.objective in presets:
        size = microscope.cfg.pixel_size_um(presets[imaging.objective])
    else:
        files = {name.casefold() for name in known}
        names = [*known, *(preset for preset in presets if preset.casefold() not in files)]
        said = f"the microscope {microscope.name} has no objective {imaging.objective!r}"
        hint = nearest(imaging.objective, names)
        problems.add(source.problem((*at, "objective"), f"{said}{hint} (objectives: {', '.join(names) or 'none'})"))
        return None
    if not size:
        said = (
            f"the pixel size of {imaging.objective} is not known: give pixel_size for it in the microscope file "
            f"{microscope.name}, or calibrate it in {microscope.cfg.path.name}"
        )
        problems.add(source.problem((*at, "objective"), said))
        return None
    return size * imaging.binning


def objective_preset(imaging: Imaging, microscope: Microscope) -> tuple[str | None, str | None]:
    """Return the group and preset of the objective; (None, None) leaves the turret alone."""
    if imaging.objective is None:
        return None, None
    block = microscope.file.objectives.get(imaging.objective)
    return (block.group, block.preset) if block is not None else ("Objective", imaging.objective)


def plan_profile(
    imaging: Imaging,
    microscope: Microscope,
    pixel_um: float,
    wells: Sequence[WellPlan],
    table: PlateMap | None,
    source: Source,
    problems: Problems,
    name: str = "main",
    at: Path = ("imaging",),
) -> ProfilePlan:
    """Return a profile; what cannot be resolved is a problem. `at` is where its block stands."""
    group, config = objective_preset(imaging, microscope)
    channels: dict[str, ChannelPlan] = {}
    for index, block in enumerate(imaging.channels):
        path: Path = (*at, "channels", index)
        if block.name in channels:
            problems.add(
                source.problem((*path, "name"), f"a channel {block.name!r} is there already; choose another name")
            )
        channels[block.name] = ChannelPlan(
            name=block.name,
            group=_group(block, microscope, source, problems, path),
            config=block.config,
            exposure_ms=_exposure(block),
            exposures_ms=_exposures(block, wells, table, source, problems, (*path, "exposure")),
            power=block.power,
            auto=block.exposure.auto if isinstance(block.exposure, AutoExposure) else None,
            acquire_every=block.acquire_every,
        )
    return ProfilePlan(
        name=name,
        channels=tuple(channels.values()),
        pixel_size_um=pixel_um,
        objective=imaging.objective,
        objective_group=group,
        objective_config=config,
        binning=imaging.binning,
        z_offsets_um=_planes(imaging.z, source, problems, at),
        autofocus=_autofocus(imaging, list(channels), source, problems, at),
        every_s=imaging.every,
        for_s=imaging.for_ if name == "main" else None,  # how long the others go on is the policy's business
    )


def _group(block: ChannelBlock, microscope: Microscope, source: Source, problems: Problems, path: Path) -> str:
    cfg = microscope.cfg
    group = block.group or microscope.channel_group
    groups = ", ".join(cfg.groups)
    if group is None:
        said = f"{cfg.path.name} names no channel group; write group: here (groups: {groups})"
        problems.add(source.problem((*path, "config"), said, key=True))
        return ""
    if group not in cfg.groups:
        said = f"{cfg.path.name} has no group {group!r}{nearest(group, cfg.groups)} (groups: {groups})"
        problems.add(source.problem((*path, "group"), said))
    elif block.config not in cfg.groups[group]:
        presets = cfg.groups[group]
        said = f"the group {group!r} of {cfg.path.name} has no preset {block.config!r}{nearest(block.config, presets)}"
        problems.add(source.problem((*path, "config"), f"{said} (presets: {', '.join(presets)})"))
    return group


def _exposure(block: ChannelBlock) -> float:
    if isinstance(block.exposure, ExposureColumn):
        return block.exposure.otherwise or 1.0  # without `otherwise` every well has its own
    # The longest that may be metered, so that forecast and budgets are on the safe side until it is.
    return block.exposure.max if isinstance(block.exposure, AutoExposure) else block.exposure


def _exposures(
    block: ChannelBlock,
    wells: Sequence[WellPlan],
    table: PlateMap | None,
    source: Source,
    problems: Problems,
    path: Path,
) -> dict[str, float]:
    if not isinstance(block.exposure, ExposureColumn):
        return {}
    column = block.exposure.column
    kind = table.columns.get(column) if table is not None else None
    if kind != "number":
        names = list(table.columns) if table is not None else []
        said = f"the plate map has no column {column!r}{nearest(column, names)} (columns: {', '.join(names) or 'none'})"
        if kind == "text":
            said = f"the column {column!r} holds words; an exposure is a number of milliseconds"
        problems.add(source.problem((*path, "column"), said))
        return {}
    found: dict[str, float] = {}
    empty: list[str] = []
    for well in wells:
        cell = well.properties.get(column)
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            found[well.name] = float(cell)
        else:
            empty.append(well.name)
    bad = [well for well, value in found.items() if not value > 0]
    if bad:
        said = f"the column {column!r} gives {found[bad[0]]:g} ms for {bad[0]}; an exposure is above 0"
        problems.add(source.problem((*path, "column"), said))
    if empty and block.exposure.otherwise is None:
        said = f"the column {column!r} is empty for {', '.join(empty[:6])}; say `otherwise:`, or fill it"
        problems.add(source.problem((*path, "column"), said))
    return found


def _planes(block: ZBlock | None, source: Source, problems: Problems, at: Path) -> tuple[float, ...]:
    if block is None:
        return ()
    planes = math.floor(block.range / block.step + 1e-9) + 1
    if planes > 1000:
        problems.add(
            source.problem(
                (*at, "z", "step"), f"{planes} planes are too many, at most 1000: a larger step, or less range"
            )
        )
        return ()
    return tuple(round((plane - (planes - 1) / 2) * block.step, 6) for plane in range(planes))


def _autofocus(
    imaging: Imaging, channels: Sequence[str], source: Source, problems: Problems, at: Path
) -> AutofocusPlan | None:
    block = imaging.autofocus
    if block is None:
        return None
    if block.channel not in channels:
        said = (
            f"there is no channel {block.channel!r}{nearest(block.channel, channels)} (channels: {', '.join(channels)})"
        )
        problems.add(source.problem((*at, "autofocus", "channel"), said))
    step = block.step if block.step is not None else block.range / 10
    if not 2 <= block.range / step <= 200:
        said = f"a sweep has 3 to 201 planes, and this is {block.range / step + 1:.0f}"
        problems.add(source.problem((*at, "autofocus", "step"), said, key=True))
    return AutofocusPlan(
        channel=block.channel, range_um=block.range, step_um=step, when=block.when, if_fails=block.if_fails
    )
