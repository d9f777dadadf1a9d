from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError
from phenoloop.numerics.focus import AUTO_MIN_FOCUS, focus_score
from phenoloop.numerics.images import noise_sd

Image = NDArray[Any]
RNG = np.random.default_rng(0)


def cells(blur: float, *, noise: float = 5, gain: float = 1, offset: float = 100, radius: int = 12) -> Image:
    """Textured disks through a lens; 16-bit."""
    rng = np.random.default_rng(3)
    light = np.zeros((256, 256), np.float32)
    for y in range(20, 256, 40):
        for x in range(20, 256, 40):
            cv2.circle(light, (x + int(rng.integers(-5, 6)), y), radius, float(rng.uniform(200, 500)), -1)
    seen = cv2.GaussianBlur(light, (0, 0), float(np.hypot(1.0, blur)))
    return np.clip(gain * (seen + rng.normal(0, noise, seen.shape)) + offset, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("noise", [0, 2, 10, 20])
def test_blur_lowers_the_score_whatever_the_noise(noise: float) -> None:
    sharp, soft, far = (focus_score(cells(blur, noise=noise)) for blur in (0, 3, 6))
    assert sharp > AUTO_MIN_FOCUS
    assert sharp > soft > far or np.isnan(far)
    assert not soft > AUTO_MIN_FOCUS


def test_neither_lamp_nor_offset_changes_it() -> None:
    expected = focus_score(cells(0))
    assert focus_score(cells(0, gain=10)) == pytest.approx(expected, rel=0.01)
    assert focus_score(cells(0, offset=2000)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("radius", [6, 12, 18])
def test_the_size_of_the_objects_does_not_reject(radius: int) -> None:
    assert focus_score(cells(0, radius=radius)) > AUTO_MIN_FOCUS


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.full((64, 64), 9, np.uint8), id="constant"),
        pytest.param(np.ones((1, 1), np.uint8), id="1-px"),
        pytest.param(RNG.poisson(100, (512, 512)).astype(np.uint16), id="shot-noise"),
        pytest.param(RNG.normal(400, 20, (512, 512)), id="float-noise"),
    ],
)
def test_nothing_to_focus_on_is_unknown(image: Image) -> None:
    assert np.isnan(focus_score(image))


def test_colour_is_refused() -> None:
    with pytest.raises(AnalysisError, match="colour"):
        focus_score(np.zeros((32, 32, 3), np.uint8))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["dsb2018", "bbbc016"])
def test_auto_passes_real_images_and_fails_their_defocused_copies(data_folder: Path, name: str) -> None:
    folder = data_folder / name
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        files = [row["file"] for row in csv.DictReader(stream) if row["channel"] == "DNA"][::2]
    rng = np.random.default_rng(0)
    failed = 0
    for file in files:
        path = folder / file
        image = tifffile.imread(path) if path.suffix == ".TIF" else cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert focus_score(image) > AUTO_MIN_FOCUS, file
        blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 5) + rng.normal(
            0, noise_sd(image.astype(np.float32)), image.shape
        )
        failed += focus_score(np.clip(np.round(blurred), 0, 255).astype(np.uint8)) < AUTO_MIN_FOCUS
    assert failed >= 0.95 * len(files)
