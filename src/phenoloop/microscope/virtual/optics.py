"""What lenses and lamp do to a picture: blur that grows with the distance from focus, and uneven light."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

DEFOCUS_SLOPE: Final = 0.35
"""Standard deviation of the blur per distance from focus: a cone of light of numerical aperture about 0.7."""
WIDEST_UM: Final = 40.0
"""Blur beyond this is no longer told apart (nothing can be seen), which bounds the cost of a picture."""
_FINE_PX: Final = 6.0


def blur_sigma_um(blur_um: float, defocus_um: float) -> float:
    """Return the standard deviation of the point spread at a distance from focus, micrometres."""
    return min(math.hypot(blur_um, DEFOCUS_SLOPE * defocus_um), max(WIDEST_UM, blur_um))


def blur_factor(sigma_px: float) -> int:
    """Return by how much a picture may be shrunk before a blur so wide, a power of two."""
    return 2 ** max(0, math.floor(math.log2(max(sigma_px, 1e-3) / _FINE_PX)) + 1) if sigma_px > _FINE_PX else 1


def blur(image: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Return a picture blurred by a Gaussian.

    Wide blurs are made on a shrunken copy, whose own blur (area average, linear enlargement) is taken off the kernel:
    a wide blur costs no more than a narrow one.

    Parameters
    ----------
    image : ndarray of float32, shape (y, x)
        Both sides multiples of `blur_factor`.
    sigma_px : float
        Standard deviation in pixels.
    """
    factor = blur_factor(sigma_px)
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32)
    height, width = image.shape
    small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    own = (factor**2 - 1) / 12 + factor**2 / 6
    rest = math.sqrt(sigma_px**2 - own) / factor
    small = cv2.GaussianBlur(small, (0, 0), rest, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def illumination(height: int, width: int, fall: float) -> NDArray[np.float32]:
    """Return the light on each pixel of the camera, 1 where it is brightest.

    Parameters
    ----------
    height, width : int
        Shape of a frame.
    fall : float
        Share of the light that is missing in the darkest corner. The brightest place lies a little off the middle, as
        on most microscopes.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y = (y - 0.46 * height) / height
    x = (x - 0.55 * width) / width
    squared = x**2 + y**2
    squared /= squared.max()
    return np.asarray(1 - fall * squared, np.float32)
