"""`segment`: labels on disk, counts on screen, and clear refusals. With the real segmenter."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from phenoloop.cli.app import app
from phenoloop.cli.segmenting import read_image


def cells(dtype: type = np.uint8, *, number: int = 9) -> NDArray[np.generic]:
    """Bright disks in a grid."""
    image = np.full((192, 192), 20, np.float64)
    image += np.random.default_rng(1).normal(0, 1.5, image.shape)
    for i in range(number):
        cv2.circle(image, (32 + 64 * (i % 3), 32 + 64 * (i // 3)), 10, 180.0, -1)
    return cv2.GaussianBlur(image, (0, 0), 1.5).astype(dtype)


def segment(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["segment", *map(str, arguments)], prog_name="phenoloop")


def test_labels_and_counts(tmp_path: Path) -> None:
    first, second, out = tmp_path / "a.tif", tmp_path / "b.png", tmp_path / "labels"
    tifffile.imwrite(first, cells(np.uint16))
    cv2.imwrite(str(second), cells(number=4))
    ended = segment(first, second, "--kind", "threshold", "--out", out, "--param", "diameter=20 px")
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        f"{first}: 9 objects -> {out / 'a_labels.tif'}",
        f"{second}: 4 objects -> {out / 'b_labels.tif'}",
        "2 images: 13 objects",
    ]
    labels = tifffile.imread(out / "a_labels.tif")
    assert labels.shape == (192, 192)
    assert labels.dtype == np.uint16
    assert sorted(np.unique(labels)) == list(range(10))
    assert labels[32, 32] != labels[32, 96] != 0


@pytest.mark.parametrize(
    ("pixels", "name"),
    [
        pytest.param(cells(), "plain.tif", id="grey TIFF"),
        pytest.param(cells()[None], "one_page.tif", id="one page"),
        pytest.param(np.stack([cells()] * 3, axis=-1), "rgb.tif", id="grey stored as colour, TIFF"),
        pytest.param(np.stack([cells()] * 3, axis=-1), "rgb.png", id="grey stored as colour, PNG"),
    ],
)
def test_images_that_are_read(pixels: NDArray[np.generic], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        cv2.imwrite(str(path), pixels)
    assert np.array_equal(read_image(path), cells())


def write(path: Path, pixels: NDArray[np.generic]) -> Path:
    tifffile.imwrite(path, pixels)
    return path


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        pytest.param("treshold", (), "did you mean 'threshold'?", id="segmenter"),
        pytest.param("threshold", ("diametr=20",), "did you mean 'diameter'?", id="parameter"),
        pytest.param("threshold", ("diameter",), "write NAME=VALUE", id="no value"),
        pytest.param("threshold", ("diameter=-4",), "diameter", id="value out of range"),
        pytest.param("threshold", ("diameter=9", "diameter=8"), "--param:2", id="twice"),
    ],
)
def test_wrong_calls(kind: str, parameters: tuple[str, ...], text: str, tmp_path: Path) -> None:
    image = write(tmp_path / "a.tif", cells())
    options = [part for parameter in parameters for part in ("--param", parameter)]
    ended = segment(image, "--kind", kind, "--out", tmp_path / "labels", *options)
    assert ended.exit_code == 2
    assert text in ended.stderr
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("absent.tif", "is no file", id="absent"),
        pytest.param("words.tif", "cannot be read as TIFF", id="no TIFF"),
        pytest.param("words.png", "is no image that can be read", id="no PNG"),
        pytest.param("stack.tif", "holds 2 x 192 x 192 values", id="two channels"),
    ],
)
def test_files_that_are_no_image(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "words.tif").write_text("words")
    (tmp_path / "words.png").write_text("words")
    write(tmp_path / "stack.tif", np.stack([cells()] * 2))
    ended = segment(tmp_path / name, "--kind", "threshold", "--out", tmp_path / "labels")
    assert ended.exit_code == 2
    assert text in ended.stderr


def test_two_images_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    first, second = write(tmp_path / "a.tif", cells()), write(tmp_path / "x" / "a.tif", cells())
    ended = segment(first, second, "--kind", "threshold", "--out", tmp_path / "labels")
    assert ended.exit_code == 2
    assert "would both become" in ended.stderr
