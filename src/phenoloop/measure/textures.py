"""How the light of a channel varies within each object from pixel to pixel, and at which grain."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.intensity import BACKGROUND_PERCENTILE
from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns
from phenoloop.model.channel_features import GRANULE_RADII, TEXTURE_DISTANCES
from phenoloop.numerics.images import disk, percentile
from phenoloop.numerics.texture import cooccurrence, grey_levels, haralick


def texture(objects: Objects, image: NDArray[Any]) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.TEXTURE`."""
    groups = objects.groups
    level = grey_levels(groups, groups.take(image))
    columns: Columns = {}
    for distance in TEXTURE_DISTANCES:
        found = haralick(cooccurrence(groups, level, objects.labels, distance))
        columns.update({f"{name}_{distance}": column for name, column in found.items()})
    plane = np.asarray(image, dtype=np.float32)
    across = cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
    curve = groups.take(cv2.Laplacian(plane, cv2.CV_32F, borderType=cv2.BORDER_REFLECT_101)).astype(np.float64)
    columns["gradient"] = groups.mean(np.hypot(groups.take(across), groups.take(down)).astype(np.float64))
    columns["laplacian_sd"] = groups.sd(curve, groups.mean(curve))
    return columns


def granularity(objects: Objects, image: NDArray[Any]) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.GRANULARITY`: the pattern spectrum of each object."""
    groups = objects.groups
    plane = np.asarray(image, dtype=np.float32)
    plane = np.maximum(plane - np.float32(percentile(image, BACKGROUND_PERCENTILE)), 0)
    whole = before = groups.sum(groups.take(plane))
    columns: Columns = {}
    for radius in GRANULE_RADII:
        opened = cv2.morphologyEx(plane, cv2.MORPH_OPEN, disk(radius), borderType=cv2.BORDER_REFLECT_101)
        left = groups.sum(groups.take(np.asarray(opened)))
        with np.errstate(divide="ignore", invalid="ignore"):
            columns[f"granules_{radius}"] = np.where(whole > 0, (before - left) / whole, np.nan)
        before = left
    return columns
