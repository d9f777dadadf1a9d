"""What a network learns of an object: the normalised distance, 1 in its middle and 0 at its outline; the way in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane


def elliptic_distance(labels: NDArray[np.integer[Any]]) -> Plane:
    """Return ``1 - r`` in each object, where r is the distance to its centroid in units of its ellipse; 0 elsewhere.

    The ellipse is that of the second moments: r is half the Mahalanobis distance, so that r = 1 on the outline of a
    filled ellipse. Unlike the distance to the nearest edge it has exactly one peak per object, also an elongated one.

    Parameters
    ----------
    labels : ndarray of int, shape (y, x)
        0 is background.

    Returns
    -------
    ndarray of float32, shape (y, x)
        0..1.
    """
    pixels = np.flatnonzero(labels)
    distance = np.zeros(labels.size, dtype=np.float32)
    if pixels.size:
        distance[pixels] = distance_of(labels.ravel()[pixels], pixels, labels.shape[1])
    return distance.reshape(labels.shape)


def distance_of(owner: NDArray[np.integer[Any]], pixels: NDArray[np.intp], width: int) -> NDArray[np.float32]:
    """Return the normalised distance of some pixels, given the object and the flat index of each."""
    n = int(owner.max(initial=0)) + 1
    y, x = (side.astype(np.float64) for side in np.divmod(pixels, width))
    area = np.maximum(np.bincount(owner, minlength=n), 1)
    dy = y - (np.bincount(owner, weights=y, minlength=n) / area)[owner]
    dx = x - (np.bincount(owner, weights=x, minlength=n) / area)[owner]
    # a pixel is a square, which has a variance of 1/12 itself
    yy = np.bincount(owner, weights=dy * dy, minlength=n) / area + 1 / 12
    xx = np.bincount(owner, weights=dx * dx, minlength=n) / area + 1 / 12
    xy = np.bincount(owner, weights=dx * dy, minlength=n) / area
    scale = 1 / (yy * xx - xy * xy)
    square = (dy * dy * (xx * scale)[owner]) + (dx * dx * (yy * scale)[owner]) - 2 * dx * dy * (xy * scale)[owner]
    distance: NDArray[np.float32] = np.clip(1 - 0.5 * np.sqrt(np.maximum(square, 0)), 0, 1).astype(np.float32)
    return distance


def towards_middle(labels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return for each pixel of an object the step (y, x) to its centroid, of at most 1 px; 0 elsewhere.

    Parameters
    ----------
    labels : ndarray of int, shape (y, x)
        0 is background.

    Returns
    -------
    ndarray of float32, shape (2, y, x)
    """
    pixels = np.flatnonzero(labels)
    flows = np.zeros((2, labels.size), dtype=np.float32)
    if pixels.size:
        owner = labels.ravel()[pixels]
        area = np.maximum(np.bincount(owner), 1)
        y, x = (side.astype(np.float64) for side in np.divmod(pixels, labels.shape[1]))
        way = np.stack([(np.bincount(owner, weights=side) / area)[owner] - side for side in (y, x)])
        flows[:, pixels] = way / np.maximum(np.hypot(way[0], way[1]), 1)
    return flows.reshape(2, *labels.shape)
