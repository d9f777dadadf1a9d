"""From annotated images to the network's lessons: crops at the working size, turned, stretched, dimmed and blurred."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane, as_plane, gaussian, resize
from phenoloop.segmentation.distance import elliptic_distance, towards_middle
from phenoloop.segmentation.preparing import normalised, zoom_to, zoomed
from phenoloop.training.pairs import Pair
from phenoloop.training.rendering import render

SIDE: Final = 192
"""Of a crop, px."""
_SCALE: Final = 0.5
"""Crops are enlarged by up to 2^0.5 either way: the diameter of a new image is an estimate."""
_RENDERED_SIDE: Final = 288
_SPECK: Final = 16
"""Annotated objects of fewer px are neither taught as nuclei nor as background: many are slips of the pen."""
_RENDERED: Final = 0.15
"""Share of crops that show rendered nuclei."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One image at the working size. `weight` is how often it is shown, relative to others."""

    image: Plane
    labels: NDArray[np.int32]
    weight: float


def lessons(pairs: Sequence[Pair], working: tuple[float, float]) -> list[Lesson]:
    """Return the images at a size at which their median object lies within the range `working`, px.

    Rare sizes of images come from rare microscopes: a group of n images of one size is shown as often as n^0.7, each
    of its images alike.
    """
    count = {pair.size: sum(other.size == pair.size for other in pairs) for pair in pairs}
    found = []
    for pair in pairs:
        zoom = zoom_to(median_diameter(pair.labels, working[0]), *working)
        image = zoomed(normalised(as_plane(pair.image, pair.name)), zoom)
        labels = cv2.resize(
            pair.labels.astype(np.float32), image.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT
        ).astype(np.int32)
        found.append(Lesson(image, labels, count[pair.size] ** -0.3))
    return found


def median_diameter(labels: NDArray[np.int32], otherwise: float) -> float:
    """Return the diameter of a disk of the median area of the objects, px; `otherwise` where there is none."""
    area = np.bincount(labels.ravel())[1:]
    area = area[area > 0]
    return math.sqrt(4 * float(np.median(area)) / math.pi) if area.size else otherwise


def rendered(count: int, working: float, seed: int) -> list[Lesson]:
    """Return rendered images with their labels; half were smaller and are enlarged, as images of small cells are."""
    made = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        zoom = rng.uniform(1, 2.4) if rng.random() < 0.5 else 1.0
        image, labels = render(rng, round(_RENDERED_SIDE / zoom), working / zoom)
        image = zoomed(normalised(image), zoom)
        size = (image.shape[1], image.shape[0])
        labels = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int32)
        made.append(Lesson(image, labels, 1.0))
    return made


class Crops:
    """An endless supply of batches; batch `k` of a seed is always the same, whoever draws it.

    Parameters
    ----------
    real, made : sequence of Lesson
        Annotated and rendered images.
    size : int
        Crops in a batch.
    seed : int
        Decides all.
    """

    def __init__(self, real: Sequence[Lesson], made: Sequence[Lesson], size: int, seed: int) -> None:
        self._real, self._made, self._size, self._seed = real, made, size, seed
        weight = np.array([lesson.weight for lesson in real])
        self._chance = weight / weight.sum()

    def batch(self, k: int) -> tuple[Plane, NDArray[np.float32]]:
        """Return inputs (n, 1, side, side) and targets (n, 5, side, side), see `target`."""
        drawn = self.draw(k)
        return np.stack([image[None] for image, _ in drawn]), np.stack([target(labels) for _, labels in drawn])

    def draw(self, k: int) -> list[tuple[Plane, NDArray[np.int32]]]:
        """Return the crops of batch `k` and their labels."""
        rng = np.random.default_rng([self._seed, 1, k])
        drawn = []
        for _ in range(self._size):
            if self._made and rng.random() < _RENDERED:
                lesson = self._made[int(rng.integers(len(self._made)))]
            else:
                lesson = self._real[int(rng.choice(len(self._real), p=self._chance))]
            image, labels = _warped(rng, lesson)
            drawn.append((_relit(rng, image, labels), labels))
        return drawn


