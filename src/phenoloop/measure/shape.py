"""The shape features of every object at once, as scikit-image defines them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.bincount import Groups

Columns = dict[str, NDArray[np.float64]]

_STEPS: Final = ((0, 1), (1, 0), (0, -1), (-1, 0))
_DIAGONALS: Final = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def shape_features(labels: NDArray[np.int32], groups: Groups, pixel_size_um: float) -> Columns:
    """Return the columns of `phenoloop.model.object_features.SHAPE`, each of shape (n,).

    Equal to ``skimage.measure.regionprops_table`` up to rounding. One difference, on purpose: an eccentricity or form
    factor that does not exist (an object of one pixel has no outline) is NaN here where scikit-image says 0 or divides.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        Dense from 1.
    groups : Groups
        Of these labels.
    pixel_size_um : float
        For ``area_um2``.
    """
    height, width = labels.shape
    runs, area = groups.runs, groups.count.astype(np.float64)
    end = runs.start + runs.length - 1
    y = groups.over_runs(np.add, runs.length * runs.row) / area
    x = groups.over_runs(np.add, runs.length * (runs.start + end) * 0.5) / area
    # sums over a run of pixels have closed forms; from the centroid, so that nothing cancels
    down, middle = runs.row - y[runs.group], 0.5 * (runs.start + end) - x[runs.group]
    spread_in_run = (runs.length * runs.length - 1) / 12
    yy = groups.over_runs(np.add, runs.length * down * down) / area
    xx = groups.over_runs(np.add, runs.length * (middle * middle + spread_in_run)) / area
    xy = groups.over_runs(np.add, runs.length * down * middle) / area
    centre, spread = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    larger, smaller = centre + spread, np.maximum(centre - spread, 0)
    bottom, top = groups.over_runs(np.maximum, runs.row), groups.over_runs(np.minimum, runs.row)
    right, left = groups.over_runs(np.maximum, end), groups.over_runs(np.minimum, runs.start)
    perimeter = _perimeter(labels, groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        eccentricity = np.sqrt(np.where(larger > 0, 1 - smaller / larger, np.nan))
        form_factor = np.where(perimeter > 0, 4 * np.pi * area / perimeter**2, np.nan)
    return {
        "area": area,
        "area_um2": area * pixel_size_um**2,
        "x": x,
        "y": y,
        "major_axis": 4 * np.sqrt(larger),
        "minor_axis": 4 * np.sqrt(smaller),
        "eccentricity": eccentricity,
        "orientation": np.where(yy == xx, np.where(xy < 0, -np.pi / 4, np.pi / 4), 0.5 * np.arctan2(2 * xy, yy - xx)),
        "extent": area / ((bottom - top + 1) * (right - left + 1)),
        "perimeter": perimeter,
        "form_factor": form_factor,
        "edge": ((top == 0) | (left == 0) | (bottom == height - 1) | (right == width - 1)).astype(np.float64),
    }


def outline_pixels(labels: NDArray[np.int32], groups: Groups) -> NDArray[np.int64]:
    """Return the flat indices, rising, of the pixels that have a pixel not of their object (or no pixel) beside them.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        Dense from 1.
    groups : Groups
        Of these labels.
    """
    width = labels.shape[1]
    # the ends of the runs differ sideways; only up and down remains to be looked at
    differs = labels[1:] != labels[:-1]
    outline = np.zeros(labels.shape, dtype=np.bool_)
    outline[1:] |= differs
    outline[:-1] |= differs
    outline[[0, -1]] = True
    outline &= labels != 0
    flat = outline.ravel()
    at = groups.runs.row * width + groups.runs.start
    flat[at] = True
    flat[at + groups.runs.length - 1] = True
    return np.flatnonzero(flat)


def _perimeter(labels: NDArray[np.int32], groups: Groups) -> NDArray[np.float64]:
    """Return the outline's length by the weights of Benkrid and Crookes (2000), as ``skimage.measure.perimeter``.

    A pixel's weight depends on how many of its own outline's pixels are beside it and at its corners.
    """
    height, width = labels.shape
    index, stride = outline_pixels(labels, groups), width + 2
    own = labels.ravel()[index]
    if groups.n <= 65_535:
        own = own.astype(np.uint16)  # half the memory to walk through
    place = index + 2 * (index // width) + (stride + 1)
    drawn = np.zeros((height + 2) * stride, dtype=own.dtype)
    drawn[place] = own
    code = np.ones(place.size, dtype=np.uint8)
    for worth, steps in ((2, _STEPS), (10, _DIAGONALS)):
        for dy, dx in steps:
            code += np.uint8(worth) * (drawn[place + (dy * stride + dx)] == own).view(np.uint8)
    weights = np.zeros(60)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = np.sqrt(2)
    weights[[13, 23]] = (1 + np.sqrt(2)) / 2
    length: NDArray[np.float64] = np.bincount(own, weights=weights[code], minlength=groups.n + 1)[1:].astype(np.float64)
    return length
