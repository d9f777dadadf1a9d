"""From the quality block to how fields are compared with each other: with which wells, by which numbers, how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phenoloop.model import AnalysisPlan, TrustPlan
from phenoloop.model.features import catalogue
from phenoloop.model.quality import AUTO_COUNT_DROP, AUTO_DISTANCE, METRICS, compared
from phenoloop.protocol.analysis_models import AnalysisBlock
from phenoloop.protocol.expressions import Readout
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.yaml_source import Path, Source

_QUALITY: Path = ("analysis", "quality")


def plan_trust(
    block: AnalysisBlock | None,
    analysis: AnalysisPlan,
    about: str | None,
    readouts: Mapping[str, Readout],
    controls: Sequence[str],
    source: Source,
    problems: Problems,
) -> TrustPlan:
    """Return the comparisons of a run; one that cannot be made, or that would select on the answer, is a problem.

    Parameters
    ----------
    block : AnalysisBlock or None
        None: nothing is measured, nothing is compared.
    analysis : AnalysisPlan
        Of the profile ``main``.
    about : str or None
        The question's readout.
    readouts : mapping of str to Readout
        All that are measured.
    controls : sequence of str
        Wells that the question names as controls.
    """
    if block is None:
        return TrustPlan()
    readout = readouts.get(about) if about is not None else None
    return TrustPlan(
        metrics=_metrics(analysis, readout),
        max_distance=_distance(block, controls, source, problems),
        max_count_drop=_count_drop(block, about, readout, source, problems),
    )


def _metrics(analysis: AnalysisPlan, readout: Readout | None) -> tuple[str, ...]:
    if analysis.profile is not None:
        # a profile looks at everything, and questions and policies may look at the profile
        names: Sequence[str] = analysis.profile.columns
    elif readout is not None:
        names = readout.names_used
    else:
        return tuple(metric.name for metric in METRICS)
    table = catalogue(analysis.channels, [spots.name for spots in analysis.spots])
    families = {table[name].family for name in names if name in table}
    segmented = "" if analysis.segment is None else f"{analysis.segment.channel}."
    return compared(families, same_channel=any(name.startswith(segmented) for name in names if "." in name))


def _distance(block: AnalysisBlock, controls: Sequence[str], source: Source, problems: Problems) -> float | None:
    asked = block.quality.out_of_distribution
    if asked == "off":
        return None
    if not controls:
        if source.has(*_QUALITY, "out_of_distribution"):
            said = "there are no controls to compare with; name them in `question: controls`, or write off"
            problems.add(source.problem((*_QUALITY, "out_of_distribution"), said, key=True))
        return None
    return AUTO_DISTANCE if asked == "auto" else float(asked)


def _count_drop(
    block: AnalysisBlock, about: str | None, readout: Readout | None, source: Source, problems: Problems
) -> float | None:
    asked = block.quality.count_drop
    if asked == "off":
        return None
    if readout is not None and readout.uses_count:
        said = (
            f"the question is about {about!r}, which counts objects: a gate on a fall of their number would remove the "
            "wells that lose cells; take count_drop out, or ask about a readout without count()"
        )
        problems.add(source.problem((*_QUALITY, "count_drop"), said, key=True))
        return None
    return AUTO_COUNT_DROP if asked == "auto" else float(asked)
