from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from phenoloop.errors import UsageError
from phenoloop.training.pairs import TEST, TRAIN, divide, make_split, read_pairs, read_split, write_split
from tests.training.folders import annotated

SPLIT = Path(__file__).parents[2] / "benchmarks" / "dsb2018_split.csv"


def test_pairs_are_read_in_order_of_their_names(tmp_path: Path) -> None:
    pairs = read_pairs(annotated(tmp_path / "set"))
    assert [pair.name for pair in pairs] == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert [pair.size for pair in pairs] == ["96x96"] * 3 + ["128x128"] * 2
    assert all(pair.labels.dtype == np.int32 for pair in pairs)
    assert len({pair.sha256 for pair in pairs}) == 5


def test_tiff_and_grey_in_colour_are_read(tmp_path: Path) -> None:
    folder = annotated(tmp_path / "set", (64,))
    grey = cv2.imread(str(folder / "images" / "0.png"), cv2.IMREAD_GRAYSCALE)
    labels = cv2.imread(str(folder / "labels" / "0.png"), cv2.IMREAD_UNCHANGED)
    assert grey is not None
    cv2.imwrite(str(folder / "images" / "0.png"), np.dstack([grey] * 3))
    (folder / "labels" / "0.png").unlink()
    tifffile.imwrite(folder / "labels" / "0.tif", labels)
    (pair,) = read_pairs(folder)
    assert np.array_equal(pair.image, grey)
    assert np.array_equal(pair.labels, labels)


def test_a_split_survives_its_file_and_holds_out_of_every_size(tmp_path: Path) -> None:
    pairs = read_pairs(annotated(tmp_path / "set"))
    split = make_split(pairs, 0.4, seed=3)
    write_split(tmp_path / "split.csv", split)
    assert read_split(tmp_path / "split.csv") == split == make_split(pairs, 0.4, seed=3)
    learned, held_out = divide(pairs, split)
    assert sorted(pair.size for pair in held_out) == ["128x128", "96x96"]
    assert {pair.name for pair in learned}.isdisjoint(pair.name for pair in held_out)
    assert len(learned) == 3


def lose_labels(folder: Path) -> None:
    (folder / "labels" / "1.png").unlink()


def lose_images(folder: Path) -> None:
    for file in (folder / "images").iterdir():
        file.unlink()


def other_shape(folder: Path) -> None:
    cv2.imwrite(str(folder / "labels" / "1.png"), np.zeros((5, 5), np.uint16))


def colour(folder: Path) -> None:
    cv2.imwrite(str(folder / "images" / "1.png"), np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8))


def damaged(folder: Path) -> None:
    (folder / "images" / "1.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        pytest.param(lose_labels, r"1\.png: has no labels", id="labels-missing"),
        pytest.param(lose_images, "holds no PNG or TIFF", id="empty"),
        pytest.param(other_shape, r"shape \(5, 5\) for an image of shape \(96, 96\)", id="shape"),
        pytest.param(colour, "one grey plane", id="colour"),
        pytest.param(damaged, "cannot be read as an image", id="damaged"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(harm: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    folder = annotated(tmp_path / "set")
    harm(folder)
    with pytest.raises(UsageError, match=said):
        read_pairs(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="images: there is no such folder"):
        read_pairs(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"0.png": (TRAIN, "00")}, "SHA-256 differs", id="other-image"),
        pytest.param({}, "does not say whether", id="not-listed"),
        pytest.param({"0.png": ("neither", "00")}, "does not say whether", id="no-part"),
    ],
)
def test_a_split_of_other_images_is_refused(change: dict[str, tuple[str, str]], said: str, tmp_path: Path) -> None:
    pairs = read_pairs(annotated(tmp_path / "set", (64,)))
    with pytest.raises(UsageError, match=said):
        divide(pairs, change)


def test_a_file_that_is_no_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("name,set\na,b\n", encoding="utf-8")
    with pytest.raises(UsageError, match="columns file, part, sha256"):
        read_split(tmp_path / "split.csv")


@pytest.mark.real_data
def test_the_split_in_the_repository_is_of_the_images_it_names(data_folder: Path) -> None:
    if not (data_folder / "dsb2018").is_dir():
        pytest.skip("dsb2018 is absent")
    learned, held_out = divide(read_pairs(data_folder / "dsb2018"), read_split(SPLIT))
    assert len(learned) == 120
    sizes = sorted(pair.size for pair in held_out)
    assert {size: sizes.count(size) for size in sizes} == {
        "256x256": 12, "260x347": 1, "360x360": 6, "512x640": 2, "520x696": 8, "603x1272": 1,
    }  # fmt: skip
    assert [entry[0] for entry in read_split(SPLIT).values()].count(TEST) == 30
