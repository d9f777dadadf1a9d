"""What goes wrong with fluorescence frames, done to real ones on purpose: six kinds, four severities, truth kept.

Lengths are in typical diameters of the objects and brightness in the contrast of the image, so that a severity means
the same for every image. Pixels stay 8-bit; the noise of the original is put back wherever a step would smooth it away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import noise_sd

Frame = NDArray[np.uint8]
Labels = NDArray[np.int32]
Pair = tuple[Frame, Labels]


class Look:
    """What the degradations need to know of an undegraded frame.

    Parameters
    ----------
    image, labels : ndarray
        The frame and its truth.
    """

    def __init__(self, image: NDArray[Any], labels: NDArray[Any]) -> None:
        self.image: Frame = np.asarray(image, dtype=np.uint8)
        self.labels: Labels = np.asarray(labels, dtype=np.int32)
        self.light = self.image.astype(np.float32)
        area = np.bincount(self.labels.ravel())[1:]
        self.diameter = math.sqrt(4 * float(np.median(area[area > 0])) / math.pi) if area.any() else 20.0
        inside = self.labels > 0
        self.background = float(np.median(self.light[~inside]))
        self.contrast = max(float(self.light[inside].mean()) - self.background, 5.0) if inside.any() else 20.0
        self.noise = noise_sd(self.light)


def _frame(light: NDArray[Any]) -> Frame:
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _noisy(look: Look, light: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    return light + rng.normal(0, 1, light.shape) * look.noise


def defocus(look: Look, severity: int, rng: np.random.Generator) -> Pair:
    """Out of focus by more and more: a disc of confusion of 0.4, 0.8, 1.2, 2 diameters across, edges soft."""
    radius = (0.2, 0.4, 0.6, 1.0)[severity] * look.diameter
    size = 2 * math.ceil(radius) + 1
    y, x = np.mgrid[-(size // 2) : size // 2 + 1, -(size // 2) : size // 2 + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    blurred = cv2.filter2D(look.light, cv2.CV_32F, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)
    blurred = cv2.GaussianBlur(blurred, (0, 0), max(0.3, 0.25 * radius))
    return _frame(_noisy(look, blurred, rng)), look.labels


def noise(look: Look, severity: int, rng: np.random.Generator) -> Pair:
    """Less light: noise of 0.2, 0.5, 1, 2 times the contrast, shot noise and read noise in equal parts."""
    share = (0.2, 0.5, 1.0, 2.0)[severity]
    contrast = min(60.0, 100.0 / (1 + share))
    signal = (look.light - look.background) * (contrast / look.contrast)
    read = share * contrast / math.sqrt(2)
    shot = np.sqrt(np.maximum(signal, 0) / contrast) * read
    lift = min(2.5 * share * contrast, 90.0)
    return _frame(lift + signal + rng.normal(0, 1, signal.shape) * np.hypot(read, shot)), look.labels


def saturation(look: Look, severity: int, rng: np.random.Generator) -> Pair:
    """Overexposed: mean contrast of 1.5, 4, 10, 30 times the range; half of the cameras fill up below their maximum."""
    gain = (1.5, 4.0, 10.0, 30.0)[severity] * 255 / look.contrast
    full = 255 if rng.random() < 0.5 else int(rng.integers(180, 245))
    light = look.light + rng.normal(0, 0.29, look.light.shape)  # steps of whole counts would be seen after the gain
    return _frame(np.minimum(gain * (light - 0.5 * look.background), full)), look.labels


def bubbles(look: Look, severity: int, rng: np.random.Generator) -> Pair:
    """Air in the way: about 15, 35, 60, 90 % of the frame is blurred, dimmed, displaced and has bright rims."""
    share = (0.15, 0.35, 0.6, 0.9)[severity]
    height, width = look.light.shape
    covered = np.zeros((height, width), dtype=np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    rim = np.zeros_like(covered)
    radius = math.sqrt(share * height * width / math.pi) / (1 if severity in (0, 3) else 1.3)
    while (covered > 0.5).mean() < 0.9 * share:
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        r = np.hypot(y - cy, x - cx)
        covered = np.maximum(covered, 1 / (1 + np.exp(np.clip((r - radius) / (0.1 * look.diameter + 1), -60, 60))))
        rim = np.maximum(rim, np.exp(-(((r - radius) / (0.15 * look.diameter + 1)) ** 2)))
    shift = np.float32(rng.uniform(0.5, 1.5) * look.diameter)
    bent = cv2.remap(look.light, x + shift, y + shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    bent = cv2.GaussianBlur(bent, (0, 0), rng.uniform(0.4, 0.8) * look.diameter)
    bent = look.background + 0.7 * (bent - look.background)
    light = look.light * (1 - covered) + _noisy(look, bent, rng) * covered
    return _frame(light + rng.uniform(0.2, 0.8) * look.contrast * rim), look.labels


def empty(look: Look, severity: int, rng: np.random.Generator) -> Pair:
    """No cells: background and noise; then haze from above the focus; then fibres and specks; then both, brighter."""
    shape = look.light.shape
    light = np.full(shape, look.background, dtype=np.float32)
    grid = rng.random((4, 4)).astype(np.float32)
    light += 0.1 * look.contrast * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    if severity in (1, 3):
        spots = np.zeros(shape, dtype=np.float32)
        n = max(2, int(0.3 * look.light.size / (4 * look.diameter) ** 2))
        spots[rng.integers(0, shape[0], n), rng.integers(0, shape[1], n)] = rng.uniform(0.3, 1, n)
        haze = cv2.GaussianBlur(spots, (0, 0), 1.2 * look.diameter)
        light += (0.5 if severity == 1 else 1.0) * look.contrast * haze / max(float(haze.max()), 1e-6)
    if severity >= 2:
        debris = np.zeros(shape, dtype=np.float32)
        for _ in range(int(rng.integers(3, 15)) * (severity - 1)):
            start = rng.uniform(0, 1, 2) * shape[::-1]
            bend = np.cumsum(rng.normal(0, 0.3, 12)) + rng.uniform(0, 2 * math.pi)
            step = rng.uniform(0.1, 0.7) * look.diameter
            line = start + np.cumsum(np.stack((np.cos(bend), np.sin(bend)), 1) * step, 0)
            thick = max(1, round(rng.uniform(0.05, 0.3) * look.diameter))
            cv2.polylines(debris, [np.rint(line).astype(np.int32)], False, float(rng.uniform(0.4, 1.5)), thick)
        for _ in range(int(rng.integers(10, 40)) * (severity - 1)):
            centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
            size = max(1, round(rng.uniform(0.03, 0.2) * look.diameter))
            cv2.circle(debris, centre, size, float(rng.uniform(0.4, 2)), -1)
        light += look.contrast * cv2.GaussianBlur(debris, (0, 0), 0.8)
    return _frame(light + rng.normal(0, max(look.noise, 0.5), shape)), np.zeros(shape, dtype=np.int32)


def magnification(look: Look, severity: int, rng: np.random.Generator) -> Pair:
    """Another objective than the protocol names: objects 0.2, 0.4, 2.5, 5 times as large on the same camera."""
    zoom = (0.4, 2.5, 0.2, 5.0)[severity]
    height, width = look.light.shape
    if zoom < 1:
        small = (max(1, round(width * zoom)), max(1, round(height * zoom)))
        light = cv2.resize(look.light, small, interpolation=cv2.INTER_AREA)
        labels = cv2.resize(look.labels.astype(np.float32), small, interpolation=cv2.INTER_NEAREST).astype(np.int32)
        rows, columns = math.ceil(height / small[1]), math.ceil(width / small[0])
        light = _mirrored([light] * (rows * columns), columns)[:height, :width]
        step = int(labels.max(initial=0))
        copies = [np.where(labels > 0, labels + step * k, 0) for k in range(rows * columns)]
        labels = _mirrored(copies, columns)[:height, :width]
    else:
        h, w = max(1, round(height / zoom)), max(1, round(width / zoom))
        count = cv2.boxFilter((look.labels > 0).astype(np.float32), -1, (w, h))
        middle = count[h // 2 : height - h // 2, w // 2 : width - w // 2]
        top, left = divmod(int(np.argmax(middle)), middle.shape[1])  # where the objects are
        size = (width, height)
        light = cv2.resize(look.light[top : top + h, left : left + w], size, interpolation=cv2.INTER_CUBIC)
        crop = look.labels[top : top + h, left : left + w].astype(np.float32)
        labels = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    return _frame(_noisy(look, light, rng)), _whole(labels)


def _mirrored(tiles: list[NDArray[Any]], columns: int) -> NDArray[Any]:
    """Return tiles side by side, row by row, every second one mirrored so that they meet without a seam."""
    turned = [tile[:: 1 - 2 * (k // columns % 2), :: 1 - 2 * (k % columns % 2)] for k, tile in enumerate(tiles)]
    return np.vstack([np.hstack(turned[k : k + columns]) for k in range(0, len(turned), columns)])


def _whole(labels: Labels) -> Labels:
    """Return labels with one object per connected piece: mirrored tiles and crops join and cut them."""
    from skimage.measure import label

    pieces: Labels = label(labels, background=0, connectivity=1).astype(np.int32)  # type: ignore[no-untyped-call]
    return pieces


KINDS: Final[dict[str, Callable[[Look, int, np.random.Generator], Pair]]] = {
    "defocus": defocus,
    "noise": noise,
    "saturation": saturation,
    "bubbles": bubbles,
    "empty": empty,
    "magnification": magnification,
}
SEVERITIES: Final = 4


def degraded(look: Look, kind: str, severity: int, seed: list[int]) -> Pair:
    """Return a degraded frame and its truth, the same for the same seed."""
    return KINDS[kind](look, severity, np.random.default_rng([*seed, list(KINDS).index(kind), severity]))
