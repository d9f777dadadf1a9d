"""Grouped sums, extremes and deviations over labels, without a loop over objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Floats = NDArray[np.float64]


class Groups:
    """The pixels of each object, put side by side once, so that each statistic is one pass.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        0 is background; objects are dense from 1.
    n : int, optional
        Number of objects; the largest label unless given. Groups without pixels are unknown (NaN) in every statistic
        but `count`.

    Attributes
    ----------
    index : ndarray of int64, shape (pixels,)
        Flat indices of the labelled pixels, by object and, within one, in raster order.
    group : ndarray of int64, shape (pixels,)
        Object of each, from 0.
    count : ndarray of int64, shape (n,)
        Pixels per object.
    """

    def __init__(self, labels: NDArray[np.integer[Any]], n: int | None = None) -> None:
        flat = labels.ravel()
        self.n = int(flat.max(initial=0)) if n is None else n
        index = np.flatnonzero(flat)
        group = flat[index] - 1
        # numpy sorts 16-bit keys by radix, several times faster than 32-bit ones
        key = group.astype(np.uint16) if self.n <= 65_536 else group
        order = np.argsort(key, kind="stable")
        self.index: NDArray[np.int64] = index[order]
        self.group: NDArray[np.int64] = group[order].astype(np.int64)
        self.count: NDArray[np.int64] = np.bincount(self.group, minlength=self.n)
        self._filled = np.flatnonzero(self.count)
        self._start = np.concatenate(([0], np.cumsum(self.count)[:-1]))[self._filled] if self.n else self._filled

    def take(self, image: Values) -> Values:
        """Return the pixels of `image`, shape (y, x), in the order of `index`."""
        return image.ravel()[self.index]

    def _reduce(self, function: np.ufunc, values: Values) -> Floats:
        result = np.full(self.n, np.nan)
        if self._filled.size:
            result[self._filled] = function.reduceat(values, self._start)
        return result

    def sum(self, values: Values) -> Floats:
        """Return the sum per object, shape (n,), of one value per pixel of `index`."""
        return self._reduce(np.add, values.astype(np.float64))

    def mean(self, values: Values) -> Floats:
        """Return the mean per object."""
        return self.sum(values) / np.maximum(self.count, 1)

    def minimum(self, values: Values) -> Floats:
        """Return the smallest value per object."""
        return self._reduce(np.minimum, values)

    def maximum(self, values: Values) -> Floats:
        """Return the largest value per object."""
        return self._reduce(np.maximum, values)

    def sd(self, values: Values, mean: Floats) -> Floats:
        """Return the standard deviation per object, n in the denominator; a second pass, stable for large offsets."""
        return np.asarray(np.sqrt(self.mean((values - mean[self.group]) ** 2)), dtype=np.float64)
