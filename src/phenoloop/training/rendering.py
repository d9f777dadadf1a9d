"""Rendered nuclei with their true labels: what annotated images lack in focus, noise, crowding and shading."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane, gaussian, resize

_SUBSTEPS = 96
"""Corners of an outline."""


def render(rng: np.random.Generator, side: int, diameter: float) -> tuple[Plane, NDArray[np.int32]]:
    """Return a picture of nuclei and its labels.

    Ellipses with wavy outlines, in clusters that touch and overlap a little, each of its own brightness and texture; on
    an uneven background with out-of-focus haze, blurred, with shot and read noise. Every fifth has no object at all.

    Parameters
    ----------
    rng : Generator
        Decides everything.
    side : int
        Height and width, px.
    diameter : float
        Typical diameter of a nucleus, px.

    Returns
    -------
    image : ndarray of float32, shape (side, side)
        Counts, not negative.
    labels : ndarray of int32, shape (side, side)
        Dense from 1.
    """
    labels = np.zeros((side, side), dtype=np.int32)
    light = np.zeros((side, side), dtype=np.float32)
    if rng.random() > 0.2:
        _nuclei(rng, labels, light, diameter)
    light = light * _field(rng, side, diameter / 3, rng.uniform(0.0, 0.35))
    light = gaussian(light.astype(np.float32), float(diameter * rng.uniform(0.02, 0.09)))
    haze = gaussian(light, float(diameter * rng.uniform(0.5, 1.5))) * np.float32(rng.uniform(0, 0.4))
    background = np.float32(rng.uniform(0.01, 0.5)) * _field(rng, side, side / 3, rng.uniform(0, 0.5))
    photons = np.float32(10 ** rng.uniform(0.9, 3.2)) * (light + haze + background)
    counts = rng.poisson(np.maximum(photons, 0)) + rng.normal(0, rng.uniform(0, 4), photons.shape)
    return np.maximum(counts + 10, 0).astype(np.float32), _dense(labels)


def _nuclei(rng: np.random.Generator, labels: NDArray[np.int32], light: Plane, diameter: float) -> None:
    side = labels.shape[0]
    room = (side / diameter) ** 2
    count = max(1, round(room * rng.uniform(0.02, 0.75)))
    spread = rng.uniform(0.05, 0.35)
    clustering = rng.uniform(0, 0.8)
    centres: list[Any] = []
    kept = 0
    for _ in range(3 * count):
        if kept >= count:
            break
        size = diameter / 2 * float(np.exp(rng.normal(0, spread)))
        if centres and rng.random() < clustering:  # beside one that is there already
            near = centres[rng.integers(len(centres))]
            turn = rng.uniform(0, 2 * math.pi)
            step = near[2] * rng.uniform(0.85, 1.2) + size
            centre = (near[0] + step * math.cos(turn), near[1] + step * math.sin(turn), size)
        else:
            centre = (*rng.uniform(0, side, 2), size)
        outline = _outline(rng, centre)
        mask = np.zeros(labels.shape, dtype=np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        x, y, width, height = cv2.boundingRect(mask)
        if not width:
            continue
        box = (slice(y, y + height), slice(x, x + width))
        own = mask[box] > 0
        free = own & (labels[box] == 0)
        if free.sum() < 0.8 * own.sum() or free.sum() < 6:
            continue
        kept += 1
        labels[box][free] = kept
        light[box][own] = np.maximum(light[box][own], np.float32(np.exp(rng.normal(0, 0.4))))
        centres.append(centre)


def _outline(rng: np.random.Generator, centre: tuple[float, float, float]) -> NDArray[np.float64]:
    x, y, radius = centre
    turn = np.linspace(0, 2 * math.pi, _SUBSTEPS, endpoint=False)
    stretch = float(np.exp(abs(rng.normal(0, 0.22))) ** 0.5)
    wave = 1 + sum(rng.normal(0, 0.05 / k) * np.cos(k * turn + rng.uniform(0, 2 * math.pi)) for k in range(2, 6))
    a, b = radius * stretch * wave * np.cos(turn), radius / stretch * wave * np.sin(turn)
    angle = rng.uniform(0, math.pi)
    return np.stack(
        (x + a * math.cos(angle) - b * math.sin(angle), y + a * math.sin(angle) + b * math.cos(angle)), axis=1
    )


def _field(rng: np.random.Generator, side: int, scale: float, amount: float) -> Plane:
    """Return a smooth random field about 1, of a given correlation length (px) and relative amplitude."""
    grid = max(2, round(side / max(scale, 1.0)))
    noise = resize(rng.normal(0, 1, (grid, grid)).astype(np.float32), (side, side))
    field: Plane = np.maximum(1 + np.float32(amount) * noise, 0.05).astype(np.float32)
    return field


def _dense(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
