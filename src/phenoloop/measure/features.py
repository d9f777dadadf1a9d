"""The feature table of one field: every column that `phenoloop.model.features` promises, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.shape import Columns, shape_features
from phenoloop.numerics.bincount import Groups
from phenoloop.numerics.images import percentile

RING_PX = (2.0, 8.0)
"""From which to which distance of its edge the ring of an object extends."""
BACKGROUND_PERCENTILE = 5.0


def object_table(
    labels: NDArray[np.int32],
    channels: Mapping[str, NDArray[Any]],
    *,
    pixel_size_um: float = 1.0,
    around: Neighbourhood | None = None,
) -> Columns:
    """Measure every object.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        Dense from 1.
    channels : mapping of str to ndarray, each of shape (y, x)
        By name; any integer or float type, in counts.
    pixel_size_um : float
        Edge of a pixel.
    around : Neighbourhood, optional
        Of these labels, where it is known already.

    Returns
    -------
    dict of str to ndarray of float64, each of shape (n,)
        ``label`` first (int32), then the shape features, then ``<channel>.<feature>``. NaN is unknown.
    """
    groups = Groups(labels)
    around = around or Neighbourhood(labels)
    table: Columns = {"label": np.arange(1, groups.n + 1, dtype=np.int32)}
    table.update(shape_features(labels, groups, pixel_size_um))
    band = (around.distance >= RING_PX[0]) & (around.distance <= RING_PX[1])
    ring = np.flatnonzero(band)
    ring_of = around.owner(ring)
    for name, image in channels.items():
        for feature, column in _intensity(image, groups, ring, ring_of).items():
            table[f"{name}.{feature}"] = column
    return table


def _intensity(image: NDArray[Any], groups: Groups, ring: NDArray[np.int64], ring_of: NDArray[np.int32]) -> Columns:
    raw = groups.take(image)
    values = raw.astype(np.float64)
    total = groups.sum(values)
    mean = total / np.maximum(groups.count, 1)
    beside = np.bincount(ring_of, minlength=groups.n + 1)[1:]
    beside_sum = np.bincount(ring_of, weights=image.ravel()[ring], minlength=groups.n + 1)[1:]
    background = percentile(image, BACKGROUND_PERCENTILE)
    with np.errstate(divide="ignore", invalid="ignore"):
        around = np.where(beside > 0, beside_sum / beside, np.nan)
        ratio = np.where(around != background, (mean - background) / (around - background), np.nan)
    return {
        "mean": mean,
        "sum": total,
        "min": groups.minimum(raw),
        "max": groups.maximum(raw),
        "sd": groups.sd(values, mean),
        "ring": around,
        "ratio": ratio,
    }
