"""How sharp an image is: a score that noise cannot feign and brightness does not change."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane, as_plane, dog_noise_gain, gaussian, pixel_noise

AUTO_MIN_FOCUS: Final = 0.36
"""What ``focus: auto`` asks of a field: passes every real image measured, fails most of their defocused copies.

Measured (`benchmarks/focus.py`): lowest score of 150 DSB 2018 and 48 BBBC016 images of nuclei, as they are and
enlarged 2 and 3 times with interpolation, as an oversampling objective would; against copies blurred by a Gaussian of
3, 5 and 8 px with the noise of the original put back.
"""
_FINE: Final = 1.13
_COARSE: Final = 2.26
_WIDER: Final = 1.6


def focus_score(image: NDArray[Any], noise: float | None = None) -> float:
    """Return the sharpness of an image: fine over coarse detail, both freed from noise.

    The root of the ratio of the mean squares of two differences of Gaussians, at 1.13 and 2.26 px, after the variance
    that white noise of the measured level adds to each is taken off. An ideal edge scores about 0.5, whatever its
    contrast; blur lowers it, towards 0.25. The idea is the slope of the power spectrum, which separates defocus well
    (Bray et al. 2012, doi 10.1177/1087057111420292), and the correction for what spoils that slope: noise, which is
    flat and makes a blurred image look sharp.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Integers or floats, finite.
    noise : float, optional
        What `pixel_noise` says of it, where that is known already.

    Returns
    -------
    float
        About 0.25 to 1, dimensionless; NaN (unknown) where there is nothing but noise, or the image is under 16 px.

    Raises
    ------
    AnalysisError
        If the image is not one finite grey plane.
    """
    plane = as_plane(image)
    if min(plane.shape) < 16:
        return float("nan")
    variance = (pixel_noise(image) if noise is None else noise) ** 2
    fine, fine_noise = _energy(plane, _FINE, variance)
    coarse, coarse_noise = _energy(plane, _COARSE, variance)
    tolerance = 0.03  # the noise level is known to a few percent; what it leaves in doubt is not detail
    if coarse <= coarse_noise or fine + tolerance * fine_noise < 0 or tolerance * fine_noise > 0.1 * coarse:
        return float("nan")
    return float(np.sqrt(max(fine, 0.0) / coarse))


def _energy(plane: Plane, sigma: float, noise: float) -> tuple[float, float]:
    """Return the mean square of the detail at `sigma` without the noise's part, and that part."""
    detail = gaussian(plane, sigma) - gaussian(plane, _WIDER * sigma)
    part = noise * dog_noise_gain(sigma, _WIDER * sigma)
    return cv2.norm(detail, cv2.NORM_L2SQR) / detail.size - part, part
