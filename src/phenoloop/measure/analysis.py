"""A field from frames to readouts: segment, measure, evaluate, judge. The same plan gives the same numbers anywhere."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError
from phenoloop.measure.cp_measure import CellProfiler
from phenoloop.measure.features import object_table
from phenoloop.measure.frames import frame_numbers
from phenoloop.measure.objects import Objects
from phenoloop.measure.picking import Picker
from phenoloop.measure.profile import field_profile
from phenoloop.measure.quality import Quality, gate, saturated_share
from phenoloop.measure.segmenting import Segmenting, outcome_of
from phenoloop.measure.shape import Columns
from phenoloop.measure.spots import spot_features, spot_field, spot_pattern, spot_sizes
from phenoloop.model import AnalysisPlan, features
from phenoloop.numerics.focus import focus_score
from phenoloop.numerics.images import as_plane, pixel_noise
from phenoloop.numerics.rounding import significant
from phenoloop.platform import keep_freed_memory
from phenoloop.ports import Measurement, Segmentation
from phenoloop.protocol.expressions import compile_readout

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
        If the segmenter cannot be loaded, or a package that the plan's features need is not installed.
    ExpressionError
        If a readout names what the table will not have.
    """

    def __init__(self, plan: AnalysisPlan) -> None:
        use_one_thread()
        keep_freed_memory()
        self.plan = plan
        self._segmenting = None if plan.segment is None else Segmenting(plan.segment)
        names = features.catalogue(plan.channels, [spots.name for spots in plan.spots])
        self._readouts = {name: compile_readout(source, names) for name, source in plan.readouts.items()}
        named = {names[column].family for readout in self._readouts.values() for column in readout.names_used}
        self._picker = None if plan.pick is None else Picker(plan.pick, names)
        if self._picker is not None:
            named |= {names[column].family for column in self._picker.names_used}
        self._families = frozenset(named | set(plan.families))
        self._cell_profiler = CellProfiler() if features.CELLPROFILER in self._families else None

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
        (outcome,) = self.measure_many([frames])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def measure_many(self, batch: Sequence[Mapping[str, Frame]]) -> list[Measurement | Exception]:
        """Analyse several fields; a segmenter that gains from it gets their images at once.

        Parameters
        ----------
        batch : sequence of mapping
            As for `measure`.

        Returns
        -------
        list of Measurement or Exception
            In the order of `batch`; what goes wrong with one field is its own outcome.
        """
        fields = [outcome_of(_planes, frames, self._channels_of(frames)) for frames in batch]
        good = [planes for planes in fields if not isinstance(planes, Exception)]
        started = time.perf_counter()
        found = iter([None] * len(good) if self._segmenting is None else self._segmenting.segment(good))
        segment_ms = (time.perf_counter() - started) * 1e3 / max(1, len(good))
        outcomes: list[Measurement | Exception] = []
        for planes in fields:
            if isinstance(planes, Exception):
                outcomes.append(planes)
                continue
            segmentation = next(found)
            if isinstance(segmentation, Exception):
                outcomes.append(segmentation)
            else:
                outcomes.append(outcome_of(self._finish, planes, segmentation, segment_ms))
        return outcomes

    def warm_up(self, shape: tuple[int, int]) -> None:
        """Have the segmenter load its model for images of a shape, where it has something to load.

        Raises
        ------
        PhenoloopError
            If the model cannot be loaded.
        """
        if self._segmenting is not None:
            self._segmenting.warm_up(shape)

    def describe(self) -> dict[str, Any]:
        """Return what the segmenter says of itself (model, hash, device); empty where it says nothing."""
        return {} if self._segmenting is None else self._segmenting.describe()

    def _finish(self, planes: Mapping[str, Frame], segmentation: Segmentation | None, segment_ms: float) -> Measurement:
        started = time.perf_counter()
        labels, confidence = None, None
        if segmentation is not None and self._segmenting is not None:
            labels, confidence = self._segmenting.checked(planes, segmentation)
        objects = self._objects(planes, labels)
        table, all_labels = self._table(planes, objects, confidence)
        self._forget_absent(planes, table)
        n = int(labels.max(initial=0)) if labels is not None else 0
        readouts = {name: _known(readout.evaluate(table, n)) for name, readout in self._readouts.items()}
        quality, reason = self._quality(planes, objects if labels is not None else None, confidence)
        return Measurement(
            status="qc_fail" if reason else "ok",
            readouts=readouts,
            quality=quality,
            reason=reason,
            labels=all_labels,
            objects=table,
            timing_ms={"segment": segment_ms, "measure": (time.perf_counter() - started) * 1e3},
            notes=() if segmentation is None else segmentation.notes,
            profile=() if self.plan.profile is None else field_profile(table, self.plan.profile),
            candidates=() if self._picker is None else self._picker.pick(table, next(iter(planes.values())).shape),
        )

    def _channels_of(self, frames: Mapping[str, Frame]) -> tuple[str, ...]:
        """Return the channels that a field must have: those of the plan but for what this time point leaves out."""
        return tuple(name for name in self.plan.channels if name in frames or name not in self.plan.sometimes)

    def _forget_absent(self, planes: Mapping[str, Frame], table: Columns) -> None:
        """Make unknown, in place, all columns of channels that this time point has no picture of."""
        absent = [name for name in self.plan.channels if name not in planes]
        if not absent:
            return
        n = len(table["label"])
        spots = [spots.name for spots in self.plan.spots if spots.channel in absent]
        of_absent = (*(f"{name}." for name in (*absent, *spots)),)
        for name in features.catalogue(self.plan.channels, [spots.name for spots in self.plan.spots]):
            if name.startswith(of_absent) or name.endswith((*(f"_{other}" for other in absent),)):
                table[name] = np.full(n, np.nan)

    def _objects(self, planes: Mapping[str, Frame], labels: NDArray[np.int32] | None) -> Objects:
        if labels is None:
            # no objects were asked for: a table without rows, so that every readout is evaluated by the same rules
            shape = next(iter(planes.values())).shape if planes else (0, 0)
            labels = np.zeros(shape, dtype=np.int32)
        return Objects(labels, self.plan.pixel_size_um)

    def _table(
        self, planes: Mapping[str, Frame], objects: Objects, confidence: NDArray[np.float64] | None
    ) -> tuple[Columns, dict[str, NDArray[np.int32]]]:
        labels = objects.labels
        named = {} if self.plan.segment is None else {self.plan.segment.name: labels}
        table = object_table(labels, planes, families=self._families, objects=objects, confidence=confidence)
        for spots in self.plan.spots:
            if spots.channel not in planes:
                continue
            columns, found = spot_features(planes[spots.channel], spots, objects.around, table["area"])
            table.update(columns)
            if "spot_sizes" in self._families:
                table.update(spot_sizes(found, spots, objects))
            if "spot_pattern" in self._families:
                table.update(spot_pattern(found, spots, objects))
            if "spot_field" in self._families:
                table.update(spot_field(found, spots, objects))
            named[spots.name] = found.labels
        if self._cell_profiler is not None:
            table.update(self._cell_profiler.measure(labels, planes))
        return table, named

    def _quality(
        self, planes: Mapping[str, Frame], objects: Objects | None, confidence: NDArray[np.float64] | None
    ) -> tuple[Quality, str]:
        saturated = {name: saturated_share(plane, self.plan.bit_depth) for name, plane in planes.items()}
        channel = self.plan.segment.channel if self.plan.segment else next(iter(planes), None)
        noise = 0.0 if channel is None else pixel_noise(planes[channel])
        focus = _known(focus_score(planes[channel], noise)) if channel is not None else None
        known = [share for share in saturated.values() if share is not None]
        quality: Quality = {
            "objects": None if objects is None else float(objects.n),
            "saturated": max(known) if known else None,
            "focus": focus,
        }
        if channel is not None:
            shown = frame_numbers(planes[channel], objects, confidence, noise)
            quality |= {name: None if (value := _known(shown[name])) is None else significant(value) for name in shown}
        reason = gate(
            self.plan.quality,
            objects=None if objects is None else objects.n,
            saturated=saturated,
            focus=focus,
            confidence=quality.get("confidence"),
        )
        return quality, reason


_BUILT: dict[bytes, Analysis] = {}


def measure_field(plan: AnalysisPlan, frames: Mapping[str, Frame]) -> Measurement:
    """Analyse one field in whatever thread or process this is; the analysis of a plan is built once per process.

    Made for ``Executor.submit``: a module-level function of picklable arguments, for threads and spawned processes.

    Raises
    ------
    AnalysisError
        See `Analysis.measure`.
    """
    return built(plan).measure(frames)


def built(plan: AnalysisPlan) -> Analysis:
    """Return the analysis of a plan, built once per process."""
    key = pickle.dumps(plan)  # its mappings cannot be hashed
    analysis = _BUILT.get(key)
    if analysis is None:
        # two threads may both build one at the start; they are equal, and the first stays
        analysis = _BUILT.setdefault(key, Analysis(plan))
    return analysis


def use_one_thread() -> None:
    """Keep OpenCV to the calling thread: workers are the parallelism, and pools that compete run many times slower."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


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


def _known(value: float | None) -> float | None:
    """Return a Python float, or None for what is unknown."""
    if value is None or not np.isfinite(value):
        return None
    return float(value)
