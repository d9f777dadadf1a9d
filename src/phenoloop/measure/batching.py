"""What a worker does with its plan: make ready before the run, then fields, some at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from phenoloop.measure.analysis import built
from phenoloop.model import AnalysisPlan
from phenoloop.ports import Measurement

Frames = Mapping[str, NDArray[Any]]


def measure_fields(plan: AnalysisPlan, batch: Sequence[Frames]) -> list[Measurement | Exception]:
    """Analyse some fields; what goes wrong in one of them is its own outcome.

    A module-level function of picklable arguments, for threads and spawned processes.

    Parameters
    ----------
    plan : AnalysisPlan
        How.
    batch : sequence of mapping of str to ndarray
        The frames of each field, by channel.

    Returns
    -------
    list of Measurement or Exception
        In the order of `batch`.
    """
    return built(plan).measure_many(batch)


def make_ready(plan: AnalysisPlan, blank: Frames) -> dict[str, Any]:
    """Load the model, measure a blank field, and return what the segmenter says of itself.

    Parameters
    ----------
    plan : AnalysisPlan
        How.
    blank : mapping of str to ndarray
        Frames of the shape and dtype to come.

    Raises
    ------
    PhenoloopError
        If the analysis cannot work at all.
    """
    analysis = built(plan)
    if plan.segment is not None:
        height, width = blank[plan.segment.channel].shape
        analysis.warm_up((height, width))
    analysis.measure(blank)
    return analysis.describe()
