from __future__ import annotations

import multiprocessing
import pickle
import re
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError, PluginError
from phenoloop.measure import Analysis, measure_field
from phenoloop.measure.quality import gate, saturated_share
from phenoloop.model import AnalysisPlan, QualityPlan, SegmentPlan, SpotsPlan, features
from phenoloop.ports import Measurement, Segmentation
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.expressions import ExpressionError

Image = NDArray[Any]

PLAN = AnalysisPlan(
    channels=("DNA", "GFP"),
    segment=SegmentPlan(
        kind="threshold",
        target="phenoloop.segmentation.threshold:Threshold",
        channel="DNA",
        name="nuclei",
        parameters={"sensitivity": 0.5},
    ),
    spots=(SpotsPlan(name="foci", channel="GFP"),),
    readouts={
        "foci": "mean(foci.count)",
        "cells": "count()",
        "size": "median(area_um2)",
        "brightness": "mean(GFP.mean)",
    },
    pixel_size_um=0.5,
)


def field(seed: int, *, foci: int = 60, dtype: type = np.uint16) -> dict[str, Image]:
    """Twenty-five nuclei and some foci beside them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :200]
    dna, gfp = np.full(y.shape, 100.0), np.full(y.shape, 150.0)
    for cy in range(20, 200, 40):
        for cx in range(20, 200, 40):
            dna += 300 * (np.hypot(y - cy, x - cx) <= 9)
    for _ in range(foci):
        fy, fx = rng.integers(5, 195, 2)
        gfp += 600 * np.exp(-((y - fy) ** 2 + (x - fx) ** 2) / 2 / 1.4**2)
    return {"DNA": rng.poisson(dna).astype(dtype), "GFP": rng.poisson(gfp).astype(dtype)}


def same(one: Measurement, other: Measurement) -> bool:
    """Equal but for the time it took."""
    return (
        (one.status, one.reason, dict(one.readouts), dict(one.quality))
        == (other.status, other.reason, dict(other.readouts), dict(other.quality))
        and list(one.objects) == list(other.objects)
        and all(np.array_equal(one.objects[k], other.objects[k], equal_nan=True) for k in one.objects)
        and all(np.array_equal(one.labels[k], other.labels[k]) for k in one.labels)
    )


def test_a_field_from_frames_to_readouts() -> None:
    result = measure_field(PLAN, field(0))
    assert result.status == "ok"
    assert result.readouts["cells"] == 25
    assert result.readouts["foci"] == pytest.approx(60 / 25, rel=0.25)
    assert result.readouts["size"] == pytest.approx(np.pi * 81 / 4, rel=0.15)
    assert list(result.objects) == ["label", *features.columns(PLAN.channels, ["foci"])]
    assert set(result.labels) == {"nuclei", "foci"}
    for labels in result.labels.values():
        assert labels.dtype == np.int32
        assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert set(result.timing_ms) == {"segment", "measure"}
    assert all(type(value) is float for value in (*result.readouts.values(), *result.quality.values()))


def test_the_plan_travels() -> None:
    assert same(measure_field(pickle.loads(pickle.dumps(PLAN)), field(1)), Analysis(PLAN).measure(field(1)))


def test_threads_processes_and_any_order_agree() -> None:
    fields = [field(seed) for seed in range(6)]
    alone = [Analysis(PLAN).measure(frames) for frames in fields]

    def through(pool: Executor) -> list[Measurement]:
        # handed in backwards, put back in order
        futures = [pool.submit(measure_field, PLAN, frames) for frames in reversed(fields)]
        return [future.result(timeout=120) for future in reversed(futures)]

    with ThreadPoolExecutor(4) as threads:
        by_threads = through(threads)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        by_processes = through(processes)
    for expected, threaded, spawned in zip(alone, by_threads, by_processes, strict=True):
        assert same(expected, threaded)
        assert same(expected, spawned)


def test_a_stack_is_its_maximum_projection() -> None:
    frames = field(2)
    rng = np.random.default_rng(9)
    planes = {
        name: np.stack([rng.integers(0, 50, image.shape), image]).astype(np.uint16) for name, image in frames.items()
    }
    assert same(measure_field(PLAN, planes), measure_field(PLAN, {k: v.max(axis=0) for k, v in planes.items()}))


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param({"DNA": np.full((64, 64), 7, np.uint8), "GFP": np.full((64, 64), 9, np.uint8)}, id="constant"),
        pytest.param({"DNA": np.ones((1, 1), np.uint8), "GFP": np.ones((1, 1), np.uint8)}, id="1-px"),
        pytest.param({"DNA": np.zeros((1, 1, 1), np.uint16), "GFP": np.zeros((1, 1))}, id="1-px-stack"),
        pytest.param(
            {
                "DNA": np.random.default_rng(0).poisson(50, (200, 200)).astype(np.uint16),
                "GFP": np.random.default_rng(1).poisson(50, (200, 200)).astype(np.float32),
            },
            id="noise",
        ),
    ],
)
def test_no_objects_is_a_result(frames: dict[str, Image]) -> None:
    result = measure_field(PLAN, frames)
    assert result.status == "ok"
    assert dict(result.readouts) == {"foci": None, "cells": 0.0, "size": None, "brightness": None}
    assert result.quality["objects"] == 0
    assert all(column.shape == (0,) for column in result.objects.values())


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_the_type_of_the_pixels_does_not_matter(dtype: type) -> None:
    expected, result = measure_field(PLAN, field(3)), measure_field(PLAN, field(3, dtype=dtype))
    assert dict(result.readouts) == pytest.approx(dict(expected.readouts), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"GFP": None}, "no frame of GFP; the analysis needs DNA, GFP", id="missing"),
        pytest.param({"GFP": np.zeros((10, 10), np.uint16)}, "differ in shape", id="other-shape"),
        pytest.param({"GFP": np.full((200, 200), np.nan)}, "GFP: 40000 of 40000 pixels are NaN", id="nan"),
        pytest.param({"DNA": np.zeros((200, 200, 3), np.uint8)}, "DNA: a colour image", id="colour"),
        pytest.param({"DNA": np.zeros(200, np.uint8)}, "DNA: an array of shape", id="one-dimension"),
    ],
)
def test_frames_that_cannot_be_analysed(change: dict[str, Image | None], message: str) -> None:
    frames = {name: image for name, image in (field(0) | change).items() if image is not None}
    with pytest.raises(AnalysisError, match=message):
        measure_field(PLAN, frames)


class Sparse:
    """A segmenter whose labels have gaps and another type, as many have."""

    class Params(StrictModel):
        kind: str = "sparse"

    def __init__(self, params: Params) -> None:
        self.params = params

    def segment(self, image: Image) -> Segmentation:
        labels: Any = np.zeros(image.shape, np.uint16)
        labels[10:20, 10:20], labels[30:40, 10:20] = 7, 300
        if self.params.kind == "shape":
            labels = labels[:5]
        if self.params.kind == "float":
            labels = labels.astype(np.float32)
        if self.params.kind == "negative":
            labels = -labels.astype(np.int32)
        return Segmentation(labels=labels)


def with_segmenter(kind: str) -> AnalysisPlan:
    segment = SegmentPlan(kind="sparse", target=f"{__name__}:Sparse", channel="DNA", parameters={"kind": kind})
    return replace(PLAN, segment=segment)


def test_labels_become_dense() -> None:
    result = Analysis(with_segmenter("sparse")).measure(field(0))
    labels = result.labels["objects"]
    assert labels.dtype == np.int32
    assert (labels[15, 15], labels[35, 15], labels.max()) == (1, 2, 2)
    assert result.readouts["cells"] == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        pytest.param("shape", "for an image of shape", id="shape"),
        pytest.param("float", "integers of the same shape", id="float"),
        pytest.param("negative", "negative labels", id="negative"),
    ],
)
def test_a_segmenter_that_breaks_its_contract_is_named(kind: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        Analysis(with_segmenter(kind)).measure(field(0))


def test_a_segmenter_that_is_not_there() -> None:
    segment = SegmentPlan(kind="gone", target="phenoloop.nowhere:Gone", channel="DNA")
    with pytest.raises(PluginError, match="gone"):
        Analysis(replace(PLAN, segment=segment))


def test_a_readout_that_names_nothing() -> None:
    with pytest.raises(ExpressionError):
        Analysis(replace(PLAN, readouts={"x": "mean(RFP.mean)"}))


def test_without_segmentation() -> None:
    result = Analysis(replace(PLAN, segment=None, spots=(), readouts={"cells": "count()"})).measure(field(0))
    assert dict(result.readouts) == {"cells": 0.0}
    assert result.quality["objects"] is None
    assert dict(result.labels) == {}


@pytest.mark.parametrize(
    ("plan", "facts", "reason"),
    [
        pytest.param(QualityPlan(), {"objects": 0, "saturated": {"DNA": 1.0}, "focus": 0.0}, "", id="no-gates"),
        pytest.param(QualityPlan(min_objects=10), {"objects": 10}, "", id="enough"),
        pytest.param(QualityPlan(min_objects=10), {"objects": 9}, "9 objects, at least 10", id="too-few"),
        pytest.param(QualityPlan(min_objects=10), {"objects": None}, "", id="not-counted"),
        pytest.param(QualityPlan(max_saturated=0.02), {"saturated": {"DNA": 0.02}}, "", id="just-allowed"),
        pytest.param(
            QualityPlan(max_saturated=0.02), {"saturated": {"DNA": 0.01, "GFP": 0.5}}, "50.00% of GFP", id="saturated"
        ),
        pytest.param(QualityPlan(max_saturated=0.02), {"saturated": {"DNA": None}}, "", id="floats"),
        pytest.param(QualityPlan(min_focus=0.36), {"focus": 0.3}, "focus score 0.300", id="blurred"),
        pytest.param(QualityPlan(min_focus=0.36), {"focus": None}, "", id="focus-unknown"),
        pytest.param(
            QualityPlan(min_objects=1, min_focus=0.36), {"objects": 0, "focus": 0.1}, "objects.*; focus", id="both"
        ),
    ],
)
def test_gates(plan: QualityPlan, facts: dict[str, Any], reason: str) -> None:
    found = gate(plan, **{"objects": 20, "saturated": {}, "focus": 0.5, **facts})
    assert bool(found) == bool(reason)
    assert re.search(reason, found)


@pytest.mark.parametrize(
    ("image", "bits", "share"),
    [
        pytest.param(np.array([[255, 254], [255, 0]], np.uint8), None, 0.5, id="8-bit"),
        pytest.param(np.array([[4095, 4094], [0, 0]], np.uint16), 12, 0.25, id="12-bit-in-16"),
        pytest.param(np.array([[4095, 4094], [0, 0]], np.uint16), None, 0.0, id="16-bit"),
        pytest.param(np.array([[1.0, 0.5]]), None, None, id="float"),
        pytest.param(np.array([[255.0, 3.0]]), 8, 0.5, id="float-with-depth"),
    ],
)
def test_saturation(image: Image, bits: int | None, share: float | None) -> None:
    assert saturated_share(image, bits) == share


def test_a_rejected_field_keeps_its_numbers() -> None:
    plan = replace(PLAN, quality=QualityPlan(min_objects=100))
    result = measure_field(plan, field(0))
    assert result.status == "qc_fail"
    assert "25 objects" in result.reason
    assert result.readouts["cells"] == 25
