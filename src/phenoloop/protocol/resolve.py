"""The order in which a protocol is understood: its shape, its plug-ins, then every name and place it speaks of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phenoloop.errors import Problem, ProtocolError, UsageError
from phenoloop.model import Limits, Plan, ProfilePlan, Setup, WellPlan
from phenoloop.plugins import Registry
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.geometry import PlateGeometry
from phenoloop.protocol.loaded import Loaded
from phenoloop.protocol.microscope_file import Microscope, open_microscope
from phenoloop.protocol.models import PluginBlock, Protocol
from phenoloop.protocol.platemap import PlateMap
from phenoloop.protocol.plugin_blocks import Chosen, anchored, choose
from phenoloop.protocol.problems import Problems, validate
from phenoloop.protocol.resolve_analysis import check_question, plan_analysis
from phenoloop.protocol.resolve_imaging import pixel_size_um, plan_profile
from phenoloop.protocol.resolve_plate import (
    check_stage,
    matching,
    named_by_specimen,
    plan_wells,
    plate_geometry,
    read_map,
    select_wells,
)
from phenoloop.protocol.resolve_specimen import Camera, Specimen, camera_of, choose_specimen, describe
from phenoloop.protocol.wells import well_name
from phenoloop.protocol.yaml_source import Source, read


def load(path: Path, registry: Registry, *, simulate: bool = False) -> Loaded:
    """Read and check a protocol file.

    Parameters
    ----------
    path : Path
        The file.
    registry : Registry
        What is installed.
    simulate : bool
        Put the demo microscope and the protocol's simulation in the place of a real microscope.

    Raises
    ------
    ProtocolError
        If it cannot be run as written; holds every problem that was found.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ProtocolError(Problem(f"cannot read the protocol: {error.strerror}", str(path))) from error
    except UnicodeDecodeError as error:
        raise ProtocolError(Problem("the protocol is not UTF-8 text; save it as UTF-8", str(path))) from error
    return load_text(text, registry, base=path.absolute().parent, name=str(path), simulate=simulate, path=path)


def load_text(
    text: str,
    registry: Registry,
    *,
    base: Path,
    name: str = "protocol.yaml",
    simulate: bool = False,
    path: Path | None = None,
) -> Loaded:
    """Check the text of a protocol; see `load`. `base` is the folder its relative paths start from."""
    source = read(text, name)
    problems = Problems()
    protocol = validate(Protocol, source.data, source, problems)
    if protocol is None:
        # The keys inside plug-in blocks can be checked all the same, so that a user sees everything at once.
        _check_blocks(source, registry, problems)
    resolver = _Resolver(problems.need(protocol), source, registry, base, problems)
    return resolver.run(text, path, simulate=simulate)


