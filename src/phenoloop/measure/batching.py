"""What a worker does with its plan: make ready before the run, then fields, some at a time."""

from __future__ import annotations

import time
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

    With it come its `kind` and, as ``frame_s``, the seconds that a frame takes once everything is loaded: a frame of
    noise through the segmenter, and a blank one through the rest.

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
    shape = blank[plan.segment.channel].shape if plan.segment is not None else (0, 0)
    for _ in range(2):  # the first time also loads and compiles
        begun = time.perf_counter()
        if plan.segment is not None:
            analysis.warm_up((shape[0], shape[1]))
        analysis.measure(blank)
        frame_s = time.perf_counter() - begun
    kind = {} if plan.segment is None else {"kind": plan.segment.kind}
    return {**kind, **analysis.describe(), "frame_s": round(frame_s, 4)}
