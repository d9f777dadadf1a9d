"""A segmenter that can take several fields gets them at once, and the outcome of each field stays its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from phenoloop.errors import AnalysisError
from phenoloop.measure.batching import make_ready, measure_fields
from phenoloop.model import AnalysisPlan, SegmentPlan
from phenoloop.ports import Image, Segmentation
from phenoloop.protocol.base import StrictModel


class Pooling:
    """Labels what is brighter than 100; refuses an image that holds 999; remembers how it was asked."""

    asked: ClassVar[list[int]] = []
    warmed: ClassVar[list[tuple[int, int]]] = []

    class Params(StrictModel):
        """None."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def segment(self, image: Image) -> Segmentation:
        Pooling.asked.append(1)
        return self._one(image)

    def segment_many(self, images: Sequence[Image]) -> list[Segmentation]:
        Pooling.asked.append(len(images))
        return [self._one(image) for image in images]

    def warm_up(self, shape: tuple[int, int]) -> None:
        Pooling.warmed.append(shape)

    def describe(self) -> dict[str, Any]:
        return {"model": "pooling"}

    def _one(self, image: Image) -> Segmentation:
        if (image == 999).any():
            raise AnalysisError("999 is refused")
        return Segmentation(labels=(image > 100).astype(np.int32), notes=("ran on the processor",))


PLAN = AnalysisPlan(
    channels=("DNA",),
    segment=SegmentPlan(kind="pooling", target="tests.runner.test_batching:Pooling", channel="DNA"),
    readouts={"cells": "count()", "size": "mean(area)"},
    batch=4,
)


def field(area: int, value: int = 500) -> dict[str, Any]:
    image = np.zeros((16, 16), np.uint16)
    image[2:6, 2 : 2 + area // 4] = value
    return {"DNA": image}


def test_they_come_at_once_and_each_is_measured() -> None:
    Pooling.asked.clear()
    outcomes = measure_fields(PLAN, [field(8), field(16), field(24)])
    assert Pooling.asked == [3]
    sizes = [outcome.readouts["size"] for outcome in outcomes if not isinstance(outcome, Exception)]
    assert sizes == [8.0, 16.0, 24.0]
    assert all(outcome.notes == ("ran on the processor",) for outcome in outcomes if not isinstance(outcome, Exception))


def test_one_that_spoils_the_batch_fails_alone() -> None:
    Pooling.asked.clear()
    outcomes = measure_fields(PLAN, [field(8), field(8, 999), {"GFP": np.zeros((4, 4), np.uint16)}, field(16)])
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Measurement",
        "AnalysisError",
        "AnalysisError",
        "Measurement",
    ]
    assert "999 is refused" in str(outcomes[1])
    assert "no frame of DNA" in str(outcomes[2])
    assert Pooling.asked == [3, 1, 1, 1]


def test_ready_means_warm_and_described() -> None:
    Pooling.warmed.clear()
    described = make_ready(PLAN, {"DNA": np.zeros((16, 24), np.uint16)})
    assert described.pop("frame_s") > 0
    assert PLAN.segment is not None
    assert described == {"kind": PLAN.segment.kind, "model": "pooling"}
    assert Pooling.warmed == [(16, 24)] * 2  # once to load, once to see how long a frame takes


def test_the_confidence_of_a_segmenter_is_a_feature() -> None:

    plan = AnalysisPlan(
        channels=("DNA",),
        segment=SegmentPlan(kind="sure", target="tests.runner.test_batching:Sure", channel="DNA"),
        readouts={"sure": "mean(confidence)", "trusted": "count(confidence > 0.5)"},
    )
    image = np.zeros((8, 12), np.uint16)
    image[1:3, 1:3], image[4:6, 4:6], image[1:3, 8:10] = 1, 3, 4  # label 2 does not occur
    (outcome,) = measure_fields(plan, [{"DNA": image}])
    assert not isinstance(outcome, Exception)
    assert outcome.objects["confidence"].tolist() == [0.25, 0.75, 1.0]
    assert outcome.readouts == {"sure": 2 / 3, "trusted": 2.0}


class Sure(Pooling):
    """Takes pixel values as labels, and is the surer the larger they are."""

    def segment(self, image: Image) -> Segmentation:
        return Segmentation(labels=image.astype(np.int32), scores=np.array([0.25, 0.5, 0.75, 1.0]))
