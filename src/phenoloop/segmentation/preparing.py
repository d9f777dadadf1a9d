"""What a network is shown: an image in which objects have one size and the contrast one range, whatever the camera."""

from __future__ import annotations

from typing import Final

import numpy as np

from phenoloop.numerics.images import Plane, noise_sd, resize, thin

DARKEST: Final = 1.0
BRIGHTEST: Final = 99.7
"""Percentiles that become 0 and 1."""
_ENOUGH: Final = 60_000
"""Pixels that percentiles are taken from."""
_SPECK: Final = 8
"""Where objects cover less than the brightest percentile, the brightest square of this many px a side is 1 instead."""
_IN_NOISE: Final = 12.0
"""Contrast is not stretched beyond this many standard deviations of the noise: noise alone stays flat."""
_GROW: Final = 2.5
"""Small objects are not enlarged more than this."""


def normalised(plane: Plane) -> Plane:
    """Return the square root of an image scaled to about 0..1: dim objects have their say, shot noise is even.

    Invariant to scale and offset of the pixel values. Where fewer than 0.3 % of the pixels belong to objects, the
    brightest small square is 1 instead of the upper percentile; an image that is constant becomes 0.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        The image at the camera's resolution, finite.

    Returns
    -------
    ndarray of float32, shape (y, x)
        0..2.
    """
    values = thin(plane, _ENOUGH)
    low, middle, high = (float(v) for v in np.percentile(values, (DARKEST, 50.0, BRIGHTEST)))
    noise = noise_sd(plane)
    if high - middle < 0.7 * _IN_NOISE * noise:
        coarse = resize(plane, (max(1, plane.shape[0] // _SPECK), max(1, plane.shape[1] // _SPECK)))
        high = max(high, float(coarse.max()))
    high = max(high, low + _IN_NOISE * noise)
    if not high > low:
        low, high = float(plane.min()), float(plane.max())
    if not high > low:
        return np.zeros_like(plane)
    scaled: Plane = plane - np.float32(low)
    scaled *= np.float32(1 / (high - low))
    return np.sqrt(np.clip(scaled, 0, 4, out=scaled), out=scaled)


def zoom_to(diameter: float, smallest: float, largest: float) -> float:
    """Return by how much to enlarge an image so that its objects, `diameter` px wide, measure what the network knows.

    Objects between `smallest` and `largest` px are left as they are: enlarging costs time, shrinking costs outlines.
    """
    return min(max(smallest / diameter, 1.0), _GROW) if diameter < largest else largest / diameter


def zoomed(plane: Plane, zoom: float) -> Plane:
    """Return `plane` enlarged by `zoom`, at least 1 px a side."""
    return resize(plane, (max(1, round(plane.shape[0] * zoom)), max(1, round(plane.shape[1] * zoom))))
