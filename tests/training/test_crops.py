from __future__ import annotations

import cv2
import numpy as np
import pytest

from phenoloop.segmentation.distance import elliptic_distance, towards_middle
from phenoloop.training.crops import SIDE, Crops, lessons, median_diameter, rendered, target
from phenoloop.training.pairs import Pair
from phenoloop.training.rendering import render


def disks(side: int, diameter: int) -> Pair:
    labels = np.zeros((side, side), np.uint8)
    for k, x in enumerate(range(diameter, side - diameter, 2 * diameter)):
        cv2.circle(labels, (x, side // 2), diameter // 2, k + 1, -1)
    image = (20 + 100 * (labels > 0)).astype(np.uint8)
    return Pair(name="disks.png", image=image, labels=labels.astype(np.int32), sha256="0" * 64)


@pytest.mark.parametrize(
    ("angle", "axes"),
    [
        pytest.param(0, (30, 12), id="flat"),
        pytest.param(35, (25, 15), id="tilted"),
        pytest.param(90, (9, 9), id="round"),
    ],
)
def test_the_distance_is_that_of_an_ellipse(angle: int, axes: tuple[int, int]) -> None:
    mask = cv2.ellipse(np.zeros((101, 101), np.uint8), (50, 50), axes, angle, 0, 360, 1, -1)
    distance = elliptic_distance(mask.astype(np.int32))
    assert distance[50, 50] == pytest.approx(1, abs=0.02)
    eroded = cv2.erode(mask, np.ones((3, 3), np.uint8))
    assert distance[(mask > 0) & (eroded == 0)].max() < 0.25
    assert distance[mask == 0].max() == 0
    half = cv2.ellipse(np.zeros((101, 101), np.uint8), (50, 50), (axes[0] // 2, axes[1] // 2), angle, 0, 360, 1, 1)
    assert np.median(distance[half > 0]) == pytest.approx(0.5, abs=0.12)


def test_flows_lead_to_the_middle() -> None:
    labels = disks(128, 20).labels
    flows = towards_middle(labels)
    assert flows[:, labels == 0].max() == 0
    y, x = np.nonzero(labels == 1)
    middle = y.mean(), x.mean()
    before = np.hypot(y - middle[0], x - middle[1])
    after = np.hypot(y + flows[0, y, x] - middle[0], x + flows[1, y, x] - middle[1])
    assert (before - after)[before > 1] == pytest.approx(1, abs=1e-3)
    assert after[before <= 1].max() < 1e-3


def test_pixels_between_objects_that_touch_weigh_more() -> None:
    labels = np.zeros((32, 32), np.int32)
    labels[8:24, 4:16], labels[8:24, 16:28] = 1, 2
    weight = target(labels)[4]
    assert weight[16, 16] > 1.5
    assert weight[16, 3] == weight[0, 0] == 1


@pytest.mark.parametrize(
    "diameter", [pytest.param(8, id="small"), pytest.param(40, id="large"), pytest.param(16, id="known")]
)
def test_lessons_have_the_size_the_network_knows(diameter: int) -> None:
    (lesson,) = lessons([disks(240, diameter)], (17.0, 20.0))
    assert 13 <= median_diameter(lesson.labels, 0.0) <= 21
    assert lesson.image.shape == lesson.labels.shape


def test_a_batch_depends_on_its_number_and_the_seed_only() -> None:
    real, made = lessons([disks(240, 16)], (17.0, 20.0)), rendered(2, 17.0, seed=4)
    one, again = Crops(real, made, 3, seed=4), Crops(real, made, 3, seed=4)
    one.batch(0)
    images, targets = one.batch(5)
    assert images.shape == (3, 1, SIDE, SIDE)
    assert targets.shape == (3, 5, SIDE, SIDE)
    assert images.dtype == targets.dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip((images, targets), again.batch(5), strict=True))
    assert not np.array_equal(images, Crops(real, made, 3, seed=5).batch(5)[0])
    assert not np.array_equal(images, one.batch(6)[0])


def test_rendered_labels_are_dense_and_lie_on_light() -> None:
    shown = 0
    for seed in range(6):
        image, labels = render(np.random.default_rng(seed), 128, 16)
        assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
        assert image.min() >= 0
        if labels.any():
            shown += 1
            assert image[labels > 0].mean() > image[labels == 0].mean()
    assert shown >= 4
