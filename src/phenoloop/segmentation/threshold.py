"""The segmenter that needs no weights: bright blobs on a darker background, whatever the camera, size and shading."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.numerics.blobs import typical_diameter
from phenoloop.numerics.images import Plane, as_plane, disk, gaussian, noise_sd, otsu, resize, thin
from phenoloop.ports import Segmentation
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Pixels
from phenoloop.segmentation.splitting import fill_holes, largest_pieces, split

_WORKING_DIAMETER: Final = 17.0
"""Larger objects are found on a smaller copy of the image, in which they measure this; their outlines are not."""
_OUTLINE: Final = 0.43
"""Where an object ends: this share of its own brightness above the background. Half would be the edge of a blurred
step; annotators draw a little wider."""


class Threshold:
    """Smooth, subtract the background, threshold, split what touches, and draw each outline at its own half height.

    Invariant to the scale and offset of the pixel values, so 8-bit, 16-bit and contrast-stretched images do the same.
    On the 150 annotated images of DSB 2018: pooled F1 0.878 at an overlap of 0.5 (`benchmarks/segmentation.py`); the
    constants here and in `splitting` were tuned on every second of them, and the others score 0.875.

    Parameters
    ----------
    params : Threshold.Params
        Validated parameters.
    """

    class Params(StrictModel):
        """Parameters of the protocol.

        Attributes
        ----------
        diameter : float or None
            Typical diameter in px; None estimates it from each image.
        sensitivity : float
            0..1. Higher finds dimmer objects.
        min_area : float or None
            Smallest object in px; None is 7.5 % of a disk of the typical diameter.
        """

        diameter: Pixels | None = Field(
            default=None, ge=3, description="typical diameter; estimated from the image unless set"
        )
        sensitivity: float = Field(default=0.5, ge=0, le=1, description="0..1; higher finds dimmer objects")
        min_area: float | None = Field(default=None, ge=1, description="smallest object, in pixels")

    def __init__(self, params: Params) -> None:
        self.params = params

    def segment(self, image: NDArray[Any]) -> Segmentation:
        """Find the objects of one image.

        Parameters
        ----------
        image : ndarray, shape (y, x)
            Unsigned integers or floats, finite.

        Returns
        -------
        Segmentation
            Scores are the contrast of each outline: 1 where the object stands alone on an empty background, towards 0
            where it hardly rises above what surrounds it. They order objects by trust (right against wrong objects of
            DSB 2018: AUROC 0.75); they are no probabilities.

        Raises
        ------
        AnalysisError
            If the image is not one finite grey plane.
        """
        plane = as_plane(image)
        low, high = float(plane.min()), float(plane.max())
        nothing = Segmentation(labels=np.zeros(plane.shape, dtype=np.int32), scores=np.zeros(0))
        if not high > low or min(plane.shape) < 4:
            return nothing
        plane = (plane - low) / (high - low)
        diameter = self.params.diameter or typical_diameter(np.sqrt(plane))
        if diameter is None:
            return nothing
        zoom = max(1.0, diameter / _WORKING_DIAMETER)
        shape = (max(1, round(plane.shape[0] / zoom)), max(1, round(plane.shape[1] / zoom)))
        size = diameter / zoom
        small = gaussian(resize(plane, shape), 0.4)
        background = _background(small, size)
        signal = np.maximum(small - background, 0)
        dimmest = self._dimmest(plane, signal, size, zoom)
        foreground = (signal > dimmest) & (signal > 0.73 * _surrounding(signal, size))
        opened = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_OPEN, disk(1))
        solid = fill_holes(opened.astype(np.int32), 0.24 * size**2).astype(np.uint8)
        labels = split(solid, signal, size, join=0.877)
        top = _tops(labels, signal)
        if zoom > 1:
            labels, signal = _enlarge(labels, plane, background)
        labels = np.where(signal >= (_OUTLINE * top)[labels], labels, 0).astype(np.int32)
        labels = largest_pieces(fill_holes(labels, 0.24 * diameter**2))
        keep = self._worth_keeping(labels, top, diameter, dimmest)
        labels = np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]
        return Segmentation(labels=labels, scores=_contrast(labels, plane, diameter))

    def _dimmest(self, plane: Plane, signal: Plane, size: float, zoom: float) -> float:
        """Return the lowest signal that can be an object: by the histogram, and never within the noise."""
        by_histogram = (1.44 - self.params.sensitivity) * otsu(np.sqrt(signal)) ** 2
        # of white noise, a mean over zoom^2 px and a Gaussian of 0.4 px leave this; 6 of them, since the background is
        # an opening and lies some two below the true level
        return float(max(by_histogram, 6 * noise_sd(plane) / zoom))

    def _worth_keeping(
        self, labels: NDArray[np.int32], top: NDArray[np.float32], diameter: float, dimmest: float
    ) -> NDArray[np.bool_]:
        area = np.bincount(labels.ravel(), minlength=top.size)
        least = self.params.min_area or 0.075 * np.pi / 4 * diameter**2
        light = top * area
        light[0] = 0
        order = np.argsort(top, kind="stable")
        total = np.cumsum(light[order])
        typical = top[order][min(int(np.searchsorted(total, total[-1] / 2)), top.size - 1)]
        keep = (area >= least) & (top >= np.float32(max(dimmest, 0.7 * (1 - self.params.sensitivity) * typical)))
        keep[0] = False
        return np.asarray(keep, dtype=np.bool_)


def _background(small: Plane, size: float) -> Plane:
    """Return the level beneath the objects: an opening wider than any of them, smoothed, on a coarse grid."""
    coarse = max(1, int(size // 4))
    shape = (max(1, small.shape[0] // coarse), max(1, small.shape[1] // coarse))
    grid = resize(small, shape)
    opened = cv2.morphologyEx(grid, cv2.MORPH_OPEN, disk(1.1 * size / coarse), borderType=cv2.BORDER_REFLECT_101)
    return resize(
        gaussian(np.asarray(opened, dtype=np.float32), 0.73 * size / coarse), (small.shape[0], small.shape[1])
    )


def _surrounding(signal: Plane, size: float) -> Plane:
    """Return the mean signal of the neighbourhood, some objects wide."""
    coarse = max(1, int(size // 4))
    grid = resize(signal, (max(1, signal.shape[0] // coarse), max(1, signal.shape[1] // coarse)))
    return resize(gaussian(grid, 1.6 * size / coarse), (signal.shape[0], signal.shape[1]))


def _tops(labels: NDArray[np.int32], signal: Plane) -> NDArray[np.float32]:
    """Return the brightness of each object, background first: the mean of its pixels above its mean."""
    n = int(labels.max(initial=0)) + 1
    pixels = np.flatnonzero(labels)
    flat, values = labels.ravel()[pixels], signal.ravel()[pixels]
    mean = np.bincount(flat, weights=values, minlength=n) / np.maximum(np.bincount(flat, minlength=n), 1)
    upper = values >= mean.astype(np.float32)[flat]
    count = np.bincount(flat[upper], minlength=n)
    top = np.bincount(flat[upper], weights=values[upper], minlength=n) / np.maximum(count, 1)
    top[0] = 0
    return top.astype(np.float32)


def _enlarge(labels: NDArray[np.int32], plane: Plane, background: Plane) -> tuple[NDArray[np.int32], Plane]:
    """Bring labels back to the full image, a little too wide, and the signal in which their outlines are drawn."""
    wider = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8))
    grown = np.where(labels > 0, labels, wider).astype(np.float32)
    shape = (plane.shape[1], plane.shape[0])
    full = cv2.resize(grown, shape, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    signal = gaussian(plane, 1.0) - resize(background, (plane.shape[0], plane.shape[1]))
    return full, np.maximum(signal, 0)


def _contrast(labels: NDArray[np.int32], plane: Plane, diameter: float) -> NDArray[np.float64]:
    """Return per object 1 - (level just outside its outline / its mean), both above the darkest tenth of the image."""
    n = int(labels.max(initial=0))
    if n == 0:
        return np.zeros(0)
    reach = cv2.dilate(labels.astype(np.float32), disk(max(1.0, 0.1 * diameter))).ravel()
    flat, values = labels.ravel(), plane.ravel()
    covered = np.flatnonzero(reach)
    owner, value = reach[covered].astype(np.intp), values[covered]
    # one count for both: objects at 0..n, their rims at n + 1 .. 2 n + 1
    owner += np.where(flat[covered] == 0, n + 1, 0)
    count = np.bincount(owner, minlength=2 * n + 2)
    mean = np.bincount(owner, weights=value, minlength=2 * n + 2) / np.maximum(count, 1)
    inside = mean[: n + 1]
    outside = np.where(count[n + 1 :] > 0, mean[n + 1 :], inside)
    floor = float(np.quantile(thin(values, 10_000), 0.1))
    score = 1 - (outside - floor) / np.maximum(inside - floor, 1e-12)
    return np.clip(score[1:], 0, 1)
