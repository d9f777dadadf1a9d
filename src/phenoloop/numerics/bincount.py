"""Grouped sums, extremes, deviations and quantiles over labels, without a loop over objects."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Runs(NamedTuple):
    """Stretches of one object within one row, by object and, within one, in raster order; each of shape (runs,).

    Attributes
    ----------
    row, start, length : ndarray of int64
        Row, first column and number of pixels.
    group : ndarray of int64
        Object of each, from 0.
    """

    row: Ints
    start: Ints
    length: Ints
    group: Ints


class Groups:
    """The pixels of each object, put side by side once, so that each statistic is one pass.

    Found as runs along the rows: some thousands of them are put in order, not the pixels themselves.

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
    count : ndarray of int64, shape (n,)
        Pixels per object.
    runs : Runs
        The same pixels as runs.
    """

    def __init__(self, labels: NDArray[np.integer[Any]], n: int | None = None) -> None:
        flat = np.ascontiguousarray(labels).ravel()
        width = labels.shape[-1]
        first = np.empty(flat.size, dtype=np.bool_)
        if flat.size:
            np.not_equal(flat[1:], flat[:-1], out=first[1:])
            first[::width] = True
        at = np.flatnonzero(first)
        value = flat[at]
        length = np.diff(at, append=flat.size)
        inside = np.flatnonzero(value)
        at, value, length = at[inside], value[inside].astype(np.int64), length[inside]
        self.n = int(value.max(initial=0)) if n is None else n
        # numpy sorts 16-bit keys by radix, several times faster than 32-bit ones
        order = np.argsort(value.astype(np.uint16) if self.n <= 65_535 else value, kind="stable")
        at, length, group = at[order], length[order], value[order] - 1
        row = at // width
        self.runs = Runs(row, at - row * width, length, group)
        before = np.cumsum(length) - length
        self.index: Ints = np.repeat(at - before, length)
        self.index += np.arange(self.index.size)
        self.count: Ints = np.bincount(group, weights=length, minlength=self.n).astype(np.int64)
        self._filled = np.flatnonzero(self.count)
        self._start = (np.cumsum(self.count) - self.count)[self._filled]
        per_object = np.bincount(group, minlength=self.n)
        self._first_run = (np.cumsum(per_object) - per_object)[self._filled]

    @cached_property
    def group(self) -> Ints:
        """Object of each pixel of `index`, from 0."""
        return np.repeat(np.arange(self.n), self.count)

    def take(self, image: Values) -> Values:
        """Return the pixels of `image`, shape (y, x), in the order of `index`."""
        return image.ravel()[self.index]

    def spread(self, per_object: Values) -> Values:
        """Return one value per pixel of `index` from one per object."""
        return np.repeat(per_object, self.count)

    def _reduce(self, function: np.ufunc, values: Values, start: Ints) -> Floats:
        result = np.full(self.n, np.nan)
        if self._filled.size:
            result[self._filled] = function.reduceat(values, start)
        return result

    def over_runs(self, function: np.ufunc, values: Values) -> Floats:
        """Return one value per run of `runs` reduced per object by ``np.add``, ``np.minimum`` or ``np.maximum``."""
        return self._reduce(function, values, self._first_run)

    def sum(self, values: Values) -> Floats:
        """Return the sum per object, shape (n,), of one value per pixel of `index`."""
        return self._reduce(np.add, values.astype(np.float64, copy=False), self._start)

    def mean(self, values: Values) -> Floats:
        """Return the mean per object."""
        return self.sum(values) / np.maximum(self.count, 1)

    def minimum(self, values: Values) -> Floats:
        """Return the smallest value per object."""
        return self._reduce(np.minimum, values, self._start)

    def maximum(self, values: Values) -> Floats:
        """Return the largest value per object."""
        return self._reduce(np.maximum, values, self._start)

    def sd(self, values: Values, mean: Floats) -> Floats:
        """Return the standard deviation per object, n in the denominator; a second pass, stable for large offsets."""
        away = self.spread(mean)
        np.subtract(values, away, out=away)
        return np.asarray(np.sqrt(self.mean(np.multiply(away, away, out=away))), dtype=np.float64)

    def ordered(self, values: Values) -> Values:
        """Return the values of each object in rising order, objects one after the other as in `index`."""
        if values.dtype in (np.uint8, np.uint16):
            # object and value in one integer, which sorts several times faster than two keys
            key = (self.group.astype(np.uint64) << np.uint64(16)) | values.astype(np.uint64)
            key.sort()
            return (key & np.uint64(0xFFFF)).astype(values.dtype)
        return values[self.order(values)]

    def order(self, values: Values) -> Ints:
        """Return the indices that put one value per pixel in rising order within each object."""
        by_value = np.argsort(values)
        group = self.group[by_value]
        return by_value[np.argsort(group.astype(np.uint16) if self.n <= 65_536 else group, kind="stable")]

    def quantile(self, ordered: Values, q: float) -> Floats:
        """Return the quantile `q` (0..1) per object, linear between ranks as in numpy.

        Parameters
        ----------
        ordered : ndarray
            What `ordered` returned.
        q : float
            0..1.
        """
        result = np.full(self.n, np.nan)
        most = self.count[self._filled] - 1
        rank = most * q
        below = np.floor(rank).astype(np.int64)
        low = ordered[self._start + below].astype(np.float64)
        high = ordered[self._start + np.minimum(below + 1, most)].astype(np.float64)
        result[self._filled] = low + (high - low) * (rank - below)
        return result
