"""What counts as an image, and the few filters all else is built from: Gaussian, noise level, threshold, quantile."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError

Plane = NDArray[np.float32]
"""A checked image: 2-D, float32, finite."""


def as_plane(image: NDArray[Any], name: str = "image") -> Plane:
    """Check an image and return it as float32, so that every method sees the same thing whatever the camera gave.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Integers or floats; finite.
    name : str
        What to call it in a message, for example the channel.

    Raises
    ------
    AnalysisError
        If it is not 2-D (a colour image, say), empty, not a number type, or holds NaN or infinite pixels.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        raise AnalysisError(
            f"{name}: a colour image of shape {array.shape}; one grey plane (y, x) is needed. "
            "Save the channels as separate grey images, or pick one of them."
        )
    if array.ndim != 2:
        raise AnalysisError(f"{name}: an array of shape {array.shape}; one plane (y, x) is needed.")
    if array.size == 0:
        raise AnalysisError(f"{name}: empty, its shape is {array.shape}.")
    if array.dtype.kind not in "uif":
        raise AnalysisError(f"{name}: pixels of type {array.dtype}; integers or floats are needed.")
    plane = np.ascontiguousarray(array, dtype=np.float32)
    if array.dtype.kind == "f" and not np.isfinite(plane).all():
        bad = int(plane.size - np.count_nonzero(np.isfinite(plane)))
        raise AnalysisError(
            f"{name}: {bad} of {plane.size} pixels are NaN or infinite; replace them before the analysis."
        )
    return plane


def gaussian(plane: Plane, sigma: float) -> Plane:
    """Return a Gaussian blur of `plane`; `sigma` in px, mirrored at the border, unchanged below 0.2 px."""
    if sigma < 0.2:
        return plane
    size = 2 * math.ceil(3 * sigma) + 1  # left to itself, OpenCV takes 4 sigma a side for floats
    blurred = cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, dtype=np.float32)


def resize(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Return `plane` at another shape ``(y, x)``: area means when it shrinks, linear when it grows."""
    if plane.shape == shape:
        return plane
    method = cv2.INTER_AREA if shape[0] <= plane.shape[0] and shape[1] <= plane.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=method), dtype=np.float32)


def disk(radius: float) -> NDArray[np.uint8]:
    """Return a round structuring element; radius in px, at least 1."""
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)


@cache
def dog_noise_gain(narrow: float, wide: float) -> float:
    """Return what a difference of Gaussians (sigmas in px) makes of the variance of white noise: times this.

    The squared norm of the kernel; for continuous Gaussians of widths a < b it is
    ``(1 / a^2 + 1 / b^2 - 4 / (a^2 + b^2)) / 4 pi``. Computed on the pixel grid, where narrow kernels differ from it.
    """
    half = math.ceil(5 * wide)
    impulse = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    impulse[half, half] = 1
    kernel = (gaussian(impulse, narrow) - gaussian(impulse, wide)).astype(np.float64)
    return float((kernel**2).sum())


def noise_sd(plane: Plane) -> float:
    """Return the standard deviation of the pixel noise, in counts.

    Laplacian residuals, which are blind to edges and ramps (Immerkaer 1996, doi 10.1006/cviu.1996.0060), with the
    median instead of the mean, so that textured objects do not count as noise. 0 for planes under 3 x 3 px.
    """
    if min(plane.shape) < 3:
        return 0.0
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    residual = cv2.filter2D(plane, cv2.CV_32F, mask)[1:-1, 1:-1]
    return float(np.median(np.abs(thin(residual)))) / 0.6745 / 6


def pixel_noise(image: NDArray[Any]) -> float:
    """Return `noise_sd` of an image, and at least what rounding to whole counts does, which the median may not see."""
    noise = noise_sd(as_plane(image))
    return max(noise, 12**-0.5) if np.asarray(image).dtype.kind in "ui" else noise


def thin(values: NDArray[Any], enough: int = 50_000) -> NDArray[Any]:
    """Return about `enough` evenly spread values, flat, for statistics that need no more (always the same ones)."""
    step = values.size // enough
    if step <= 1:
        return values.ravel()
    # odd, so that a chequer pattern (interlaced read-out) is not seen from one side only
    return values.ravel()[:: step | 1]


def robust_location_scale(values: NDArray[Any]) -> tuple[float, float]:
    """Return median and 1.4826 times the median absolute deviation; (0, 0) of nothing."""
    if values.size == 0:
        return 0.0, 0.0
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


def otsu(values: NDArray[Any], bins: int = 256) -> float:
    """Return Otsu's threshold (1979, doi 10.1109/TSMC.1979.4310076): the upper edge of the bin that splits best."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return high
    index = ((values.ravel() - low) * (bins / (high - low))).astype(np.int32)
    counts = np.bincount(np.minimum(index, bins - 1), minlength=bins).astype(np.float64)
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * np.arange(bins))
    between = (moment[-1] * weight - moment * weight[-1]) ** 2 / np.maximum(weight * (weight[-1] - weight), 1)
    return low + (int(np.argmax(between)) + 1) * (high - low) / bins


def percentile(image: NDArray[Any], q: float) -> float:
    """Return the `q`-th percentile, linear between ranks as in numpy; 8- and 16-bit images by histogram, much faster.

    Parameters
    ----------
    image : ndarray
        Any shape, not empty.
    q : float
        0..100.
    """
    if image.dtype not in (np.uint8, np.uint16):
        return float(np.percentile(image, q))
    if image.size <= 2**24:  # OpenCV counts in float32, exact up to here, several times faster
        most = int(image.max()) + 1  # not of the dtype: a camera of 12 bits fills a sixteenth of 65,536 bins
        counts = cv2.calcHist([np.ascontiguousarray(image)], [0], None, [most], [0, most]).ravel()
        total = np.cumsum(counts.astype(np.int64))
    else:
        total = np.cumsum(np.bincount(image.ravel()))
    rank = (image.size - 1) * q / 100
    below = math.floor(rank)
    low = int(np.searchsorted(total, below, side="right"))
    high = int(np.searchsorted(total, min(below + 1, image.size - 1), side="right"))
    return low + (high - low) * (rank - below)
