"""A field from frames to readouts: segment, measure, evaluate, judge. The same plan gives the same numbers anywhere."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError
from phenoloop.measure.features import object_table
from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.quality import Quality, gate, saturated_share
from phenoloop.measure.shape import Columns
from phenoloop.measure.spots import spot_features
from phenoloop.model import AnalysisPlan, SegmentPlan
from phenoloop.numerics.focus import focus_score
from phenoloop.numerics.images import as_plane
from phenoloop.plugins import Plugin
from phenoloop.ports import Measurement, Segmenter
from phenoloop.protocol.expressions import compile_readout, object_names

Frame = NDArray[Any]


class Analysis:
    """The analysis of one profile, built once per worker and used for every field.

    Holds no state between fields, so it may be shared by threads, and gives the same numbers in any order.

    Parameters
    ----------
    plan : AnalysisPlan
        Already checked.

    Raises
    ------
    PluginError
        If the segmenter cannot be loaded.
    ExpressionError
        If a readout names what the table will not have.
    """

    def __init__(self, plan: AnalysisPlan) -> None:
        use_one_thread()
        self.plan = plan
        self._segmenter = _build_segmenter(plan.segment) if plan.segment else None
        names = object_names(plan.channels, [spots.name for spots in plan.spots])
        self._readouts = {name: compile_readout(source, names) for name, source in plan.readouts.items()}

    def measure(self, frames: Mapping[str, Frame]) -> Measurement:
        """Analyse one field.

        Parameters
        ----------
        frames : mapping of str to ndarray, each of shape (y, x) or (z, y, x)
            By channel, every channel of the plan. A stack is taken as its maximum projection.

        Returns
        -------
        Measurement

        Raises
        ------
        AnalysisError
            If a frame is missing, no grey plane, not finite, or of another shape than the others; or if the segmenter
            breaks its contract.
        """
        planes = _planes(frames, self.plan.channels)
        started = time.perf_counter()
        labels = self._segment(planes)
        segmented = time.perf_counter()
        table, all_labels = self._table(planes, labels)
        n = int(labels.max(initial=0)) if labels is not None else 0
        readouts = {name: _known(readout.evaluate(table, n)) for name, readout in self._readouts.items()}
        quality, reason = self._quality(planes, n if labels is not None else None)
        return Measurement(
            status="qc_fail" if reason else "ok",
            readouts=readouts,
            quality=quality,
            reason=reason,
            labels=all_labels,
            objects=table,
            timing_ms={
                "segment": (segmented - started) * 1e3,
                "measure": (time.perf_counter() - segmented) * 1e3,
            },
        )

    def _segment(self, planes: Mapping[str, Frame]) -> NDArray[np.int32] | None:
        segment = self.plan.segment
        if self._segmenter is None or segment is None:
            return None
        image = planes[segment.channel]
        labels = np.asarray(self._segmenter.segment(image).labels)
        if labels.shape != image.shape or labels.dtype.kind not in "ui":
            raise AnalysisError(
                f"segmenter {segment.kind!r} returned labels of shape {labels.shape} and type {labels.dtype} "
                f"for an image of shape {image.shape}; integers of the same shape are needed."
            )
        return _dense(labels)

    def _table(
        self, planes: Mapping[str, Frame], labels: NDArray[np.int32] | None
    ) -> tuple[Columns, dict[str, NDArray[np.int32]]]:
        if labels is None or self.plan.segment is None:
            # no objects were asked for: a table without rows, so that every readout is evaluated by the same rules
            shape = next(iter(planes.values())).shape if planes else (0, 0)
            labels = np.zeros(shape, dtype=np.int32)
            named: dict[str, NDArray[np.int32]] = {}
        else:
            named = {self.plan.segment.name: labels}
        around = Neighbourhood(labels)
        table = object_table(labels, planes, pixel_size_um=self.plan.pixel_size_um, around=around)
        for spots in self.plan.spots:
            columns, found = spot_features(planes[spots.channel], spots, around, table["area"])
            table.update(columns)
            named[spots.name] = found.labels
        return table, named

    def _quality(self, planes: Mapping[str, Frame], objects: int | None) -> tuple[Quality, str]:
        saturated = {name: saturated_share(plane, self.plan.bit_depth) for name, plane in planes.items()}
        channel = self.plan.segment.channel if self.plan.segment else next(iter(planes), None)
        focus = _known(focus_score(planes[channel])) if channel is not None else None
        known = [share for share in saturated.values() if share is not None]
        quality: Quality = {
            "objects": None if objects is None else float(objects),
            "saturated": max(known) if known else None,
            "focus": focus,
        }
        return quality, gate(self.plan.quality, objects=objects, saturated=saturated, focus=focus)


_BUILT: dict[bytes, Analysis] = {}


def measure_field(plan: AnalysisPlan, frames: Mapping[str, Frame]) -> Measurement:
    """Analyse one field in whatever thread or process this is; the analysis of a plan is built once per process.

    Made for ``Executor.submit``: a module-level function of picklable arguments, for threads and spawned processes.

    Raises
    ------
    AnalysisError
        See `Analysis.measure`.
    """
    key = pickle.dumps(plan)  # its mappings cannot be hashed
    analysis = _BUILT.get(key)
    if analysis is None:
        # two threads may both build one at the start; they are equal, and the first stays
        analysis = _BUILT.setdefault(key, Analysis(plan))
    return analysis.measure(frames)


def use_one_thread() -> None:
    """Keep OpenCV to the calling thread: workers are the parallelism, and pools that compete run many times slower."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


def _build_segmenter(segment: SegmentPlan) -> Segmenter:
    found = Plugin("segmenters", segment.kind, segment.target, "the plan").load()
    segmenter: Segmenter = found(found.Params(**segment.parameters))
    return segmenter


def _planes(frames: Mapping[str, Frame], channels: tuple[str, ...]) -> dict[str, Frame]:
    missing = [channel for channel in channels if channel not in frames]
    if missing:
        raise AnalysisError(f"no frame of {', '.join(missing)}; the analysis needs {', '.join(channels)}.")
    planes = {}
    for channel in channels:
        frame = np.asarray(frames[channel])
        if frame.ndim == 3 and frame.shape[0] > 0 and frame.shape[-1] not in (3, 4):
            frame = frame.max(axis=0)
        as_plane(frame, channel)
        planes[channel] = np.ascontiguousarray(frame)
    shapes = {channel: plane.shape for channel, plane in planes.items()}
    if len(set(shapes.values())) > 1:
        raise AnalysisError(f"the channels of one field differ in shape: {shapes}; they must be images of one place.")
    return planes


def _dense(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as int32, dense from 1, in the order of their values."""
    if labels.size == 0 or labels.min() < 0:
        raise AnalysisError("the segmenter returned empty or negative labels; 0 is background, objects count from 1.")
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    if present[1:].all():
        return np.ascontiguousarray(labels, dtype=np.int32)
    dense: NDArray[np.int32] = np.where(present, np.cumsum(present), 0).astype(np.int32)[labels]
    return dense


def _known(value: float | None) -> float | None:
    """Return a Python float, or None for what is unknown."""
    if value is None or not np.isfinite(value):
        return None
    return float(value)
