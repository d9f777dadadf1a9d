"""The ways of imaging beside ``main``, each with its analysis, and which objects they are asked to find."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phenoloop.model import AnalysisPlan, ObjectSearch, PickPlan, ProfilePlan, WellPlan
from phenoloop.plugins import Registry
from phenoloop.protocol.analysis_models import AnalysisBlock
from phenoloop.protocol.expressions import ExpressionError, compile_object, object_names
from phenoloop.protocol.imaging_models import ChannelBlock, Imaging, ProfileBlock
from phenoloop.protocol.microscope_file import Microscope
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.names import nearest
from phenoloop.protocol.platemap import PlateMap
from phenoloop.protocol.plugin_blocks import Chosen, anchored, choose
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.resolve_analysis import plan_analysis
from phenoloop.protocol.resolve_imaging import pixel_size_um, plan_profile
from phenoloop.protocol.resolve_specimen import Specimen, camera_of
from phenoloop.protocol.resolve_timelapse import with_gaps
from phenoloop.protocol.yaml_source import Path, Source


@dataclass(frozen=True, slots=True)
class Ways:
    """Every way of imaging of a protocol, ``main`` first.

    Attributes
    ----------
    profiles : mapping of str to ProfilePlan
        How it is imaged.
    analyses : mapping of str to AnalysisPlan
        How it is analysed.
    frame_bytes : int
        Uncompressed size of the largest frame of any of them.
    objects : ObjectSearch or None
        Where the question is about single objects.
    """

    profiles: Mapping[str, ProfilePlan]
    analyses: Mapping[str, AnalysisPlan]
    frame_bytes: int
    objects: ObjectSearch | None = None


class Planner:
    """Plans the profiles of one protocol.

    Parameters
    ----------
    protocol : Protocol
        Of the right shape.
    microscope : Microscope
        Objectives, their offsets, camera.
    specimen : Specimen or None
        What stands in for one; its camera lies straight on the stage.
    registry : Registry
        Segmenters.
    source, problems
        For messages.
    """

    def __init__(
        self,
        protocol: Protocol,
        microscope: Microscope,
        specimen: Specimen | None,
        registry: Registry,
        source: Source,
        problems: Problems,
    ) -> None:
        self._protocol = protocol
        self._microscope = microscope
        self._specimen = specimen
        self._registry = registry
        self._source = source
        self._problems = problems

    def plan(
        self,
        main: ProfilePlan,
        analysis: AnalysisPlan,
        wells: Sequence[WellPlan],
        table: PlateMap | None,
        frame_bytes: int,
    ) -> Ways:
        """Return ``main`` as it was planned, completed by its optics, and the others; what cannot be is a problem.

        Parameters
        ----------
        main : ProfilePlan
            From the block `imaging`.
        analysis : AnalysisPlan
            From the block `analysis`.
        wells, table
            For exposures that the plate map gives.
        frame_bytes : int
            Of ``main``.
        """
        profiles = {"main": self._with_optics(main, self._protocol.imaging)}
        analyses = {"main": analysis}
        for name, block in self._protocol.profiles.items():
            at: Path = ("profiles", name)
            if name == "main":
                said = "`main` is the name of the block imaging; choose another name"
                self._problems.add(self._source.problem(at, said, key=True))
                continue
            imaging = self._imaging(block, at)
            if imaging is None:
                continue
            pixel_um = pixel_size_um(imaging, self._microscope, self._source, self._problems, at) or 1.0
            profile = plan_profile(
                imaging, self._microscope, pixel_um, wells, table, self._source, self._problems, name, at
            )
            profiles[name] = self._with_optics(profile, imaging)
            analyses[name] = self._analysis(block, profiles[name], analysis, (*at, "analysis"))
            camera = camera_of(self._microscope, self._specimen, imaging.binning, self._source, self._problems)
            frame_bytes = max(frame_bytes, 0 if camera is None else camera.frame_bytes)
        return Ways(profiles, analyses, frame_bytes)

    def _imaging(self, block: ProfileBlock, at: Path) -> Imaging | None:
        """Return the block `imaging` with what a profile changes."""
        base = self._protocol.imaging
        named: dict[str, Any] = {
            key: getattr(block, key) for key in block.model_fields_set - {"analysis", "channels", "z", "autofocus"}
        }
        known = {channel.name: channel for channel in base.channels}
        channels = base.channels
        if "channels" in block.model_fields_set:
            channels = []
            for index, channel in enumerate(block.channels):
                if isinstance(channel, ChannelBlock):
                    channels.append(channel)
                elif channel in block.channels[:index]:
                    said = f"the channel {channel!r} is named twice; take one out"
                    self._problems.add(self._source.problem((*at, "channels", index), said))
                elif channel in known:
                    channels.append(known[channel])
                else:
                    said = f"imaging has no channel {channel!r}{nearest(channel, known)} (channels: {', '.join(known)})"
                    self._problems.add(self._source.problem((*at, "channels", index), said))
            if len(channels) < len(block.channels):
                return None
        if "z" in block.model_fields_set:
            named["z"] = None if block.z == "off" else block.z
        if "autofocus" in block.model_fields_set:
            named["autofocus"] = None if block.autofocus == "off" else block.autofocus
        elif base.autofocus is not None and base.autofocus.channel not in {channel.name for channel in channels}:
            said = (
                f"imaging focuses in {base.autofocus.channel}, which this profile does not image; write "
                "autofocus: off, or one of its own"
            )
            self._problems.add(self._source.problem(at, said, key=True))
            return None
        return base.model_copy(update={**named, "channels": channels})

    def _with_optics(self, profile: ProfilePlan, imaging: Imaging) -> ProfilePlan:
        """Return a profile with what the microscope file knows of its objective and its camera."""
        silent = Problems()  # what is wrong with the camera is told where the plate is planned
        camera = camera_of(self._microscope, self._specimen, imaging.binning, self._source, silent)
        if camera is not None:
            profile = dataclasses.replace(profile, frame_um=camera.frame_um(profile.pixel_size_um))
        objective = self._microscope.file.objectives.get(imaging.objective or "")
        if objective is not None:
            offset = objective.offset
            profile = dataclasses.replace(
                profile, offset_um=(offset.x, offset.y, offset.z), safe_z_um=objective.safe_height
            )
        if self._specimen is None and self._microscope.camera is not None:
            profile = dataclasses.replace(profile, image_axes=self._microscope.camera.image_axes())
        return profile

    def _analysis(self, block: ProfileBlock, profile: ProfilePlan, main: AnalysisPlan, at: Path) -> AnalysisPlan:
        base = self._protocol.analysis
        merged: AnalysisBlock | None = None
        segmenter: Chosen | None = None
        if base is not None:
            named = {key: getattr(block.analysis, key) for key in block.analysis.model_fields_set}
            merged = base.model_copy(update=named)
            segment_at = (*at, "segment") if "segment" in named else ("analysis", "segment")
            segmenter = choose("segmenters", merged.segment, self._registry, self._source, self._problems, segment_at)
            if segmenter is not None and "segment" in named:
                self._try_to_build(segmenter, segment_at)
        elif block.analysis.model_fields_set:
            said = "a profile's analysis starts from the block `analysis`, and the protocol has none"
            self._problems.add(self._source.problem(at, said, key=True))
        plan, _ = plan_analysis(
            merged,
            segmenter,
            [channel.name for channel in profile.channels],
            profile.pixel_size_um,
            main.bit_depth,
            self._source,
            self._problems,
            at,
        )
        return with_gaps(plan, profile, self._source, self._problems)

    def _try_to_build(self, segmenter: Chosen, at: Path) -> None:
        try:
            segmenter.plugin(segmenter.plugin.Params(**segmenter.parameters))
        except Exception as error:  # whatever a foreign constructor raises is a problem of its block
            self._problems.add(*anchored(error, self._source, at))


def with_picks(ways: Ways, question: Chosen | None, source: Source, problems: Problems) -> Ways:
    """Return the ways with what the question asks of single objects; an expression that cannot be is a problem."""
    found, confirmed = (getattr(question and question.params, key, None) for key in ("found_by", "confirmed_by"))
    if question is None or found is None or confirmed is None:
        return ways
    analyses = dict(ways.analyses)
    for key, block in (("found_by", found), ("confirmed_by", confirmed)):
        at: Path = ("question", key)
        if block.profile not in analyses and source.has("profiles", block.profile):
            continue  # what is wrong with it is told where it stands
        if block.profile not in analyses:
            known = ", ".join(analyses)
            said = f"there is no profile {block.profile!r}{nearest(block.profile, analyses)} (profiles: {known})"
            problems.add(source.problem((*at, "profile"), said))
            continue
        plan = analyses[block.profile]
        if plan.segment is None:
            if not source.has("analysis"):
                said = "this is about single objects, and nothing finds any: write analysis: with segment:"
                problems.add(source.problem(at, said, key=True))
            continue
        names = object_names(plan.channels, [spots.name for spots in plan.spots])
        best_first = getattr(block, "best_first", None)
        for part, text, condition in (("where", block.where, True), ("best_first", best_first, False)):
            try:
                if text is not None:
                    compile_object(text, names, condition=condition)
            except ExpressionError as error:
                problems.add(source.problem((*at, part), error.message, within=error.at))
        analyses[block.profile] = dataclasses.replace(plan, pick=PickPlan(where=block.where, best_first=best_first))
    if found.profile == confirmed.profile:
        said = f"objects are found and confirmed by {found.profile!r}; name the profile of the second look"
        problems.add(source.problem(("question", "confirmed_by", "profile"), said))
    params: Any = question.params
    search = ObjectSearch(
        found_by=found.profile, confirmed_by=confirmed.profile, target=params.target, within_um=params.within
    )
    return dataclasses.replace(ways, analyses=analyses, objects=search)
