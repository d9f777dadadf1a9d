"""What one who knows every curve could save: images placed for the least variance of the EC50s, against an even grid.

No policy that has to learn the curves first can be expected to do better. Fields are spread over the wells so that the
mean variance of log10 EC50 is least (c-optimal design of a nonlinear model at its true parameters; Atkinson, Donev and
Tobias, Optimum Experimental Designs, with SAS, 2007, chapter 17), as shares of fields rather than whole ones. Variances
are those of the linear approximation at the truth: bottom and span free, EC50 and slope with the spread of the world.
Nothing is drawn, so these figures have no chance in them but that of the curves.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.policies_rows._curves import HILL_SD, Plate, World

Array = NDArray[np.float64]

_STEPS = 300
"""Of the multiplicative algorithm; the variance is then within 0.1 % of its least."""
_EC50 = 2


class Knowing:
    """Variance of log10 EC50 by the fields of each well, for the curves of one plate.

    Parameters
    ----------
    world : World
        Spreads and doses.
    plate : Plate
        Curves.
    """

    def __init__(self, world: World, plate: Plate) -> None:
        wells, rows = world.wells, plate.setup.properties
        compounds = len(plate.log_ec50)
        self._levers = np.zeros((compounds, wells, 4))
        level = np.zeros(wells)
        for i, row in enumerate(rows):
            name = str(row["compound"])
            if name in ("vehicle", "reference"):
                level[i] = float(name == "reference")
                self._levers[:, i, :2] = 1.0, level[i]
                continue
            c, dose = int(name[1:]), row["dose"]
            assert isinstance(dose, float)
            hill, away = float(plate.hill[c]), math.log10(dose) - float(plate.log_ec50[c])
            level[i] = 1 / (1 + 10 ** (-hill * away))
            steep = math.log(10) * level[i] * (1 - level[i]) * hill
            # By bottom, span, log10 EC50 and log10 slope.
            self._levers[c, i] = 1.0, level[i], -steep, math.log(10) * steep * away
        louder = 1 + (world.noisier**2 - 1) * level
        self._field, self._well = world.noise**2 * louder, world.well_sd**2 * louder
        width = world.decades - 2 * max(world.margin, 0.5)
        self._prior = np.diag([1e-6, 1e-6, 12 / width**2, 1 / HILL_SD**2])
        self._before = plate.beforehand.astype(np.float64)
        self._free = self._before == 0

    def evenly(self, images: float) -> float:
        """Return the mean variance where every well gets as many of these images."""
        told = self._told(np.where(self._free, images / self._free.sum(), self._before))
        return float(self._covariance(told)[:, _EC50, _EC50].mean())

    def floor(self) -> float:
        """Return the mean variance that is left when every well is known as well as endless fields can tell it."""
        told = np.where(self._free, 1 / self._well, self._told(self._before))
        return float(self._covariance(told)[:, _EC50, _EC50].mean())

    def best(self, images: float) -> float:
        """Return the least mean variance that so many images can give."""
        share = self._free * images / self._free.sum()
        for _ in range(_STEPS):
            told = self._told(self._before + share)
            covariance = self._covariance(told)
            pull = np.einsum("cwi,ci->cw", self._levers, covariance[:, :, _EC50])
            per_field = self._field / (self._well * (self._before + share) + self._field) ** 2
            share = share * np.sqrt((pull**2).sum(axis=0) * per_field)
            share *= images / share.sum()
        return float(self._covariance(self._told(self._before + share))[:, _EC50, _EC50].mean())

    def _told(self, fields: Array) -> Array:
        """Return the precision of the mean of each well."""
        told: Array = fields / (self._well * fields + self._field)
        return told

    def _covariance(self, told: Array) -> Array:
        return np.linalg.inv(self._prior + np.einsum("cwi,w,cwj->cij", self._levers, told, self._levers))
