"""Touching objects: one watershed from every peak, then neighbours that show no neck and no valley are joined again."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane, disk, gaussian

Int = NDArray[np.integer[Any]]


def split(foreground: NDArray[np.uint8], signal: Plane, diameter: float, *, join: float) -> NDArray[np.int32]:
    """Divide the foreground into objects.

    Flooding starts at every local peak of depth (distance to the background) and relative brightness together, which is
    too many; pairs that touch are then joined, the surest first, while

        (depth of the neck / depth of the shallower) * (brightness of the border / mean of the dimmer)^3 >= `join`

    so an elongated or textured nucleus stays whole, and two that touch are cut where shape or light says so.

    Parameters
    ----------
    foreground : ndarray of uint8, shape (y, x)
        1 where there is an object.
    signal : ndarray of float32, shape (y, x)
        Background-corrected image, not negative.
    diameter : float
        Typical size of an object, px.
    join : float
        0 joins whatever touches, above 1 hardly anything.

    Returns
    -------
    ndarray of int32, shape (y, x)
        Dense from 1.
    """
    from skimage.segmentation import watershed  # half a second to import

    framed = cv2.copyMakeBorder(foreground, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # the image's border is no outline
    inside: Plane = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1].astype(np.float32)
    depth: Plane = np.minimum(inside, np.float32(0.52 * diameter))
    local_top = cv2.dilate(signal, disk(0.55 * diameter))
    brightness = (signal / np.maximum(local_top, np.finfo(np.float32).tiny)).astype(np.float32)
    landscape = gaussian(1.2 * depth / diameter + 0.4 * brightness, max(0.3, 0.097 * diameter))
    peaks = (landscape >= cv2.dilate(landscape, disk(0.243 * diameter))) & (foreground > 0)
    _, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    basins: NDArray[np.int32] = watershed(-landscape, seeds, mask=foreground > 0).astype(np.int32)  # type: ignore[no-untyped-call]
    return _join(basins, depth, signal, diameter, join)


def _join(labels: NDArray[np.int32], depth: Plane, signal: Plane, diameter: float, join: float) -> NDArray[np.int32]:
    n = int(labels.max(initial=0)) + 1
    first, second, neck, light = _borders(labels, depth, signal)
    pixels = np.flatnonzero(labels)
    flat = labels.ravel()[pixels].astype(np.intp)
    area = np.bincount(flat, minlength=n).astype(np.float64)
    mean = np.bincount(flat, weights=signal.ravel()[pixels], minlength=n) / np.maximum(area, 1)
    deepest = np.zeros(n, dtype=np.float32)
    np.maximum.at(deepest, flat, depth.ravel()[pixels])
    pair, where = np.unique(first * n + second, return_inverse=True)
    a, b = pair // n, pair % n
    pair_neck = np.zeros(pair.size, dtype=np.float32)
    np.maximum.at(pair_neck, where, neck)
    pair_light = np.bincount(where, weights=light, minlength=pair.size) / np.maximum(np.bincount(where), 1)
    necking = pair_neck / np.maximum(np.minimum(deepest[a], deepest[b]), 1e-6)
    valley = np.minimum(pair_light / np.maximum(np.minimum(mean[a], mean[b]), 1e-12), 1.1)
    likeness = necking * valley**3
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    largest = 6 * diameter**2
    for k in np.argsort(-likeness, kind="stable"):  # over touching pairs, some hundreds at most
        if likeness[k] < join:
            break
        one, other = root(int(a[k])), root(int(b[k]))
        if one != other and area[one] + area[other] <= largest:
            parent[other] = one
            area[one] += area[other]
    roots = np.array([root(i) for i in range(n)])
    dense = np.unique(roots, return_inverse=True)[1].astype(np.int32)
    return dense[labels]


def _borders(labels: Int, depth: Plane, signal: Plane) -> tuple[Int, Int, Plane, Plane]:
    """Return, for each pair of neighbouring pixels of two objects: both labels, the lower depth, the lower signal."""
    parts = []
    for near, far in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        one, other = labels[near], labels[far]
        at = (one != other) & (one > 0) & (other > 0)
        parts.append(
            (
                np.minimum(one[at], other[at]).astype(np.int64),
                np.maximum(one[at], other[at]).astype(np.int64),
                np.minimum(depth[near][at], depth[far][at]),
                np.minimum(signal[near][at], signal[far][at]),
            )
        )
    across, down = parts
    first, second, neck, light = (np.concatenate(pair) for pair in zip(across, down, strict=True))
    return first, second, neck, light


def fill_holes(labels: NDArray[np.int32], largest: float) -> NDArray[np.int32]:
    """Return `labels` with the holes of up to `largest` px filled that lie inside one object only."""
    empty = (labels == 0).astype(np.uint8)
    _, part, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    x, y, width, height, area = (stats[:, k] for k in range(5))
    inside = (x > 0) & (y > 0) & (x + width < labels.shape[1]) & (y + height < labels.shape[0]) & (area <= largest)
    inside[0] = False
    if not inside.any():
        return labels
    pixels = np.flatnonzero(inside[part.ravel()])
    hole = part.ravel()[pixels]
    flat, step = labels.ravel(), labels.shape[1]
    most = np.zeros(inside.size, dtype=np.int64)
    least = np.full(inside.size, np.iinfo(np.int64).max)
    for offset in (-1, 1, -step, step):
        beside = flat[pixels + offset].astype(np.int64)
        np.maximum.at(most, hole, beside)
        np.minimum.at(least, hole[beside > 0], beside[beside > 0])
    value = np.where(most == least, most, 0)
    filled = flat.copy()
    filled[pixels] = value[hole]
    return filled.reshape(labels.shape)


def largest_pieces(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return `labels` with only the largest connected piece (edges, not corners) of each object."""
    from skimage.measure import label

    pieces: NDArray[np.int64]
    pieces, count = label(labels, background=0, connectivity=1, return_num=True)  # type: ignore[no-untyped-call]
    flat = pieces.ravel()
    area = np.bincount(flat, minlength=count + 1)
    owner = np.zeros(count + 1, dtype=np.int64)
    owner[flat] = labels.ravel()
    order = np.lexsort((np.arange(count + 1), -area, owner))  # by object, largest first, ties to the first met
    first = np.ones(count + 1, dtype=np.bool_)
    first[1:] = owner[order][1:] != owner[order][:-1]
    keep = np.zeros(count + 1, dtype=np.int32)
    chosen = order[first]
    keep[chosen] = owner[chosen]
    keep[0] = 0
    whole: NDArray[np.int32] = keep[pieces]
    return whole
