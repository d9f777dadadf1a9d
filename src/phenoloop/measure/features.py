"""The feature table of one field: the columns of the families that are wanted, in the order of the feature table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.intensity import BACKGROUND_PERCENTILE, colocalisation, compartments, intensity, quantiles
from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.neighbours import neighbours
from phenoloop.measure.objects import RING_PX, Objects
from phenoloop.measure.outline import moments, outline
from phenoloop.measure.radial import radial
from phenoloop.measure.shape import Columns, shape_features
from phenoloop.measure.textures import granularity, texture
from phenoloop.measure.zernike import zernike_of_light, zernike_of_shape
from phenoloop.model import features

__all__ = ["BACKGROUND_PERCENTILE", "RING_PX", "object_table"]

Image = NDArray[Any]

_OBJECT: Final[dict[str, Callable[[Objects], Columns]]] = {
    "shape": lambda objects: shape_features(objects.labels, objects.groups, objects.pixel_size_um),
    "outline": outline,
    "moments": moments,
    "zernike": zernike_of_shape,
    "neighbours": neighbours,
}
_CHANNEL: Final[dict[str, Callable[[Objects, Image], Columns]]] = {
    "intensity": intensity,
    "quantiles": quantiles,
    "compartments": compartments,
    "radial": radial,
    "texture": texture,
    "granularity": granularity,
    "zernike_light": zernike_of_light,
}


def object_table(
    labels: NDArray[np.int32],
    channels: Mapping[str, Image],
    *,
    pixel_size_um: float = 1.0,
    around: Neighbourhood | None = None,
    families: Iterable[str] = (),
    objects: Objects | None = None,
    confidence: NDArray[np.float64] | None = None,
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
    families : iterable of str
        Families of `phenoloop.model.features` to measure besides the basic ones.
    objects : Objects, optional
        The same labels as the families see them, where that exists already.
    confidence : ndarray of float, shape (n,), optional
        Of the segmenter in each object.

    Returns
    -------
    dict of str to ndarray of float64, each of shape (n,)
        ``label`` first (int32), then the features of the objects, of each channel (``<channel>.<feature>``) and of each
        pair of channels, as `phenoloop.model.features.columns` lists them. NaN is unknown.
    """
    wanted = features.BASIC | set(families)
    if objects is None:
        objects = Objects(labels, pixel_size_um, around)
    table: Columns = {"label": np.arange(1, objects.n + 1, dtype=np.int32)}
    for family, measure_objects in _OBJECT.items():
        if family in wanted:
            table.update(measure_objects(objects))
    table["confidence"] = np.full(objects.n, np.nan) if confidence is None else confidence.astype(np.float64)
    for name, image in channels.items():
        for family, measure_channel in _CHANNEL.items():
            if family in wanted:
                table.update({f"{name}.{key}": column for key, column in measure_channel(objects, image).items()})
        if "colocalisation" in wanted:
            for other, second in channels.items():
                if other != name:
                    found = colocalisation(objects, image, second)
                    table.update({f"{name}.{key}_{other}": column for key, column in found.items()})
    return table
