"""How the light of a channel lies in each object between its centre and its rim."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns
from phenoloop.model.channel_features import RADIAL_ZONES

_ZONES: Final = len(RADIAL_ZONES)
_WEDGES: Final = 8


def radial(objects: Objects, image: NDArray[Any]) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.RADIAL`.

    Parameters
    ----------
    objects : Objects
        Of the field.
    image : ndarray, shape (y, x)
        The channel.
    """
    groups, n = objects.groups, objects.n
    values = groups.take(image).astype(np.float64)
    dy, dx = objects.from_centre
    total = groups.sum(values)
    away = np.hypot(dy, dx)
    zone = np.minimum((_ZONES * away / (away + objects.depth)).astype(np.int64), _ZONES - 1)
    wedge = np.floor((np.arctan2(dy, dx) + np.pi) * (_WEDGES / (2 * np.pi))).astype(np.int64) % _WEDGES
    code = (groups.group * _ZONES + zone) * _WEDGES + wedge
    shape = (n, _ZONES, _WEDGES)
    light = np.bincount(code, weights=values, minlength=n * _ZONES * _WEDGES).reshape(shape)
    count = np.bincount(code, minlength=n * _ZONES * _WEDGES).reshape(shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        displacement = np.hypot(groups.sum(values * dy) / total, groups.sum(values * dx) / total)
        fraction = np.where(total[:, None] != 0, light.sum(axis=2) / total[:, None], np.nan)
        share = count.sum(axis=2) / objects.area[:, None]
        density = np.where(share > 0, fraction / share, np.nan)
        mean = np.where(count > 0, light / count, 0)
        present = np.maximum((count > 0).sum(axis=2), 1)
        middle = mean.sum(axis=2) / present
        spread = (np.where(count > 0, mean - middle[:, :, None], 0) ** 2).sum(axis=2) / present
        cv = np.where((share > 0) & (middle != 0), np.sqrt(spread) / middle, np.nan)
    columns: Columns = {"mass_displacement": np.where(total != 0, displacement, np.nan)}
    for k, name in enumerate(RADIAL_ZONES):
        columns[f"{name}_fraction"] = fraction[:, k]
        columns[f"{name}_density"] = density[:, k]
        columns[f"{name}_cv"] = cv[:, k]
    return columns
