"""The border to a segmenter: how it is built and asked, and what must be true of its labels before they are measured.

A segmenter is foreign code. What it raises is the outcome of the field it was given, and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError
from phenoloop.model import SegmentPlan
from phenoloop.plugins import Plugin
from phenoloop.ports import Segmentation, Segmenter

Frame = NDArray[Any]
_T = TypeVar("_T")


class Segmenting:
    """A segmenter, ready to be asked.

    Parameters
    ----------
    plan : SegmentPlan
        Which segmenter, its parameters, and the channel that it sees.

    Raises
    ------
    PluginError
        If it cannot be loaded.
    """

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan = plan
        found = Plugin("segmenters", plan.kind, plan.target, "the plan").load()
        self._segmenter: Segmenter = found(found.Params(**plan.parameters))

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Have it load its model for images of a shape, where it has something to load.

        Raises
        ------
        PhenoloopError
            If the model cannot be loaded.
        """
        warm_up = getattr(self._segmenter, "warm_up", None)
        if warm_up is not None:
            warm_up(shape)

    def describe(self) -> dict[str, Any]:
        """Return what it says of itself (model, hash, device); empty where it says nothing."""
        describe = getattr(self._segmenter, "describe", None)
        return {} if describe is None else dict(describe())

    def segment(self, fields: Sequence[Mapping[str, Frame]]) -> Sequence[Segmentation | Exception]:
        """Return one outcome per field; one that gains from it gets the images of all fields at once.

        Parameters
        ----------
        fields : sequence of mapping of str to ndarray
            Planes (y, x) by channel.
        """
        images = [planes[self._plan.channel] for planes in fields]
        many = getattr(self._segmenter, "segment_many", None)
        if many is not None and len(images) > 1:
            together: Sequence[Segmentation] | Exception = outcome_of(many, images)
            if not isinstance(together, Exception):
                return together
            # One of them spoils the batch: alone, each has its own outcome.
        return [outcome_of(self._segmenter.segment, image) for image in images]

    def checked(
        self, planes: Mapping[str, Frame], segmentation: Segmentation
    ) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
        """Return dense labels, and the confidence in each object where the segmenter offers one.

        Raises
        ------
        AnalysisError
            If the labels are no integers of the image's shape, are negative, or do not have as many scores.
        """
        image, labels = planes[self._plan.channel], np.asarray(segmentation.labels)
        if labels.shape != image.shape or labels.dtype.kind not in "ui":
            raise AnalysisError(
                f"segmenter {self._plan.kind!r} returned labels of shape {labels.shape} and type {labels.dtype} "
                f"for an image of shape {image.shape}; integers of the same shape are needed."
            )
        dense, kept = _dense(labels)
        scores = segmentation.scores
        if scores is not None and len(scores) != len(kept):
            raise AnalysisError(
                f"segmenter {self._plan.kind!r} returned {len(scores)} scores for labels up to {len(kept)}; "
                "one per label is needed."
            )
        return dense, None if scores is None else np.asarray(scores, dtype=np.float64)[kept]


def outcome_of(work: Callable[..., _T], *arguments: Any) -> _T | Exception:
    """Return what some work gives, or what it raises."""
    try:
        return work(*arguments)
    except Exception as error:  # a segmenter is foreign code: what it raises is the outcome of its field
        return error


def _dense(labels: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return labels as int32, dense from 1, in the order of their values, and which values occurred, from 1 on."""
    if labels.size == 0 or labels.min() < 0:
        raise AnalysisError("the segmenter returned empty or negative labels; 0 is background, objects count from 1.")
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    if present[1:].all():
        return np.ascontiguousarray(labels, dtype=np.int32), present[1:]
    dense: NDArray[np.int32] = np.where(present, np.cumsum(present), 0).astype(np.int32)[labels]
    return dense, present[1:]
