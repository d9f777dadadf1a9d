from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from phenoloop.errors import AnalysisError
from phenoloop.ports import Segmentation
from phenoloop.segmentation.threshold import Threshold

Image = NDArray[Any]


def segment(image: Image, **parameters: Any) -> Segmentation:
    return Threshold(Threshold.Params(**parameters)).segment(image)


def nuclei(shape: tuple[int, int] = (256, 256), *, radius: float = 9, pitch: int = 32, noise: float = 3) -> Image:
    """Bright disks on a tilted, noisy background, 8-bit; one per `pitch` in each direction."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 20 + 0.05 * x + rng.normal(0, noise, shape)
    for cy in range(pitch // 2, shape[0], pitch):
        for cx in range(pitch // 2, shape[1], pitch):
            image += (60 + 40 * ((cx // pitch + cy // pitch) % 3)) * (np.hypot(y - cy, x - cx) <= radius)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def f1(truth: Image, found: Image, iou: float = 0.5) -> tuple[int, int, int]:
    """Objects matched at the given overlap, objects in the truth, objects found."""
    n, m = int(truth.max()), int(found.max())
    pairs = np.bincount((truth.astype(np.int64) * (m + 1) + found).ravel(), minlength=(n + 1) * (m + 1))
    overlap = pairs.reshape(n + 1, m + 1).astype(float)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    matched = (overlap / np.maximum(union, 1))[1:, 1:] > iou
    return int(matched.sum()), int((overlap[1:].sum(1) > 0).sum()), m


RNG = np.random.default_rng(0)
EMPTY = [
    pytest.param(np.full((64, 64), 7, np.uint8), id="constant"),
    pytest.param(np.zeros((64, 64), np.uint16), id="black"),
    pytest.param(np.ones((1, 1), np.uint8), id="1-px"),
    pytest.param(np.arange(700, dtype=np.uint16)[None, :], id="one-row"),
    pytest.param(np.array([[0, 9], [3, 4]], np.uint8), id="2x2"),
    pytest.param(RNG.poisson(20, (256, 256)).astype(np.uint16), id="shot-noise"),
    pytest.param(np.clip((RNG.poisson(20, (256, 256)) - 8) * 12, 0, 255).astype(np.uint8), id="stretched-noise"),
    pytest.param(RNG.poisson(200 + np.arange(256) * np.ones((256, 1))).astype(np.uint16), id="noisy-ramp"),
    pytest.param(np.maximum(RNG.normal(-20, 10, (256, 256)), 0), id="background-clipped-to-0"),
]


@pytest.mark.parametrize("image", EMPTY)
def test_no_objects_where_there_are_none(image: Image) -> None:
    result = segment(image)
    assert result.labels.shape == image.shape
    assert result.labels.dtype == np.int32
    assert result.labels.max() == 0
    assert result.scores is not None
    assert result.scores.shape == (0,)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(np.where(np.eye(32) > 0, np.nan, 1.0), "32 of 1024 pixels are NaN", id="nan"),
        pytest.param(np.full((8, 8), np.inf), "NaN or infinite", id="infinite"),
        pytest.param(np.zeros((64, 64, 3), np.uint8), "colour image", id="colour"),
        pytest.param(np.zeros((5, 64, 64), np.uint8), "one plane", id="stack"),
        pytest.param(np.zeros((0, 64), np.uint8), "empty", id="empty"),
        pytest.param(np.zeros((8, 8), np.complex64), "complex64", id="complex"),
        pytest.param(np.zeros((8, 8), np.bool_), "bool", id="bool"),
    ],
)
def test_an_image_that_cannot_be_used_is_an_error_with_a_way_out(image: Image, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        segment(image)


BASE = nuclei()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(BASE, id="8-bit"),
        pytest.param(BASE.astype(np.uint16) * 257, id="16-bit"),
        pytest.param(BASE.astype(np.uint16) + 100, id="12-bit-with-offset"),
        pytest.param(BASE.astype(np.float32) / 255, id="float32"),
        pytest.param(BASE.astype(np.float64) * 1e-9, id="float64-tiny"),
        pytest.param(BASE.astype(np.float64) * 1e30, id="float64-huge"),
        pytest.param(BASE.astype(np.int32) - 50, id="signed"),
        pytest.param(BASE[::-1][::-1], id="strided"),
        pytest.param(np.asfortranarray(BASE), id="fortran-order"),
    ],
)
def test_the_type_of_the_pixels_does_not_matter(image: Image) -> None:
    expected = segment(BASE).labels
    result = segment(image)
    assert expected.max() == 64
    assert result.labels.max() == 64
    # float32 arithmetic may move single pixels of an outline
    assert np.mean(result.labels != expected) < 1e-4
    assert result.scores is not None
    assert result.scores.shape == (64,)
    assert ((result.scores >= 0) & (result.scores <= 1)).all()


@pytest.mark.parametrize("radius", [4, 6, 9, 14, 22, 35])
def test_the_size_is_found_by_itself(radius: int) -> None:
    pitch = int(radius * 3.4)
    image = nuclei((pitch * 6, pitch * 6), radius=radius, pitch=pitch)
    labels = segment(image).labels
    assert labels.max() == 36
    area = np.bincount(labels.ravel())[1:]
    assert np.median(area) == pytest.approx(np.pi * radius**2, rel=0.2)


def test_objects_are_single_pieces_numbered_densely() -> None:
    labels = segment(BASE).labels
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    for k in range(1, labels.max() + 1):
        count, _ = cv2.connectedComponents((labels == k).astype(np.uint8), connectivity=4)
        assert count == 2


def test_two_that_touch_are_cut_and_one_that_is_long_is_not() -> None:
    rng = np.random.default_rng(0)
    canvas = np.zeros((128, 256), np.uint8)
    for x in (40, 62):  # two disks of radius 12 that overlap by 2 px
        cv2.circle(canvas, (x, 64), 12, 150, -1)
    cv2.ellipse(canvas, (170, 64), (24, 12), 30, 0, 360, 150, -1)
    image = np.clip(cv2.GaussianBlur(canvas, (0, 0), 1.2) + rng.normal(20, 4, canvas.shape), 0, 255).astype(np.uint8)
    labels = segment(image).labels
    assert labels.max() == 3
    assert labels[64, 40] != labels[64, 62]
    assert labels[60, 180] == labels[70, 160]


def test_uneven_background_and_dim_neighbours() -> None:
    y, x = np.mgrid[:256, :256]
    shade = np.exp(-((x - 128) ** 2 + (y - 128) ** 2) / 2 / 150**2)
    rng = np.random.default_rng(2)
    image = rng.poisson(100 + shade * (300 + 8.0 * nuclei(noise=0))).astype(np.uint16)
    assert segment(image).labels.max() == 64


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({"diameter": 18.0}, 64, id="diameter"),
        pytest.param({"min_area": 1000.0}, 0, id="min-area-above-all"),
        pytest.param({"sensitivity": 0.9}, 64, id="sensitive"),
    ],
)
def test_parameters(parameters: dict[str, float], expected: int) -> None:
    assert segment(BASE, **parameters).labels.max() == expected


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"sensitivity": 1.5}, id="sensitivity-above-1"),
        pytest.param({"diameter": -4}, id="negative-diameter"),
        pytest.param({"diametre": 4}, id="misspelt"),
        pytest.param({"min_area": 0}, id="no-area"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Threshold.Params(**parameters)


def test_a_large_field() -> None:
    image = np.tile(nuclei(), (8, 8))
    assert image.shape == (2048, 2048)
    assert segment(image).labels.max() == 64 * 64


@pytest.mark.real_data
def test_real_nuclei(data_folder: Path) -> None:
    folder = data_folder / "dsb2018"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[::4]
    totals = np.zeros(3)
    for row in rows:
        image = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(folder / row["mask_file"]), cv2.IMREAD_UNCHANGED)
        totals += f1(truth, segment(image).labels)
    matched, true, found = totals
    assert true > 1500
    assert 2 * matched / (true + found) >= 0.82
