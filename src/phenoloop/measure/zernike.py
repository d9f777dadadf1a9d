"""Zernike moments of each object: of its shape, and of the light in it."""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns
from phenoloop.model.object_features import ZERNIKE_ORDERS


def zernike_of_shape(objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.object_features.ZERNIKE_SHAPE`: (n + 1) / pi |sum of V*| / radius^2."""
    radius = _radius(objects)
    return _magnitudes(objects, np.ones(objects.groups.index.size), radius, radius**2)


def zernike_of_light(objects: Objects, image: NDArray[Any]) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.ZERNIKE_LIGHT`: (n + 1) / pi |sum light V*| / light."""
    values = objects.groups.take(image).astype(np.float64)
    total = objects.groups.sum(values)
    return _magnitudes(objects, values, _radius(objects), np.where(total != 0, total, np.nan))


def _radius(objects: Objects) -> NDArray[np.float64]:
    """Return the radius of the disk around each centroid that holds all of its pixels' centres; half a px at least."""
    return np.maximum(objects.groups.maximum(np.hypot(*objects.from_centre)), 0.5)


def _magnitudes(
    objects: Objects, weight: NDArray[np.float64], radius: NDArray[np.float64], scale: NDArray[np.float64]
) -> Columns:
    groups = objects.groups
    dy, dx = objects.from_centre
    unit = groups.spread(radius)
    rho2 = (dy * dy + dx * dx) / (unit * unit)
    turn = (dx + 1j * dy) / unit  # rho e^(i theta)
    powers = [np.ones(turn.size, dtype=np.complex128)]
    for _ in range(max(m for _, m in ZERNIKE_ORDERS)):
        powers.append(powers[-1] * turn)
    columns: Columns = {}
    for n, m in ZERNIKE_ORDERS:
        # R(rho) e^(i m theta) = turn^m times a polynomial of rho^2
        polynomial = np.zeros(rho2.size)
        for s in range((n - m) // 2 + 1):
            term = factorial(n - s) // (factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s))
            polynomial += (-1) ** s * term * rho2 ** ((n - m) // 2 - s)
        light = weight * polynomial
        real, imaginary = groups.sum(light * powers[m].real), groups.sum(light * powers[m].imag)
        columns[f"zernike_{n}_{m}"] = (n + 1) / np.pi * np.hypot(real, imaginary) / scale
    return columns
