"""Which object a spot belongs to, and what the spots of each object add up to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.shape import Columns
from phenoloop.model import SpotsPlan
from phenoloop.numerics.spots import Spots, find_spots


def spot_features(
    image: NDArray[Any], plan: SpotsPlan, around: Neighbourhood, area: NDArray[np.float64]
) -> tuple[Columns, Spots]:
    """Find the spots of a channel and sum them up per object.

    A spot belongs to the object that is nearest to its peak, inside it or within ``plan.within_px`` of its edge. Spots
    farther off are not looked for, and the noise is measured in the same zone.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        The channel.
    plan : SpotsPlan
        What to look for.
    around : Neighbourhood
        Of the objects.
    area : ndarray of float64, shape (n,)
        Of the objects, px.

    Returns
    -------
    columns : dict of str to ndarray of float64, each of shape (n,)
        ``<name>.<feature>`` as in `phenoloop.model.features.SPOTS`.
    spots : Spots
        All of them.
    """
    spots = find_spots(
        image, diameter=plan.diameter_px, threshold=plan.threshold, where=around.distance <= plan.within_px
    )
    n = area.size
    owner = around.owner(spots.y * image.shape[1] + spots.x)
    count = np.bincount(owner, minlength=n + 1)[1:].astype(np.float64)
    total_area = np.bincount(owner, weights=spots.area, minlength=n + 1)[1:]
    light = np.bincount(owner, weights=spots.intensity, minlength=n + 1)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_area = np.where(count > 0, total_area / count, np.nan)
        intensity = np.where(count > 0, light / count, np.nan)
    columns = {
        "count": count,
        "area": mean_area,
        "intensity": intensity,
        "total_area": total_area,
        "density": count / area,
    }
    return {f"{plan.name}.{feature}": column for feature, column in columns.items()}, spots
