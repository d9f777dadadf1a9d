"""What one cell looks like: a small bank of outlines and textures, turned, stretched and pasted where a cell lies.

A stamp covers ``-EDGE .. EDGE`` in units of the cell's own half-axes, so one bank serves cells of every size and angle.
Banks are drawn once at high resolution and shrunk once for each pixel size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

EDGE: Final = 1.4
"""Half the side of a stamp, in half-axes of the cell."""
SHAPES: Final = 24
"""Different outlines in a bank."""
_FINE: Final = 168
_SEED: Final = 20_240_229
"""The bank is the same for every specimen: the seed of a specimen chooses from it."""

Stamp = NDArray[np.float32]


@lru_cache(maxsize=1)
def _fine_bank() -> dict[str, tuple[Stamp, ...]]:
    """Draw every stamp at high resolution."""
    axis = (np.arange(_FINE) + 0.5) / _FINE * 2 * EDGE - EDGE
    x, y = np.meshgrid(axis, axis)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    bank: dict[str, list[Stamp]] = {"nucleus": [], "mask": [], "cytoplasm": []}
    for shape in range(SHAPES):
        rng = np.random.default_rng((_SEED, shape))

        def outline(wobble: tuple[float, ...], rng: np.random.Generator = rng) -> NDArray[np.float64]:
            waves = [
                size * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * math.pi))
                for order, size in enumerate(wobble, start=2)
            ]
            return np.asarray(np.clip(1 + np.sum(waves, axis=0), 0.75, 1.3), np.float64)

        def texture(scale: float, rng: np.random.Generator = rng) -> NDArray[np.float64]:
            noise = cv2.GaussianBlur(rng.normal(size=(_FINE, _FINE)), (0, 0), scale * _FINE / (2 * EDGE))
            return np.asarray(noise / noise.std(), np.float64)

        edge = outline((0.02, 0.025, 0.015))
        mask = np.clip((edge - radius) / 0.10 + 0.5, 0, 1)
        chromatin = 1 + 0.13 * texture(0.10) + 0.07 * texture(0.3)
        for _ in range(int(rng.integers(1, 4))):
            far, turn = 0.55 * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
            near = (x - far * math.cos(turn)) ** 2 + (y - far * math.sin(turn)) ** 2
            chromatin -= rng.uniform(0.15, 0.35) * np.exp(-near / (2 * 0.13**2))  # nucleoli hold little DNA
        thickness = 0.7 + 0.3 * np.sqrt(np.clip(1 - (radius / edge) ** 2, 0, 1))
        nucleus = mask * chromatin * thickness
        bank["nucleus"].append((nucleus / nucleus[mask > 0.5].mean()).astype(np.float32))
        bank["mask"].append(mask.astype(np.float32))
        far_edge = outline((0.07, 0.06, 0.05, 0.03))
        body = np.clip(1 - (radius / far_edge) ** 2, 0, 1) ** 0.8 * (1 + 0.10 * texture(0.06) + 0.06 * texture(0.2))
        bank["cytoplasm"].append((body / body[radius < 0.8].mean()).astype(np.float32))
    return {kind: tuple(stamps) for kind, stamps in bank.items()}


@lru_cache(maxsize=48)
def bank(kind: str, side_px: int) -> tuple[Stamp, ...]:
    """Return the stamps of a kind, `side_px` pixels wide.

    Parameters
    ----------
    kind : str
        ``"nucleus"`` (textured, mean 1 inside), ``"mask"`` (1 inside, soft edge) or ``"cytoplasm"`` (thick in the
        middle).
    side_px : int
        Side of a stamp; about the size at which it will be pasted, so that nothing is aliased.
    """
    return tuple(
        np.asarray(cv2.resize(stamp, (side_px, side_px), interpolation=cv2.INTER_AREA), np.float32)
        for stamp in _fine_bank()[kind]
    )


def stamp_side(half_axis_px: float) -> int:
    """Return the side of the stamps for cells of about this half-axis, in pixels."""
    return int(min(max(8, math.ceil(2 * EDGE * half_axis_px)), _FINE))


def paste(
    canvas: Stamp,
    stamps: tuple[Stamp, ...],
    cells: NDArray[np.float64],
    levels: NDArray[np.float64],
    *,
    over: bool = False,
) -> None:
    """Paste one stamp per cell into a picture, in place.

    Parameters
    ----------
    canvas : ndarray of float32, shape (y, x)
        Changed.
    stamps : tuple of ndarray
        Of `bank`.
    cells : ndarray of float64, shape (n, 6)
        Centre x and y, half-axes a and b (pixels), angle (radians, from x towards y), number of the shape.
    levels : ndarray of float64, shape (n,)
        Brightness of each.
    over : bool
        False: where cells meet the brighter one shows. True: the stamp is a mask, what lies under it is replaced.
    """
    height, width = canvas.shape
    side = stamps[0].shape[0]
    middle, unit = (side - 1) / 2, side / (2 * EDGE)
    for (x, y, a, b, angle, shape), level in zip(cells.tolist(), levels.tolist(), strict=True):
        cos, sin = math.cos(angle), math.sin(angle)
        reach_x = EDGE * math.hypot(a * cos, b * sin)
        reach_y = EDGE * math.hypot(a * sin, b * cos)
        left, right = max(0, math.floor(x - reach_x)), min(width, math.ceil(x + reach_x) + 1)
        top, bottom = max(0, math.floor(y - reach_y)), min(height, math.ceil(y + reach_y) + 1)
        if left >= right or top >= bottom:
            continue
        dx, dy = left - x, top - y
        xx, xy, yx, yy = unit * cos / a, unit * sin / a, -unit * sin / b, unit * cos / b
        to_stamp = np.array(((xx, xy, xx * dx + xy * dy + middle), (yx, yy, yx * dx + yy * dy + middle)))
        patch = cv2.warpAffine(
            stamps[int(shape)],
            to_stamp,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        under = canvas[top:bottom, left:right]
        if over:
            under += patch * (level - under)
        else:
            patch *= level
            np.maximum(under, patch, out=under)


def add_spots(canvas: Stamp, spots: NDArray[np.float64], sigma_px: float) -> None:
    """Add round Gaussian spots to a picture, in place.

    Parameters
    ----------
    canvas : ndarray of float32, shape (y, x)
        Changed.
    spots : ndarray of float64, shape (n, 3)
        Centre x and y (pixels), peak height.
    sigma_px : float
        Standard deviation. Below 0.7 pixels a spot is drawn wider and lower with the same amount of light.
    """
    height, width = canvas.shape
    drawn = max(sigma_px, 0.7)
    reach = math.ceil(3.2 * drawn)
    steps = np.arange(-reach, reach + 1)
    inside = (np.abs(spots[:, 0] - width / 2) < width / 2 + reach) & (
        np.abs(spots[:, 1] - height / 2) < height / 2 + reach
    )
    spots = spots[inside]
    columns = np.rint(spots[:, 0]).astype(np.int64)[:, None] + steps
    rows = np.rint(spots[:, 1]).astype(np.int64)[:, None] + steps
    across = np.exp(-((columns - spots[:, 0, None]) ** 2) / (2 * drawn**2)) * (
        spots[:, 2, None] * (sigma_px / drawn) ** 2
    )
    along = np.exp(-((rows - spots[:, 1, None]) ** 2) / (2 * drawn**2))
    across[(columns < 0) | (columns >= width)] = 0  # light that falls beside the chip goes nowhere
    along[(rows < 0) | (rows >= height)] = 0
    places = np.clip(rows, 0, height - 1)[:, :, None] * width + np.clip(columns, 0, width - 1)[:, None, :]
    np.add.at(
        canvas.reshape(-1), places.reshape(-1), (along[:, :, None] * across[:, None, :]).astype(np.float32).reshape(-1)
    )
