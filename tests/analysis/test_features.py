from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops_table

from phenoloop.measure.features import BACKGROUND_PERCENTILE, RING_PX, object_table
from phenoloop.model import channel_features, features, object_features
from phenoloop.numerics.bincount import Groups
from phenoloop.numerics.images import percentile

Image = NDArray[Any]
RNG = np.random.default_rng(0)


def ragged(shape: tuple[int, int], count: int, seed: int = 0) -> NDArray[np.int32]:
    """Labels that touch, overwrite one another, have holes and several pieces, and reach the border."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, count + 1):
        y, x = rng.integers(-3, shape[0] - 1), rng.integers(-3, shape[1] - 1)
        h, w = rng.integers(1, 14, 2)
        rows, columns = np.nonzero(rng.random((h, w)) > 0.25)
        rows, columns = rows + y, columns + x
        inside = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
        labels[rows[inside], columns[inside]] = k
    return np.unique(labels, return_inverse=True)[1].reshape(shape).astype(np.int32)


ONE_PIXEL = np.zeros((9, 9), np.int32)
ONE_PIXEL[4, 4] = 1
ROW = np.zeros((9, 9), np.int32)
ROW[4, 2:7] = 1
COLUMN = np.ascontiguousarray(ROW.T)
DIAGONAL = np.eye(12, dtype=np.int32)
ANTIDIAGONAL = np.ascontiguousarray(DIAGONAL[::-1])
WHOLE = np.ones((7, 11), np.int32)
SHAPES = [
    pytest.param(ragged((60, 80), 20), id="ragged"),
    pytest.param(ragged((300, 200), 150, 1), id="many"),
    pytest.param(ONE_PIXEL, id="1-px-object"),
    pytest.param(np.ones((1, 1), np.int32), id="1-px-image"),
    pytest.param(ROW, id="row"),
    pytest.param(COLUMN, id="column"),
    pytest.param(DIAGONAL, id="diagonal"),
    pytest.param(ANTIDIAGONAL, id="antidiagonal"),
    pytest.param(WHOLE, id="whole-image"),
    pytest.param(np.kron(np.array([[1, 2], [3, 0]]), np.ones((8, 8))).astype(np.int32), id="touching-squares"),
]


@pytest.mark.parametrize("labels", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_equal_to_scikit_image(labels: NDArray[np.int32], dtype: type) -> None:
    image = (RNG.poisson(100, labels.shape) * 1.5).astype(dtype)
    names = ("area", "centroid", "axis_major_length", "axis_minor_length", "eccentricity", "orientation", "extent")
    more = ("perimeter", "intensity_mean", "intensity_min", "intensity_max", "intensity_std", "bbox")
    theirs = regionprops_table(labels, image, (*names, *more))
    ours = object_table(labels, {"DNA": image}, pixel_size_um=0.5)
    pairs = {
        "area": "area",
        "x": "centroid-1",
        "y": "centroid-0",
        "major_axis": "axis_major_length",
        "minor_axis": "axis_minor_length",
        "extent": "extent",
        "perimeter": "perimeter",
        "DNA.mean": "intensity_mean",
        "DNA.min": "intensity_min",
        "DNA.max": "intensity_max",
    }
    for our, their in pairs.items():
        np.testing.assert_allclose(ours[our], theirs[their], rtol=1e-6, atol=1e-6, err_msg=our)
    # scikit-image computes it in float32 for a float32 image
    np.testing.assert_allclose(ours["DNA.sd"], theirs["intensity_std"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours["DNA.sum"], theirs["intensity_mean"] * theirs["area"], rtol=1e-5)
    np.testing.assert_allclose(ours["area_um2"], theirs["area"] * 0.25)
    several = theirs["area"] > 1
    np.testing.assert_allclose(ours["eccentricity"][several], theirs["eccentricity"][several], atol=1e-6)
    round_ones = ours["major_axis"] - ours["minor_axis"] < 1e-6  # they have no direction
    turn = np.abs(ours["orientation"] - theirs["orientation"])[~round_ones]
    np.testing.assert_allclose(np.minimum(turn, np.pi - turn), 0, atol=1e-6)
    top, left, bottom, right = (theirs[f"bbox-{k}"] for k in range(4))
    at_border = (top == 0) | (left == 0) | (bottom == labels.shape[0]) | (right == labels.shape[1])
    assert np.array_equal(ours["edge"], at_border.astype(float))


@pytest.mark.parametrize("labels", SHAPES)
def test_ring_and_ratio_by_brute_force(labels: NDArray[np.int32]) -> None:
    image = RNG.poisson(100, labels.shape).astype(np.uint16)
    table = object_table(labels, {"GFP": image})
    distance, (rows, columns) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    owner = labels[rows, columns]
    background = np.percentile(image, BACKGROUND_PERCENTILE)
    for k in range(1, labels.max() + 1):
        # pixels where our distance (within 2 %) and the exact one may disagree about the band, or about the owner
        sure = (owner == k) & (distance >= RING_PX[0] * 1.03) & (distance <= RING_PX[1] * 0.97)
        possible = (labels == 0) & (distance >= RING_PX[0] * 0.97) & (distance <= RING_PX[1] * 1.03)
        ring = table["GFP.ring"][k - 1]
        if not possible.any():
            assert np.isnan(ring)
            assert np.isnan(table["GFP.ratio"][k - 1])
        elif sure.sum() > 30:
            assert ring == pytest.approx(image[sure].mean(), rel=0.05)
            mean = image[labels == k].mean()
            assert table["GFP.ratio"][k - 1] == pytest.approx((mean - background) / (ring - background))


def test_the_ring_leaves_other_objects_out() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[15:25, 15:25] = 1
    labels[15:25, 28:38] = 2
    image = np.where(labels == 2, 1000, 10).astype(np.uint16)
    assert object_table(labels, {"GFP": image})["GFP.ring"].tolist() == [10.0, 10.0]


@pytest.mark.parametrize("shape", [(1, 1), (64, 48), (512, 512)], ids=str)
def test_no_objects(shape: tuple[int, int]) -> None:
    table = object_table(np.zeros(shape, np.int32), {"DNA": np.ones(shape, np.uint8)})
    assert all(column.shape == (0,) for column in table.values())


def test_the_table_has_exactly_the_promised_columns() -> None:
    labels = ragged((60, 80), 5)
    table = object_table(labels, {"DNA": np.ones((60, 80), np.uint8), "GFP": np.ones((60, 80), np.float32)})
    assert list(table) == ["label", *features.columns(["DNA", "GFP"], [])]
    assert table["label"].tolist() == list(range(1, labels.max() + 1))
    listed = (*object_features.SHAPE, *object_features.SEGMENTATION, *channel_features.INTENSITY)
    assert len(listed) + len(channel_features.INTENSITY) + 1 == len(table)


def test_what_does_not_exist_is_unknown() -> None:
    table = object_table(ONE_PIXEL, {"DNA": np.full((9, 9), 5, np.uint8)})
    assert np.isnan(table["eccentricity"][0])
    assert np.isnan(table["form_factor"][0])
    assert np.isnan(table["DNA.ratio"][0])  # ring equals background
    assert table["DNA.ring"][0] == 5
    assert table["perimeter"][0] == 0


def test_a_large_offset_does_not_spoil_the_deviation() -> None:
    labels = np.ones((64, 64), np.int32)
    values = RNG.normal(0, 1, labels.shape)
    table = object_table(labels, {"DNA": values + 1e9})
    assert table["DNA.sd"][0] == pytest.approx(values.std(), rel=1e-6)


def test_many_objects_on_a_large_field() -> None:
    labels = np.kron(np.arange(1, 90_001).reshape(300, 300), np.ones((4, 4), np.int32)).astype(np.int32)
    image = np.broadcast_to(np.arange(1200, dtype=np.uint16), labels.shape)
    table = object_table(labels, {"DNA": image})
    assert (table["area"] == 16).all()
    assert np.array_equal(table["DNA.mean"], np.tile(np.arange(300) * 4 + 1.5, 300))


@pytest.mark.parametrize("q", [0, 5, 50, 99.5, 100])
@pytest.mark.parametrize(
    "image",
    [
        pytest.param(RNG.integers(0, 256, (37, 41)).astype(np.uint8), id="8-bit"),
        pytest.param(RNG.poisson(3000, (64, 64)).astype(np.uint16), id="16-bit"),
        pytest.param(RNG.normal(0, 1, (20, 20)).astype(np.float32), id="float"),
        pytest.param(np.array([[3, 65535]], np.uint16), id="two"),
        pytest.param(np.array([[7]], np.uint8), id="one"),
        pytest.param(RNG.integers(0, 99, (40, 40)).astype(np.uint16)[::2, 1::3], id="strided"),
    ],
)
def test_percentile_is_numpys(image: Image, q: float) -> None:
    assert percentile(image, q) == pytest.approx(float(np.percentile(image, q)), rel=1e-6)


def test_groups_without_pixels_are_unknown() -> None:
    groups = Groups(np.array([[0, 3, 3], [1, 0, 3]], np.int32), n=4)
    assert groups.count.tolist() == [1, 0, 3, 0]
    np.testing.assert_array_equal(groups.sum(groups.take(np.arange(6))), [3, np.nan, 8, np.nan])
    np.testing.assert_array_equal(groups.maximum(groups.take(np.arange(6))), [3, np.nan, 5, np.nan])