def _check_blocks(source: Source, registry: Registry, problems: Problems) -> None:
    for group, key in (("policies", "policy"), ("policies", "fallback"), ("questions", "question")):
        block = source.data.get(key)
        if isinstance(block, dict) and isinstance(block.get("kind"), str):
            choose(group, PluginBlock.model_validate(block), registry, source, problems, (key,))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The plug-ins of the protocol but for the specimen."""

    policy: Chosen | None
    fallback: Chosen | None
    question: Chosen | None
    segmenter: Chosen | None


class _Resolver:
    """One pass over a protocol of the right shape."""

    def __init__(self, protocol: Protocol, source: Source, registry: Registry, base: Path, problems: Problems) -> None:
        self._protocol = protocol
        self._source = source
        self._registry = registry
        self._base = base
        self._problems = problems

    def run(self, text: str, path: Path | None, *, simulate: bool) -> Loaded:
        """Return the protocol as understood, or raise all that is wrong with it."""
        protocol, source, problems = self._protocol, self._source, self._problems
        chosen = self._plugins()
        microscope = self._microscope(simulate=simulate)
        table = read_map(protocol.plate, self._base, source, problems)
        if microscope is None or (table is None and protocol.plate.map is not None):
            problems.stop()
        microscope = problems.need(microscope)
        specimen = choose_specimen(
            protocol, microscope, self._registry, self._base, source, problems, simulate=simulate
        )
        geometry = plate_geometry(protocol.plate, microscope.file.stage, source, problems)
        wells, camera, specimen = self._wells(microscope, geometry, table, specimen)
        pixel_um = pixel_size_um(protocol.imaging, microscope, source, Problems()) or 1.0
        profile = plan_profile(protocol.imaging, microscope, pixel_um, wells, table, source, problems)
        analysis, readouts = plan_analysis(
            protocol.analysis,
            chosen.segmenter,
            [channel.name for channel in profile.channels],
            profile.pixel_size_um,
            camera.bits if camera is not None and camera.certain else None,
            source,
            problems,
        )
        about = None
        if chosen.question is not None:
            about = check_question(chosen.question, protocol.analysis, readouts, source, problems)
        controls = self._controls(chosen.question, wells, table)
        frame_bytes = camera.frame_bytes if camera is not None else 0
        self._check_limits(profile, wells, frame_bytes)
        problems.stop()
        policy, fallback = problems.need(chosen.policy), problems.need(chosen.fallback)
        plan = self._plan(microscope, wells, profile, frame_bytes, specimen, policy, problems.need(geometry))
        setup = _setup(plan, chosen.question, about, controls, policy)
        self._try_to_build(plan, setup, chosen, specimen)
        problems.stop()
        question = chosen.question
        return Loaded(
            protocol=protocol,
            plan=plan,
            analysis=analysis,
            microscope=microscope.plan(),
            simulation=specimen.plan if specimen is not None else None,
            setup=setup,
            policy_kind=policy.kind,
            policy_target=policy.target,
            policy_parameters=policy.parameters,
            fallback_kind=fallback.kind,
            fallback_target=fallback.target,
            fallback_parameters=fallback.parameters,
            question_kind=question.kind if question is not None else None,
            question_target=question.target if question is not None else None,
            question_parameters=question.parameters if question is not None else {},
            text=text,
            path=path,
            sources={
                source.file: hashlib.sha256(text.encode()).hexdigest(),
                **({table.file: table.sha256} if table is not None else {}),
                **microscope.hashes,
                **(specimen.hashes if specimen is not None else {}),
            },
        )

    def _plugins(self) -> _Chosen:
        protocol, source, problems = self._protocol, self._source, self._problems

        def find(group: str, block: PluginBlock | None, *path: str, defaults: Mapping[str, Any] | None = None) -> Any:
            if block is None:
                return None
            return choose(group, block, self._registry, source, problems, path, defaults)

        policy = find("policies", protocol.policy, "policy")
        # A fallback goes on in the same steps unless it says otherwise.
        shape = {} if policy is None else {key: getattr(policy.params, key) for key in PolicyParams.model_fields}
        return _Chosen(
            policy=policy,
            fallback=find("policies", protocol.fallback, "fallback", defaults=shape),
            question=find("questions", protocol.question, "question"),
            segmenter=None
            if protocol.analysis is None
            else find("segmenters", protocol.analysis.segment, "analysis", "segment"),
        )

    def _microscope(self, *, simulate: bool) -> Microscope | None:
        found = open_microscope(self._protocol.microscope, self._base, self._source, self._problems)
        if found is None or not simulate or found.cfg.needs_demo_adapters:
            return found
        return open_microscope("demo", self._base, self._source, self._problems)

    def _wells(
        self,
        microscope: Microscope,
        geometry: PlateGeometry | None,
        table: PlateMap | None,
        specimen: Specimen | None,
    ) -> tuple[list[WellPlan], Camera | None, Specimen | None]:
        protocol, source, problems = self._protocol, self._source, self._problems
        imaging = protocol.imaging
        chosen = [] if geometry is None else select_wells(protocol.plate, geometry, table, source, problems)
        if specimen is not None and chosen:
            names = [well_name(*well) for well in chosen]
            channels = list(dict.fromkeys(channel.name for channel in imaging.channels))
            specimen = describe(specimen, names, channels, self._base, source, problems)
        camera = camera_of(microscope, specimen, imaging.binning, source, problems)
        pixel_um = pixel_size_um(imaging, microscope, source, problems)
        if geometry is None or not chosen:
            return [], camera, specimen
        frame_um = camera.frame_um(pixel_um) if camera is not None and pixel_um is not None else None
        wells = plan_wells(protocol.plate, chosen, geometry, frame_um, table, protocol.seed, source, problems)
        if specimen is not None and specimen.info is not None:
            wells = named_by_specimen(wells, specimen.info, source, problems)
        check_stage(wells, microscope.stage_box(), source, problems)
        return wells, camera, specimen

    def _controls(self, question: Chosen | None, wells: Sequence[WellPlan], table: PlateMap | None) -> tuple[str, ...]:
        expression = None if question is None else getattr(question.params, "controls", None)
        if expression is None:
            return ()
        places = [(well.row, well.column) for well in wells]
        path = ("question", "controls")
        said = "there is nothing to compare with"
        found = matching(expression, places, table, self._source, self._problems, path, said)
        return tuple(well_name(*well) for well in found)

    def _check_limits(self, profile: ProfilePlan, wells: Sequence[WellPlan], frame_bytes: int) -> None:
        limits, source, problems = self._protocol.limits, self._source, self._problems
        frames = profile.frames_per_field
        if limits.frames is not None and limits.frames < frames:
            said = f"one field takes {frames} frames, so nothing could be imaged"
            problems.add(source.problem(("limits", "frames"), said))
        if limits.disk is not None and limits.disk < frames * frame_bytes:
            said = f"one field takes {frames * frame_bytes / 1e6:.1f} MB, so nothing could be imaged"
            problems.add(source.problem(("limits", "disk"), said))
        light = max((profile.light_s(well.name) for well in wells), default=0.0)
        if limits.light_per_field is not None and limits.light_per_field < light:
            said = f"one visit gives a field {light:g} s of light, so nothing could be imaged"
            problems.add(source.problem(("limits", "light_per_field"), said))

    def _plan(
        self,
        microscope: Microscope,
        wells: Sequence[WellPlan],
        profile: ProfilePlan,
        frame_bytes: int,
        specimen: Specimen | None,
        policy: Chosen,
        geometry: PlateGeometry,
    ) -> Plan:
        protocol = self._protocol
        limits, analysis = protocol.limits, protocol.analysis
        batch = int(getattr(policy.params, "wells_per_batch", 8))
        return Plan(
            name=protocol.name,
            seed=protocol.seed,
            plate_rows=geometry.rows,
            plate_columns=geometry.columns,
            wells=tuple(wells),
            profiles={"main": profile},
            stage=microscope.stage_box(),
            limits=Limits(
                frames=limits.frames,
                duration_s=limits.duration,
                disk_bytes=limits.disk,
                light_per_field_s=limits.light_per_field,
            ),
            batch=batch,
            in_flight=int(getattr(policy.params, "in_flight", None) or 2 * batch),
            readouts=tuple(analysis.readouts) if analysis is not None else (),
            once=specimen is not None and specimen.info is not None and specimen.info.once,
            retries=0 if self._protocol.analysis is None else self._protocol.analysis.quality.retries,
            virtual_clock=specimen is not None,
            analysis_latency_s=specimen.latency_s if specimen is not None else 0.2,
            deadline_s=analysis.deadline if analysis is not None else 10.0,
            frame_bytes=frame_bytes,
            cost=microscope.cost(),
        )

    def _try_to_build(self, plan: Plan, setup: Setup, chosen: _Chosen, specimen: Specimen | None) -> None:
        """Build every plug-in once and let it go, so that what only its constructor checks is found now."""
        parts = (("policy", chosen.policy), ("fallback", chosen.fallback), ("question", chosen.question))
        for key, part in parts:
            if part is None:
                continue
            try:
                part.plugin(part.plugin.Params(**part.parameters), setup)
            except (ProtocolError, ValueError) as error:
                self._problems.add(*anchored(error, self._source, (key,)))
        if chosen.segmenter is not None:
            segmenter = chosen.segmenter
            try:
                segmenter.plugin(segmenter.plugin.Params(**segmenter.parameters))
            except (ProtocolError, UsageError, ValueError) as error:  # no weights, say
                self._problems.add(*anchored(error, self._source, ("analysis", "segment")))
        if specimen is not None:
            try:
                specimen.chosen.plugin(specimen.plan.parameters, plan)
            except (ProtocolError, ValueError) as error:
                self._problems.add(*anchored(error, self._source, ("simulation",)))


def _setup(plan: Plan, question: Chosen | None, about: str | None, controls: Sequence[str], policy: Chosen) -> Setup:
    asked = question.params if question is not None else None
    confidence = getattr(asked, "confidence", None)
    level = getattr(asked, "false_hits", None if confidence is None else round(1 - confidence, 12))
    return Setup(
        wells=tuple(well.name for well in plan.wells),
        fields=tuple(len(well.fields) for well in plan.wells),
        controls=tuple(controls),
        readout=about,
        change=getattr(asked, "change", "up"),
        smallest=getattr(asked, "smallest", 0.0),
        level=0.05 if level is None else level,
        fields_per_visit=int(getattr(policy.params, "fields_per_visit", 1)),
        batch=plan.batch,
        frames_per_field=plan.profiles["main"].frames_per_field,
        seed=plan.seed,
        properties=tuple(well.properties for well in plan.wells),
    )
