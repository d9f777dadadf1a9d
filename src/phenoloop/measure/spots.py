"""Which object a spot belongs to, and what the spots of each object add up to: number, sizes, arrangement."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns
from phenoloop.model import SpotsPlan
from phenoloop.model.spot_features import LARGE_SPOT, SPOT_PATTERN_LEAST
from phenoloop.numerics.bincount import Groups
from phenoloop.numerics.chance import Grouped, grouped_patterns
from phenoloop.numerics.spots import Spots, find_spots

_APART: Final = 0.85
"""Spots nearer than this many diameters are found as one, so random ones are drawn no nearer. Measured on rendered
random spots: without it, 30 of them in an object seem regular by one standard deviation."""
_PAIR: Final = 3.0
"""Pairs of spots are counted up to this many diameters."""


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
        ``<name>.<feature>`` as in `phenoloop.model.spot_features.SPOTS`.
    spots : Spots
        All of them.
    """
    spots = find_spots(
        image, diameter=plan.diameter_px, threshold=plan.threshold, where=around.distance <= plan.within_px
    )
    n = area.size
    owner = _owner(spots, around)
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


def spot_sizes(spots: Spots, plan: SpotsPlan, objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.spot_features.SPOT_SIZES`: how large, bright, far out each object's are.

    Parameters
    ----------
    spots : Spots
        All of the field.
    plan : SpotsPlan
        With which they were found.
    objects : Objects
        Of the field.
    """
    owner = _owner(spots, objects.around)
    per_object = Groups(owner[None, :].astype(np.int32), n=objects.n)  # the spots are the pixels of a one-row image
    area = per_object.take(spots.area).astype(np.float64)
    height = per_object.take(spots.intensity)
    y, x = objects.centroid
    own = per_object.group
    away = np.hypot(per_object.take(spots.y) - y[own], per_object.take(spots.x) - x[own])
    inside = per_object.take(objects.labels[spots.y, spots.x]) == own + 1
    large = area > np.pi / 4 * (LARGE_SPOT * plan.diameter_px) ** 2
    found = per_object.count > 0
    columns = {
        "area_median": per_object.quantile(per_object.ordered(area), 0.5),
        "area_max": per_object.maximum(area),
        "area_sd": per_object.sd(area, per_object.mean(area)),
        "large": per_object.mean(large),
        "total_intensity": np.where(found, per_object.sum(height), 0.0),
        "max_intensity": per_object.maximum(height),
        "volume": np.where(found, per_object.sum(per_object.take(spots.light)), 0.0),
        "distance": per_object.mean(away),
        "inside": per_object.mean(inside),
    }
    return {f"{plan.name}.{feature}": column for feature, column in columns.items()}


def spot_pattern(spots: Spots, plan: SpotsPlan, objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.spot_features.SPOT_PATTERN`: how each object's spots lie to one another.

    They are compared with as many at random on the pixels on which a spot would have been this object's: within
    ``plan.within_px`` of its edge, and not nearer to another object. ``within: 0`` asks about the object itself.

    Parameters
    ----------
    spots : Spots
        All of the field.
    plan : SpotsPlan
        With which they were found.
    objects : Objects
        Of the field.
    """
    home, index = _zone(plan, objects)
    order = np.argsort(home.astype(np.uint16) if objects.n <= 65_535 else home, kind="stable")
    size = np.bincount(home, minlength=objects.n + 1)[1:]
    owner = _owner(spots, objects.around)
    found = _against_chance(spots, owner, plan, index[order], size, objects.labels.shape[1])
    columns = {
        "nearest": found.nearest,
        "clustering": found.clustering,
        "clustering_z": found.clustering_z,
        "ripley": found.ripley,
        "ripley_z": found.ripley_z,
    }
    return {f"{plan.name}.{feature}": column for feature, column in columns.items()}


def spot_field(spots: Spots, plan: SpotsPlan, objects: Objects) -> Columns:
    """Return the columns of `phenoloop.model.spot_features.SPOT_FIELD`: how all spots of a field lie, on every object.

    Unlike `spot_pattern`, this also sees that some objects have many spots and others few.

    Parameters
    ----------
    spots, plan, objects
        As for `spot_pattern`.
    """
    _, index = _zone(plan, objects)
    owner = (_owner(spots, objects.around) > 0).astype(np.int32)
    found = _against_chance(spots, owner, plan, index, np.array([index.size]), objects.labels.shape[1])
    columns = {
        "field_clustering": found.clustering,
        "field_clustering_z": found.clustering_z,
        "field_ripley": found.ripley,
        "field_ripley_z": found.ripley_z,
    }
    return {f"{plan.name}.{feature}": np.repeat(column, objects.n) for feature, column in columns.items()}


def _zone(plan: SpotsPlan, objects: Objects) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the owner and the flat index of each pixel on which a spot would have been found and counted."""
    near = objects.around.distance <= plan.within_px
    near[[0, -1], :] = False  # where no spot is looked for
    near[:, [0, -1]] = False
    index = np.flatnonzero(near)
    return objects.around.owner(index), index


def _against_chance(
    spots: Spots,
    owner: NDArray[np.int32],
    plan: SpotsPlan,
    index: NDArray[np.int64],
    size: NDArray[np.int64],
    width: int,
) -> Grouped:
    owned = owner > 0
    return grouped_patterns(
        np.column_stack([spots.y, spots.x])[owned],
        owner[owned].astype(np.int64) - 1,
        (np.column_stack(np.divmod(index, width)), size),
        radius=_PAIR * plan.diameter_px,
        apart=_APART * plan.diameter_px,
        least=SPOT_PATTERN_LEAST,
    )


def _owner(spots: Spots, around: Neighbourhood) -> NDArray[np.int32]:
    """Return the label of the object each spot belongs to; 0 where there is no object."""
    return around.owner(spots.y * around.distance.shape[1] + spots.x)
