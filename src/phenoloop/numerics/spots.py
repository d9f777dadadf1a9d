"""Where the bright puncta of an image are, how large and how high, from the image alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import (
    Plane,
    as_plane,
    disk,
    dog_noise_gain,
    gaussian,
    robust_location_scale,
    thin,
)

_WIDTHS: Final = (0.595, 0.841, 1.189, 1.682)
"""Gaussians in units of the matched width: three differences, centred on 0.7, 1 and 1.4 times the wanted diameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """The spots of one image, in raster order.

    Attributes
    ----------
    y, x : ndarray of int64, shape (n,)
        Pixel of the peak.
    contrast : ndarray of float64, shape (n,)
        Height of the filtered peak in robust standard deviations.
    area : ndarray of int64, shape (n,)
        Pixels above half the peak's height.
    intensity : ndarray of float64, shape (n,)
        Height of the peak above the local background, counts.
    light : ndarray of float64, shape (n,)
        Sum of the heights above the local background over those pixels, counts.
    labels : ndarray of int32, shape (y, x)
        Spot ``i`` has the value ``i + 1`` where it is above half its height.
    """

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    contrast: NDArray[np.float64]
    area: NDArray[np.int64]
    intensity: NDArray[np.float64]
    light: NDArray[np.float64]
    labels: NDArray[np.int32]


def find_spots(
    image: NDArray[Any], *, diameter: float = 4.0, threshold: float = 8.0, where: NDArray[np.bool_] | None = None
) -> Spots:
    """Find bright puncta.

    Differences of Gaussians at three scales around `diameter`, each in robust standard deviations (1.4826 MAD) of its
    own values where the cells are; a spot is a local maximum of the highest of the three above `threshold`, not on the
    outermost row or column. Contrast within the image is all that counts, so an image that was stretched on its own
    keeps its spots.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Integers or floats, finite.
    diameter : float
        Typical diameter, px; spots from about 0.6 to 1.6 times this are found.
    threshold : float
        Contrast a spot must have. Pure noise has no maxima above 6 in a megapixel, textured cytoplasm some.
    where : ndarray of bool, shape (y, x), optional
        Where spots may be, and where the noise is measured: near the objects. Empty glass is quieter than cells, so a
        sparse field measured as a whole would seem to have more spots per cell than a dense one. Everywhere if None.

    Returns
    -------
    Spots

    Raises
    ------
    AnalysisError
        If the image is not one finite grey plane.
    """
    plane = as_plane(image)
    contrast, smooth = _contrast(plane, np.asarray(image).dtype.kind in "ui", diameter, where)
    peaks = (contrast > threshold) & (contrast >= cv2.dilate(contrast, np.ones((3, 3), np.uint8)))
    if where is not None:
        peaks &= where
    # mirrored at the border, a slope turns into a ridge; and a spot cut in half has neither height nor area
    peaks[[0, -1], :] = False
    peaks[:, [0, -1]] = False
    ys, xs = _one_per_plateau(peaks)
    if not ys.size:
        none, no_counts = np.zeros(0), np.zeros(0, dtype=np.int64)
        blank = np.zeros(plane.shape, dtype=np.int32)
        return Spots(y=ys, x=xs, contrast=none, area=no_counts, intensity=none, light=none, labels=blank)
    height = smooth - _background(smooth, diameter)
    labels = _half_height(height, ys, xs, diameter)
    drawn = np.flatnonzero(labels > 0)
    spot = labels.ravel()[drawn]
    return Spots(
        y=ys,
        x=xs,
        contrast=contrast[ys, xs].astype(np.float64),
        area=np.bincount(spot, minlength=ys.size + 1)[1:],
        intensity=height[ys, xs].astype(np.float64),
        light=np.bincount(spot, weights=height.ravel()[drawn], minlength=ys.size + 1)[1:].astype(np.float64),
        labels=labels,
    )


def _contrast(
    plane: Plane, whole_counts: bool, diameter: float, where: NDArray[np.bool_] | None
) -> tuple[Plane, Plane]:
    """Return the highest answer over the scales in robust standard deviations, and the least smoothed image."""
    matched = diameter / (2 * np.sqrt(2))  # the Laplacian of this width answers strongest to a disk of the diameter
    sigmas = [float(width * matched) for width in _WIDTHS]
    smooth = [gaussian(plane, sigma) for sigma in sigmas]
    # what rounding makes of a constant image, or the precision of float32: below that there is no contrast
    floor = 1 / 12 if whole_counts else (1e-6 * float(np.abs(plane).max(initial=0))) ** 2
    # 1 % of the scale is 0.08 of the usual threshold; more would cost more than the filters
    sample = thin(np.arange(plane.size) if where is None else np.flatnonzero(where), 20_000)
    best = np.full(plane.shape, -np.inf, dtype=np.float32)
    for (narrow, wide), (one, other) in zip(pairwise(sigmas), pairwise(smooth), strict=True):
        answer = one - other
        middle, spread = robust_location_scale(answer.ravel()[sample])
        least = float(np.sqrt(floor * dog_noise_gain(narrow, wide)))
        scaled = ((answer - np.float32(middle)) / np.float32(max(spread, least, 1e-30))).astype(np.float32)
        np.maximum(best, scaled, out=best)
    return best, smooth[0]


def _one_per_plateau(peaks: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first pixel of each connected group of peak pixels, in raster order."""
    count, part = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    at = np.flatnonzero(peaks)
    first = np.unique(part.ravel()[at], return_index=True)[1] if count > 1 else np.zeros(0, dtype=np.int64)
    ys, xs = np.divmod(np.sort(at[first]), peaks.shape[1])
    return ys.astype(np.int64), xs.astype(np.int64)


def _background(smooth: Plane, diameter: float) -> Plane:
    """Return the level under the spots: an opening half as wide again as the largest of them, smoothed."""
    opened = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disk(1.2 * diameter), borderType=cv2.BORDER_REFLECT_101)
    return gaussian(np.asarray(opened, dtype=np.float32), 0.6 * diameter)


def _half_height(height: Plane, ys: NDArray[np.int64], xs: NDArray[np.int64], diameter: float) -> NDArray[np.int32]:
    """Give each pixel to its nearest peak, if it is above half of that peak's height and within 1.5 diameters."""
    away = np.ones(height.shape, dtype=np.uint8)
    away[ys, xs] = 0
    distance, nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    spot_of = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    spot_of[nearest[ys, xs]] = np.arange(1, ys.size + 1, dtype=np.int32)
    near = np.flatnonzero(distance <= 1.5 * diameter)
    owner = spot_of[nearest.ravel()[near]]
    half = np.concatenate(([np.inf], 0.5 * height[ys, xs])).astype(np.float32)
    high = height.ravel()[near] >= half[owner]
    labels = np.zeros(height.shape, dtype=np.int32)
    labels.ravel()[near[high]] = owner[high]
    return labels
