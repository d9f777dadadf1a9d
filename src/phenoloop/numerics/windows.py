"""Where points may lie: a rectangle, or any shape made of pixels; its overlap with itself, and random places in it.

Distances are in the unit of the coordinates. A point is ``(y, x)``; a pixel is the unit square around its centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Window(Protocol):
    """Where points may lie."""

    area: float

    def covariance(self, dy: Floats, dx: Floats) -> Floats:
        """Return the area that the window shares with itself moved by each of some vectors."""
        ...

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return `count` points, uniform in the window, shape (count, 2)."""
        ...


@dataclass(frozen=True)
class Rectangle:
    """A field of `height` x `width`, one corner at the origin."""

    height: float
    width: float

    @property
    def area(self) -> float:
        """Its area."""
        return self.height * self.width

    @property
    def perimeter(self) -> float:
        """Its perimeter."""
        return 2 * (self.height + self.width)

    def covariance(self, dy: Floats, dx: Floats) -> Floats:
        """Return the area that it shares with itself moved by each of some vectors."""
        shared: Floats = np.maximum(self.height - np.abs(dy), 0) * np.maximum(self.width - np.abs(dx), 0)
        return shared

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return `count` points, uniform in it, shape (count, 2)."""
        return rng.random((count, 2)) * (self.height, self.width)


class Mask:
    """A window made of pixels: the shape of a cell, or a field without its holes.

    Parameters
    ----------
    mask : ndarray of bool, shape (y, x)
        True where points may lie; pixel (i, j) is the square around the point (i, j).
    lattice : bool
        Points are pixel centres and no two of them are the same pixel, as peaks found in an image are; else they lie
        anywhere in the pixels.

    Raises
    ------
    ValueError
        If no pixel is True.
    """

    def __init__(self, mask: NDArray[np.bool_], *, lattice: bool = False) -> None:
        self._mask = mask
        self._pixels = np.argwhere(mask)
        self._lattice = lattice
        if not len(self._pixels):
            raise ValueError("the window is empty; no pixel of its mask is True")
        self.area = float(len(self._pixels))

    @cached_property
    def _shared(self) -> Floats:
        low, high = self._pixels.min(axis=0), self._pixels.max(axis=0) + 1
        box = self._mask[low[0] : high[0], low[1] : high[1]].astype(np.float64)
        shape = (2 * box.shape[0] + 1, 2 * box.shape[1] + 1)  # every vector that shares anything, and a frame of zeros
        spectrum = np.fft.rfft2(box, shape)
        table: Floats = np.rint(np.fft.fftshift(np.fft.irfft2(spectrum * np.conj(spectrum), shape)))
        return table

    def covariance(self, dy: Floats, dx: Floats) -> Floats:
        """Return the area that it shares with itself moved by each of some vectors.

        Of whole-pixel vectors by correlation; bilinear between them, which is exact for windows made of squares.
        """
        table = self._shared
        rows, columns = table.shape
        y = np.clip(dy + rows // 2, 0, rows - 1)
        x = np.clip(dx + columns // 2, 0, columns - 1)
        top, left = np.minimum(y.astype(np.int64), rows - 2), np.minimum(x.astype(np.int64), columns - 2)
        down, right = y - top, x - left
        upper = table[top, left] * (1 - right) + table[top, left + 1] * right
        lower = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
        shared: Floats = upper * (1 - down) + lower * down
        return shared

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return `count` points, uniform in it, shape (count, 2)."""
        if self._lattice:
            return self._pixels[rng.choice(len(self._pixels), count, replace=False)].astype(np.float64)
        chosen = self._pixels[rng.integers(len(self._pixels), size=count)]
        return np.asarray(chosen + rng.random((count, 2)) - 0.5, dtype=np.float64)
