"""The numbers of a frame: which way each goes when the frame is spoilt, and that they do not see what they must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.measure import Analysis
from phenoloop.measure.frames import frame_numbers
from phenoloop.measure.objects import Objects
from phenoloop.measure.quality import gate
from phenoloop.model import AnalysisPlan, QualityPlan, SegmentPlan
from phenoloop.model.quality import METRICS

SIDE = 256


def nuclei(seed: int = 3, gain: float = 1.0) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Soft-edged discs on a background, in 12 bits, with their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), dtype=np.int32)
    for k, (y, x) in enumerate((y, x) for y in range(28, 230, 48) for x in range(28, 230, 48)):
        cv2.circle(labels, (int(x + rng.integers(-6, 7)), int(y + rng.integers(-6, 7))), 11, k + 1, -1)
    light = 100 + gain * 900 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.2)
    return rng.poisson(np.maximum(light, 0)).astype(np.uint16), labels


def numbers(image: NDArray[Any], labels: NDArray[np.int32], sure: float = 0.9) -> dict[str, float]:
    objects = Objects(labels)
    return frame_numbers(image, objects, np.full(objects.n, sure))


def blurred(image: NDArray[Any], sigma: float) -> NDArray[Any]:
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma)
    return np.random.default_rng(0).normal(soft, 10).astype(np.uint16)


def half_blurred(image: NDArray[Any]) -> NDArray[Any]:
    spoilt = image.copy()
    spoilt[:, SIDE // 2 :] = blurred(image, 6)[:, SIDE // 2 :]
    return spoilt


def bubble(image: NDArray[Any]) -> NDArray[Any]:
    y, x = np.mgrid[:SIDE, :SIDE]
    rim = np.exp(-(((np.hypot(y - 120, x - 120) - 70) / 8) ** 2))
    return (image + 600 * rim).astype(np.uint16)


SPOILT: dict[str, Any] = {
    "blur": lambda image: blurred(image, 5),
    "half of it blurred": half_blurred,
    "noise": lambda image: np.random.default_rng(1).normal(image, 300).clip(0, 4095).astype(np.uint16),
    "plateau": lambda image: np.minimum(image, 600),
    "bubble": bubble,
    "gradient": lambda image: (image + np.linspace(0, 700, SIDE)[None, :]).astype(np.uint16),
}


@pytest.mark.parametrize(
    ("how", "name", "way"),
    [
        pytest.param("blur", "sharpness", "falls", id="blur-sharpness"),
        pytest.param("blur", "edge", "falls", id="blur-edge"),
        pytest.param("half of it blurred", "sharpness_low", "falls", id="half-blurred"),
        pytest.param("noise", "contrast", "falls", id="noise-contrast"),
        pytest.param("noise", "range", "falls", id="noise-range"),
        pytest.param("plateau", "plateau", "rises", id="saturated-below-the-maximum"),
        pytest.param("bubble", "unexplained", "rises", id="bubble-unexplained"),
        pytest.param("bubble", "uneven", "rises", id="bubble-uneven"),
        pytest.param("gradient", "uneven", "rises", id="gradient"),
    ],
)
def test_each_fault_moves_its_number(how: str, name: str, way: str) -> None:
    image, labels = nuclei()
    before, after = numbers(image, labels)[name], numbers(SPOILT[how](image), labels)[name]
    metric = next(metric for metric in METRICS if metric.name == name)
    one, two = metric.scaled(before), metric.scaled(after)
    assert one is not None
    assert two is not None
    assert (two - one) * (1 if way == "rises" else -1) > 3 * metric.floor


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_brighter_frames_are_as_sharp_and_as_even(factor: float) -> None:
    image, labels = nuclei()
    other, _ = nuclei(gain=factor)
    one, two = numbers(image, labels), numbers(other, labels)
    for name in ("sharpness", "sharpness_low", "edge", "size", "spread", "roughness"):
        assert two[name] == pytest.approx(one[name], rel=0.15), name


def test_size_is_the_diameter() -> None:
    image, labels = nuclei()
    assert numbers(image, labels)["size"] == pytest.approx(22, rel=0.1)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((64, 64), np.uint8), id="constant"),
        pytest.param(np.zeros((1, 1), np.uint16), id="one-pixel"),
        pytest.param(np.random.default_rng(0).poisson(20, (64, 64)).astype(np.uint16), id="noise"),
        pytest.param(np.random.default_rng(0).normal(0, 1, (64, 64)), id="float"),
    ],
)
@pytest.mark.parametrize("full", [False, True], ids=["no-object", "one-object-everywhere"])
def test_odd_frames_have_numbers_or_none(image: NDArray[Any], full: bool) -> None:
    found = frame_numbers(image, Objects(np.full(image.shape, int(full), dtype=np.int32)), None)
    assert {"plateau", "range"} <= found.keys()
    assert set(found) <= {metric.name for metric in METRICS}
    assert found["plateau"] > 0


def test_the_analysis_gives_every_number_that_is_compared() -> None:
    segment = SegmentPlan(kind="unet", target="phenoloop.segmentation.unet:Unet", channel="DNA")
    plan = AnalysisPlan(channels=("DNA",), segment=segment, readouts={"cells": "count()"})
    image, _ = nuclei()
    result = Analysis(plan).measure({"DNA": image})
    assert {metric.name for metric in METRICS} <= result.quality.keys()
    strict = Analysis(replace(plan, quality=QualityPlan(min_confidence=0.9999))).measure({"DNA": image})
    assert strict.status == "qc_fail"
    assert "mean confidence" in strict.reason


@pytest.mark.parametrize(
    ("confidence", "limit", "rejected"),
    [
        pytest.param(0.5, 0.7, True, id="below"),
        pytest.param(0.8, 0.7, False, id="above"),
        pytest.param(None, 0.7, False, id="unknown"),
        pytest.param(0.1, None, False, id="off"),
    ],
)
def test_the_gate_on_confidence(confidence: float | None, limit: float | None, rejected: bool) -> None:
    reason = gate(QualityPlan(min_confidence=limit), objects=9, saturated={}, focus=None, confidence=confidence)
    assert bool(reason) is rejected
    assert ("0.50" in reason and "0.70" in reason) is rejected
