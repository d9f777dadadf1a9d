"""The order in which a protocol is understood: its shape, its plug-ins, then every name and place it speaks of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import WellPlan
from phenoloop.plugins import Registry, look_beside
from phenoloop.protocol.geometry import PlateGeometry
from phenoloop.protocol.loaded import Loaded
from phenoloop.protocol.microscope_file import Microscope, open_microscope
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.platemap import PlateMap
from phenoloop.protocol.plugin_blocks import Chosen
from phenoloop.protocol.problems import Problems, validate
from phenoloop.protocol.resolve_analysis import check_question, plan_analysis
from phenoloop.protocol.resolve_fields import named_by_specimen, plan_wells
from phenoloop.protocol.resolve_imaging import pixel_size_um, plan_profile
from phenoloop.protocol.resolve_limits import batch_of, check_limits
from phenoloop.protocol.resolve_plate import check_stage, matching, plate_geometry, read_map, select_wells
from phenoloop.protocol.resolve_plugins import check_blocks, choose_plugins, try_to_build
from phenoloop.protocol.resolve_profiles import Planner, with_picks
from phenoloop.protocol.resolve_run import plan_run, setup_of
from phenoloop.protocol.resolve_specimen import Camera, Specimen, as_recorded, camera_of, choose_specimen, describe
from phenoloop.protocol.resolve_timelapse import check_policy, with_end, with_gaps
from phenoloop.protocol.resolve_trust import plan_trust
from phenoloop.protocol.wells import well_name
from phenoloop.protocol.yaml_reader import read
from phenoloop.protocol.yaml_source import Source

_LARGEST: Final = 10_000_000
"""Bytes; whoever gives an image for a protocol need not wait until it is read."""


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
        if path.stat().st_size > _LARGEST:
            said = f"this is no protocol: it has {path.stat().st_size / 1e6:.0f} MB, and a protocol a few kB"
            raise ProtocolError(Problem(said, str(path)))
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
    look_beside(base)
    source = read(text, name)
    problems = Problems()
    protocol = validate(Protocol, source.data, source, problems)
    if protocol is None:
        # The keys inside plug-in blocks can be checked all the same, so that a user sees everything at once.
        check_blocks(source, registry, problems)
    resolver = _Resolver(problems.need(protocol), source, registry, base, problems)
    return resolver.run(text, path, simulate=simulate)


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
        chosen = choose_plugins(protocol, self._registry, source, problems)
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
        microscope = as_recorded(microscope, protocol.imaging, specimen)
        pixel_um = pixel_size_um(protocol.imaging, microscope, source, Problems()) or 1.0
        profile = plan_profile(protocol.imaging, microscope, pixel_um, wells, table, source, problems)
        profile = with_end(profile, protocol.imaging, protocol.limits, source, problems, ("imaging",))
        check_policy(chosen.policy, profile, source, problems)
        analysis, readouts = plan_analysis(
            protocol.analysis,
            chosen.segmenter,
            [channel.name for channel in profile.channels],
            profile.pixel_size_um,
            camera.bits if camera is not None and camera.certain else None,
            source,
            problems,
        )
        analysis = with_gaps(analysis, profile, source, problems)
        about = None
        if chosen.question is not None:
            about = check_question(chosen.question, protocol.analysis, readouts, source, problems)
        controls = self._named_wells("controls", chosen.question, wells, table)
        plateau = self._named_wells("plateau", chosen.question, wells, table)
        frame_bytes = camera.frame_bytes if camera is not None else 0
        trust = plan_trust(protocol.analysis, analysis, about, readouts, controls, source, problems)
        planner = Planner(protocol, microscope, specimen, self._registry, source, problems)
        ways = planner.plan(profile, analysis, wells, table, frame_bytes)
        ways = with_picks(ways, chosen.question, source, problems)
        analysis = ways.analyses["main"]
        once = specimen is not None and specimen.info is not None and specimen.info.once
        check_limits(
            protocol,
            ways.profiles,
            wells,
            controls,
            ways.frame_bytes,
            source,
            problems,
            batch=batch_of(chosen.policy),
            once=once,
        )
        problems.stop()
        policy, fallback = problems.need(chosen.policy), problems.need(chosen.fallback)
        shape = problems.need(geometry)
        plan = plan_run(protocol, microscope, wells, ways, specimen, policy, shape, controls, trust)
        setup = setup_of(plan, ways, chosen.question, about, controls, plateau, policy)
        try_to_build(plan, setup, chosen, specimen, source, problems)
        problems.stop()
        question = chosen.question
        return Loaded(
            protocol=protocol,
            plan=plan,
            analysis=analysis,
            analyses={name: plan for name, plan in ways.analyses.items() if name != "main"},
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
                **{file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in chosen.files(self._base)},
            },
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
        microscope = as_recorded(microscope, imaging, specimen)
        camera = camera_of(microscope, specimen, imaging.binning, source, problems)
        pixel_um = pixel_size_um(imaging, microscope, source, problems)
        if geometry is None or not chosen:
            return [], camera, specimen
        frame_um = camera.frame_um(pixel_um) if camera is not None and pixel_um is not None else None
        recorded = specimen.info.fields if specimen is not None and specimen.info is not None else None
        wells = plan_wells(protocol.plate, chosen, geometry, frame_um, table, protocol.seed, source, problems, recorded)
        if specimen is not None and specimen.info is not None:
            wells = named_by_specimen(wells, specimen.info, source, problems)
        check_stage(wells, microscope.stage_box(), source, problems)
        return wells, camera, specimen

    def _named_wells(
        self, key: str, question: Chosen | None, wells: Sequence[WellPlan], table: PlateMap | None
    ) -> tuple[str, ...]:
        """Return the wells that an expression of the question names."""
        expression = None if question is None else getattr(question.params, key, None)
        if expression is None:
            return ()
        places = [(well.row, well.column) for well in wells]
        said = "there is nothing to compare with"
        found = matching(expression, places, table, self._source, self._problems, ("question", key), said)
        return tuple(well_name(*well) for well in found)
