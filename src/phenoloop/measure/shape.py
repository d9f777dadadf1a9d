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
    """Return the columns of `phenoloop.model.features.SHAPE`, each of shape (n,).

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
    rows = groups.index // width
    columns = groups.index - rows * width  # several times faster than divmod
    area = groups.count.astype(np.float64)
    y, x = groups.mean(rows), groups.mean(columns)
    dy, dx = rows - y[groups.group], columns - x[groups.group]
    yy, xx, xy = groups.mean(dy * dy), groups.mean(dx * dx), groups.mean(dx * dy)
    centre, spread = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    larger, smaller = centre + spread, np.maximum(centre - spread, 0)
    bottom, top = groups.maximum(rows), groups.minimum(rows)
    right, left = groups.maximum(columns), groups.minimum(columns)
    perimeter = _perimeter(labels, groups.n)
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


def _perimeter(labels: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """Return the outline's length by the weights of Benkrid and Crookes (2000), as ``skimage.measure.perimeter``.

    A pixel is on the outline if one of its four neighbours is not of its object. Its weight depends on how many of its
    own outline's pixels are beside it and at its corners.
    """
    framed = np.pad(labels, 1)
    stride = framed.shape[1]
    middle = framed[1:-1, 1:-1]
    outline = framed[1:-1, 2:] != middle
    outline |= framed[1:-1, :-2] != middle
    outline |= framed[2:, 1:-1] != middle
    outline |= framed[:-2, 1:-1] != middle
    outline &= middle != 0
    index = np.flatnonzero(outline)
    place = index + 2 * (index // labels.shape[1]) + stride + 1
    own = framed.ravel()[place]
    drawn = np.zeros(framed.size, dtype=np.int32)
    drawn[place] = own
    code = np.ones(place.size, dtype=np.int64)
    for worth, steps in ((2, _STEPS), (10, _DIAGONALS)):
        for dy, dx in steps:
            code += worth * (drawn[place + dy * stride + dx] == own)
    weights = np.zeros(60)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = np.sqrt(2)
    weights[[13, 23]] = (1 + np.sqrt(2)) / 2
    length: NDArray[np.float64] = np.bincount(own, weights=weights[code], minlength=n + 1)[1:].astype(np.float64)
    return length