def target(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return flows (y, x), foreground, normalised distance, and the weight of each pixel: more where objects touch."""
    touching = np.zeros(labels.shape, dtype=np.uint8)
    for near, far in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None),), (slice(None, -1),)),
    ):
        differ = (labels[near] != labels[far]) & (labels[near] > 0) & (labels[far] > 0)
        touching[near] |= differ
        touching[far] |= differ
    weight = 1 + 3 * gaussian(touching.astype(np.float32), 1.5)
    weight[(np.bincount(labels.ravel()) < _SPECK)[labels]] = 0
    maps = ((labels > 0).astype(np.float32), elliptic_distance(labels), weight)
    return np.concatenate((towards_middle(labels), np.stack(maps)))


def _warped(rng: np.random.Generator, lesson: Lesson) -> tuple[Plane, NDArray[np.int32]]:
    from skimage.measure import label

    scale = 2 ** rng.uniform(-_SCALE, _SCALE)
    stretch = 2 ** rng.normal(0, 0.1)
    turn = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else math.pi / 2 * rng.integers(4)
    cos, sin = math.cos(turn), math.sin(turn)
    flip = -1 if rng.random() < 0.5 else 1
    # from the crop's pixels to the image's
    matrix = np.array([[flip * cos / stretch, -sin * stretch], [flip * sin / stretch, cos * stretch]]) / scale
    height, width = lesson.image.shape
    reach = SIDE / scale / 2
    centre = np.array(
        [
            rng.uniform(min(reach, width / 2), max(width - reach, width / 2)),
            rng.uniform(min(reach, height / 2), max(height - reach, height / 2)),
        ]
    )
    offset = centre - matrix @ np.array([SIDE / 2, SIDE / 2])
    warp = np.column_stack((matrix, offset))
    source = gaussian(lesson.image, 0.4 / scale) if scale < 0.8 else lesson.image
    options: dict[str, Any] = {"borderMode": cv2.BORDER_REFLECT_101}
    image = cv2.warpAffine(source, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, **options)
    labels = cv2.warpAffine(
        lesson.labels.astype(np.float32), warp, (SIDE, SIDE), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, **options
    )
    # what the mirrored border shows twice are two objects
    parts: NDArray[np.int64] = label(labels.astype(np.int32), background=0, connectivity=1)  # type: ignore[no-untyped-call]
    return np.asarray(image, dtype=np.float32), parts.astype(np.int32)


def _relit(rng: np.random.Generator, image: Plane, labels: NDArray[np.int32]) -> Plane:
    """Return the crop as another camera, lamp or focus would have shown it (in square roots, as the network sees)."""
    light = np.square(image)
    if rng.random() < 0.2:  # objects of other relative brightness
        gain = np.exp(rng.normal(0, 0.35, int(labels.max(initial=0)) + 1)).astype(np.float32)
        gain[0] = 1
        light = light * gaussian(gain[labels], 1.0)
    if rng.random() < 0.2:
        grid = rng.uniform(0.4, 1.2, (3, 3)).astype(np.float32)
        light = light * resize(grid, (SIDE, SIDE))
    if rng.random() < 0.15:  # haze, uneven background
        light = light + np.float32(rng.uniform(0, 0.3)) * resize(rng.random((3, 3)).astype(np.float32), (SIDE, SIDE))
    if rng.random() < 0.15:
        light = light + np.float32(rng.uniform(0, 0.5)) * gaussian(light, rng.uniform(8, 24))
    if rng.random() < 0.2:
        light = gaussian(light, rng.uniform(0.4, 2.0))
    if rng.random() < 0.3:  # shot and read noise
        light = light + rng.normal(0, 1, light.shape).astype(np.float32) * np.sqrt(
            light * np.float32(rng.uniform(0, 0.03)) + np.float32(rng.uniform(0, 0.05) ** 2)
        )
    light = np.maximum(light, 0)
    gamma = 2 ** rng.uniform(-0.5, 0.5)
    exposure = 2 ** rng.uniform(-1.2, 0.6)
    lift = rng.uniform(-0.03, 0.06)
    return np.sqrt(np.clip(exposure * light**gamma + lift, 0, 4)).astype(np.float32)
