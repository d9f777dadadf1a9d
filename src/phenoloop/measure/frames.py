"""What a frame and its labels show of the frame's own quality: light, noise, outlines, evenness; never a readout."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.objects import Objects
from phenoloop.numerics.images import Plane, as_plane, gaussian, pixel_noise, resize, thin

Numbers = dict[str, float]

_ENOUGH: Final = 20_000
"""Pixels that a median is taken from."""
_BLOCKS: Final = 8
"""Blocks along the shorter side of a frame."""
_FREE: Final = 0.15
"""Share of a block that must be free of objects to say something of the background."""


def frame_numbers(
    image: NDArray[Any],
    objects: Objects | None,
    confidence: NDArray[np.float64] | None,
    noise: float | None = None,
) -> Numbers:
    """Return the numbers of `phenoloop.model.quality.METRICS` that the frame's pixels, labels and scores give.

    ==================  ==============================================================================================
    ``plateau``         share of pixels at the frame's own maximum: a camera that fills up below its largest number
    ``range``           (99.5 % quantile - median) / noise, without any labels
    ``contrast``        (median of the objects' means - background) / noise
    ``uneven``          standard deviation of the background over 8 x 8 blocks / contrast in counts
    ``unexplained``     bright pixels (above half the contrast) outside of objects / pixels of objects
    ``sharpness``       median over objects of the mean slope along the outline / the object's own contrast, 1/px
    ``sharpness_low``   the same, 20 % quantile: a part of the frame may be out of focus
    ``edge``            as ``sharpness``, times the object's diameter: how well an outline can be drawn at all
    ``roughness``       median over objects of squared outline pixels / area: 4 pi or less for smooth ones
    ``size``            median of the objects' diameters of equal area, px
    ``spread``          1.4826 median absolute deviation of log2 of the objects' areas
    ``confidence``      mean of the segmenter's scores
    ==================  ==============================================================================================

    Parameters
    ----------
    image : ndarray, shape (y, x)
        The frame that was segmented; integers or floats, finite.
    objects : Objects or None
        Its objects; without any, only ``plateau`` and ``range`` exist.
    confidence : ndarray of float, shape (n,), or None
        Score of each object.
    noise : float, optional
        What `phenoloop.numerics.images.pixel_noise` says of the frame, where that is known already.

    Returns
    -------
    dict of str to float
        NaN is unknown.
    """
    plane = as_plane(image)
    noise = max(pixel_noise(image) if noise is None else noise, float(np.finfo(np.float32).tiny))
    middle, high = np.percentile(thin(plane, _ENOUGH), (50, 99.5))
    found = {
        "plateau": float(np.count_nonzero(plane == plane.max())) / plane.size,
        "range": float(high - middle) / noise,
    }
    if objects is None or objects.n == 0 or min(plane.shape) < 3:
        return found
    labels, groups = objects.labels, objects.groups
    free = labels == 0
    outside = thin(plane.ravel()[free.ravel()], _ENOUGH)
    if outside.size == 0:
        return found
    background = float(np.median(outside))
    own = groups.mean(groups.take(plane)) - background
    contrast = float(np.median(own))
    least = max(contrast, noise)
    smooth = gaussian(plane, 1.0)
    bright = np.count_nonzero((smooth > background + least / 2) & free)
    diameter = np.sqrt(4 / np.pi * groups.count)
    area = np.log2(groups.count)
    found |= {
        "contrast": max(contrast, 0.0) / noise,
        "uneven": _uneven(plane, free, least),
        "unexplained": bright / groups.index.size,
        "size": float(np.median(diameter)),
        "spread": 1.4826 * float(np.median(np.abs(area - np.median(area)))),
    }
    found |= _outlines(smooth, objects, np.maximum(own, noise), diameter)
    if confidence is not None and confidence.size:
        found["confidence"] = float(np.mean(confidence))
    return found


def _outlines(smooth: Plane, objects: Objects, own: NDArray[Any], diameter: NDArray[Any]) -> Numbers:
    """Return what the slopes along the outlines, where objects meet the background, and their lengths say."""
    height, width = smooth.shape
    index, flat, labels = objects.outline, smooth.ravel(), objects.labels.ravel()
    y, x = np.divmod(index, width)
    inner = index[(y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)]
    beside = (inner - 1, inner + 1, inner - width, inner + width)
    at_background = np.zeros(inner.size, dtype=np.bool_)
    for neighbour in beside:
        at_background |= labels[neighbour] == 0
    left, right, above, below = (flat[neighbour[at_background]] for neighbour in beside)
    steep = np.hypot(right - left, below - above) / 2
    owner = labels[inner[at_background]].astype(np.intp) - 1
    count = np.bincount(owner, minlength=objects.n)
    seen = count > 0
    length = np.bincount(labels[index].astype(np.intp) - 1, minlength=objects.n)
    rough = {"roughness": float(np.median(length * length / objects.groups.count))}
    if not seen.any():
        return rough
    slope = np.bincount(owner, weights=steep, minlength=objects.n)[seen] / (count * own)[seen]
    middle, low = np.quantile(slope, (0.5, 0.2))
    return rough | {
        "sharpness": float(middle),
        "sharpness_low": float(low),
        "edge": float(np.median(slope * diameter[seen])),
    }


def _uneven(plane: Plane, free: NDArray[np.bool_], contrast: float) -> float:
    height, width = plane.shape
    side = max(1, min(height, width) // _BLOCKS)
    shape = (max(1, height // side), max(1, width // side))
    weight = free.astype(np.float32)
    light = resize(plane * weight, shape)
    share = resize(weight, shape)
    enough = share >= _FREE
    if np.count_nonzero(enough) < 2:
        return float("nan")
    return float(np.std(light[enough] / share[enough])) / contrast
