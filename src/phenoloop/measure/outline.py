"""The outline of each object against its hull, and its moment invariants; without a loop over objects."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns

Floats = NDArray[np.float64]

_DIRECTIONS: Final = 64


def outline(objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.object_features.OUTLINE`.

    The hull is known by its support: how far the object reaches in each of 64 directions. The polygon of these tangents
    is at most 0.2 % larger than the hull of a disk, and the largest of their distances at most 0.13 % too small.
    """
    groups, area = objects.groups, objects.area
    reach = _support(objects)
    across = reach[:, : _DIRECTIONS // 2] + reach[:, _DIRECTIONS // 2 :]
    step = 2 * np.pi / _DIRECTIONS
    side = (np.roll(reach, 1, axis=1) + np.roll(reach, -1, axis=1) - 2 * np.cos(step) * reach) / np.sin(step)
    convex_area = 0.5 * (reach * side).sum(axis=1)
    return {
        "equivalent_diameter": np.sqrt(4 * area / np.pi),
        "convex_area": convex_area,
        "solidity": area / convex_area,
        "feret": across.max(axis=1, initial=0),
        "width": across.min(axis=1, initial=np.inf),
        "inscribed_radius": groups.maximum(objects.depth),
        "mean_radius": groups.mean(objects.depth),
        "touching": _touching(objects),
    }


def moments(objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.object_features.MOMENTS` (Hu 1962, as ``skimage.measure.moments_hu``)."""
    dy, dx = objects.from_centre
    groups, area = objects.groups, objects.area

    yy, xx = dy * dy, dx * dx
    n20, n02, n11 = (groups.sum(product) / area**2 for product in (yy, xx, dy * dx))
    n30, n03, n21, n12 = (groups.sum(product) / area**2.5 for product in (yy * dy, xx * dx, yy * dx, dy * xx))
    p, q = n30 + n12, n21 + n03
    a, b = n30 - 3 * n12, 3 * n21 - n03
    found = (
        n20 + n02,
        (n20 - n02) ** 2 + 4 * n11**2,
        a**2 + b**2,
        p**2 + q**2,
        a * p * (p**2 - 3 * q**2) + b * q * (3 * p**2 - q**2),
        (n20 - n02) * (p**2 - q**2) + 4 * n11 * p * q,
        b * p * (p**2 - 3 * q**2) - a * q * (3 * p**2 - q**2),
    )
    return {f"hu_{k}": column for k, column in enumerate(found, 1)}


def _support(objects: Objects) -> Floats:
    """Return how far each object's pixels, taken as squares, reach from its centroid; shape (n, directions)."""
    runs = objects.groups.runs
    y, x = objects.centroid
    angle = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    sine, cosine = np.sin(angle), np.cos(angle)
    down = (runs.row - y[runs.group])[:, None] * sine
    left = runs.start - x[runs.group]
    # the farther end of each run; half a pixel more each way for the corner
    ends = np.maximum(left[:, None] * cosine, (left + runs.length - 1)[:, None] * cosine)
    reach = down + ends
    found = np.empty((objects.n, _DIRECTIONS))
    for k in range(_DIRECTIONS):
        found[:, k] = objects.groups.over_runs(np.maximum, reach[:, k])
    corner: Floats = 0.5 * (np.abs(sine) + np.abs(cosine))
    return found + corner


def _touching(objects: Objects) -> Floats:
    labels, outer = objects.labels, objects.outline
    framed = np.pad(labels, 1).ravel()
    width = labels.shape[1]
    own = labels.ravel()[outer]
    place = outer + 2 * (outer // width) + width + 3
    meets = np.zeros(outer.size, dtype=np.bool_)
    for step in (-1, 1, -(width + 2), width + 2):
        beside = framed[place + step]
        meets |= (beside != own) & (beside > 0)
    touching = np.bincount(own[meets], minlength=objects.n + 1)[1:]
    return touching / np.maximum(np.bincount(own, minlength=objects.n + 1)[1:], 1)
