"""From the analysis and question blocks to what a field becomes, and to which wells the question compares with."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from phenoloop.model import AnalysisPlan, FieldProfilePlan, QualityPlan, SegmentPlan, SpotsPlan, features
from phenoloop.model.features import CELLPROFILER, FAMILIES
from phenoloop.plugins import Plugin
from phenoloop.protocol.analysis_models import AnalysisBlock, QualityBlock
from phenoloop.protocol.expressions import ExpressionError, Readout, compile_readout, object_names
from phenoloop.protocol.names import nearest
from phenoloop.protocol.plugin_blocks import Chosen
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_source import Path, Source


def plan_analysis(
    block: AnalysisBlock | None,
    segmenter: Chosen | None,
    channels: Sequence[str],
    pixel_um: float,
    bit_depth: int | None,
    source: Source,
    problems: Problems,
    at: Path = ("analysis",),
) -> tuple[AnalysisPlan, dict[str, Readout]]:
    """Return the analysis and the compiled readouts; what cannot be resolved is a problem.

    Parameters
    ----------
    block : AnalysisBlock or None
        None: frames are stored and nothing is measured.
    segmenter : Chosen or None
        The plug-in of its `segment`.
    channels : sequence of str
        Names of the protocol, in order.
    pixel_um : float
        Size of a binned pixel.
    bit_depth : int or None
        Of the camera, where it is known before the run.
    at : tuple
        Where the block stands.
    """
    if block is None:
        return AnalysisPlan(channels=tuple(channels), pixel_size_um=pixel_um, bit_depth=bit_depth), {}
    _check_channel(block.segment.channel, channels, (*at, "segment", "channel"), source, problems)
    one = source.has(*at, "spots", "name") or not source.has(*at, "spots", 0)
    taken = {block.segment.name: "the labels of analysis.segment", **dict.fromkeys(channels, "a channel")}
    for index, spots in enumerate(block.spots):
        path: Path = (*at, "spots") if one else (*at, "spots", index)
        _check_channel(spots.channel, channels, (*path, "channel"), source, problems)
        if spots.name in taken:
            said = f"{spots.name!r} is the name of {taken[spots.name]} already; choose another name"
            problems.add(source.problem((*path, "name"), said))
        taken[spots.name] = "other spots"
    names = object_names(channels, [spots.name for spots in block.spots])
    readouts: dict[str, Readout] = {}
    for name, expression in block.readouts.items():
        try:
            readouts[name] = compile_readout(expression, names)
        except ExpressionError as error:
            problems.add(source.problem((*at, "readouts", name), error.message, within=error.at))
            continue
        if not readouts[name].names_used and not readouts[name].uses_count:
            said = "this looks at no object, so it is the same in every field; write one such as mean(area)"
            problems.add(source.problem((*at, "readouts", name), said))
    profile, profiled = _profile(block, channels, source, problems)
    plan = AnalysisPlan(
        channels=tuple(channels),
        segment=None
        if segmenter is None
        else SegmentPlan(
            kind=segmenter.kind,
            target=segmenter.target,
            channel=block.segment.channel,
            name=block.segment.name,
            parameters=segmenter.parameters,
        ),
        spots=tuple(
            SpotsPlan(
                name=spots.name,
                channel=spots.channel,
                diameter_px=spots.diameter,
                threshold=spots.threshold,
                within_px=spots.within,
            )
            for spots in block.spots
        ),
        readouts=dict(block.readouts),
        families=tuple(dict.fromkeys((*_families(block.features, (*at, "features"), source, problems), *profiled))),
        profile=profile,
        quality=_quality(block.quality, segmenter),
        pixel_size_um=pixel_um,
        bit_depth=bit_depth,
        workers=block.workers,
        executor=block.executor,
        batch=block.batch or (1 if segmenter is None else int(getattr(segmenter.plugin, "fields_at_once", 1))),
    )
    return plan, readouts


def _profile(
    block: AnalysisBlock, channels: Sequence[str], source: Source, problems: Problems
) -> tuple[FieldProfilePlan | None, tuple[str, ...]]:
    """Return the profile that is asked for, and the families it is made of."""
    if block.profile is None:
        return None, ()
    path: Path = ("analysis", "profile", "families")
    families = _families(block.profile.families, path, source, problems)
    of_table = features.catalogue(channels, [spots.name for spots in block.spots])
    columns = [name for name, feature in of_table.items() if feature.family in families]
    if CELLPROFILER in families and find_spec("cp_measure") is not None:
        # only the package knows its names; asked for by name, because the measuring part lies above this one
        plugin = Plugin("features", CELLPROFILER, "phenoloop.measure.cp_measure:CellProfiler", "phenoloop")
        columns += plugin.load()().names(channels)
    chosen = features.of_phenotype(columns)
    if not chosen and families:
        said = (
            f"{', '.join(families)} has no feature here that can stand in a profile; add families, or take this line "
            "out for all of them"
        )
        problems.add(source.problem(path, said))
    return FieldProfilePlan(columns=chosen, summary=block.profile.summary), families


def _families(asked: Sequence[str], block: Path, source: Source, problems: Problems) -> tuple[str, ...]:
    """Return the families of features that are asked for, ``all`` written out."""
    known = ("all", CELLPROFILER, *FAMILIES)
    for index, name in enumerate(asked):
        path = (*block, index) if source.has(*block, 0) else block
        if name not in known:
            said = f"there is no family of features {name!r}{nearest(name, known)} (families: {', '.join(known)})"
            problems.add(source.problem(path, said))
        elif name == CELLPROFILER and find_spec("cp_measure") is None:
            said = "the package cp_measure is not installed; install it with: pip install 'phenoloop[profile]'"
            problems.add(source.problem(path, said))
    written = [family for name in asked for family in (FAMILIES if name == "all" else (name,))]
    return tuple(dict.fromkeys(written))


def _check_channel(name: str, channels: Sequence[str], path: Path, source: Source, problems: Problems) -> None:
    if name not in channels:
        said = f"there is no channel {name!r}{nearest(name, channels)} (channels: {', '.join(channels)})"
        if path[0] == "profiles" and not source.has(*path):
            said = (
                f"this profile does not image {name!r}, in which `analysis` looks (channels: {', '.join(channels)}); "
                "add the channel to it, or give it an analysis: of its own"
            )
        problems.add(source.problem(path, said))


def _quality(block: QualityBlock, segmenter: Chosen | None) -> QualityPlan:
    focus: float | None = None
    confidence: float | None = None
    if block.confidence == "auto":
        # only its author knows what its scores mean; one that says nothing is not judged by them
        confidence = getattr(segmenter.plugin, "least_confidence", None) if segmenter is not None else None
    elif block.confidence != "off":
        confidence = float(block.confidence)
    if block.focus == "auto":
        from phenoloop.numerics.focus import AUTO_MIN_FOCUS  # brings OpenCV

        focus = AUTO_MIN_FOCUS
    elif block.focus != "off":
        focus = float(block.focus)
    return QualityPlan(
        min_objects=block.min_objects, max_saturated=block.max_saturated, min_focus=focus, min_confidence=confidence
    )


def check_question(
    question: Chosen, block: AnalysisBlock | None, readouts: dict[str, Readout], source: Source, problems: Problems
) -> str | None:
    """Return the readout a question is about; one that is not measured, or that a gate selects on, is a problem."""
    readout = getattr(question.params, "readout", None)
    if readout is None:
        return None
    known = list(block.readouts) if block is not None else []
    if readout not in known:
        said = f"there is no readout {readout!r}{nearest(readout, known)} (readouts: {', '.join(known) or 'none'})"
        problems.add(source.problem(("question", "readout"), said))
        return None
    gate = block.quality.min_objects if block is not None else None
    if gate is not None and readout in readouts and readouts[readout].uses_count:
        said = (
            f"the question is about {readout!r}, which counts objects: a gate on their number would remove exactly the "
            "wells that lose cells; take min_objects out, or ask about a readout without count()"
        )
        problems.add(source.problem(("analysis", "quality", "min_objects"), said, key=True))
    return str(readout)
