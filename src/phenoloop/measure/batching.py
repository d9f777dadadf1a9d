"""Several fields in one call, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from phenoloop.measure.analysis import measure_field
from phenoloop.model import AnalysisPlan
from phenoloop.ports import Measurement


def measure_fields(plan: AnalysisPlan, batch: Sequence[Mapping[str, NDArray[Any]]]) -> list[Measurement | Exception]:
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
    return [_outcome(plan, frames) for frames in batch]


def _outcome(plan: AnalysisPlan, frames: Mapping[str, NDArray[Any]]) -> Measurement | Exception:
    try:
        return measure_field(plan, frames)
    except Exception as error:  # a segmenter is foreign code: what it raises is the outcome of this field
        return error
