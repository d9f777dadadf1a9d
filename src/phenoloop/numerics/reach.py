"""Which distance from the controls will be called at which depth: the evidence of wells that might yet be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.claims import CHANGES
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

# Distances that are tried, in field SDs.
_DISTANCES: Final[Array] = np.concatenate([np.arange(0.0, 4.0, 0.4), 4.0 * 1.25 ** np.arange(0, 18)])


def reach_of(null: Null, n: Array, change: str) -> Reach:
    """Tabulate the evidence that a well would have at some depths and distances from the controls.

    Its fields are taken to scatter as the controls' fields do, times `Null.noise`.

    Parameters
    ----------
    null : Null
        The controls.
    n : ndarray of float, shape (m,)
        Fields that the well would have; at least 1.
    change : str
        Direction; the distance is counted in that direction (in either for ``"both"``).
    """
    if not null.usable:
        return Reach(n, _DISTANCES, np.zeros((len(n), len(_DISTANCES))))
    distance = null.field_sd * _DISTANCES
    fields = np.repeat(n, len(distance))
    mean = null.centre + (CHANGES[change] or 1) * np.tile(distance, len(n))
    scatter = (fields - 1) * (null.noise * null.field_sd) ** 2
    log_e = null.log_evidence(WellSums(fields, mean, scatter), change)
    return Reach(n, distance, log_e.reshape(len(n), len(distance)))


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """Which distance from the controls is called at which depth.

    Attributes
    ----------
    n : ndarray of float, shape (m,)
        Fields of the well.
    distance : ndarray of float, shape (d,)
        Distances that were tried, in units of the readout, rising from 0.
    log_e : ndarray of float, shape (m, d)
        Log e-value at each.
    """

    n: Array
    distance: Array
    log_e: Array

    def needed(self, log_threshold: float) -> Array:
        """Return the smallest distance at which a well reaches a threshold, for each of `n`.

        Parameters
        ----------
        log_threshold : float
            Natural logarithm of the e-value that is asked for.

        Returns
        -------
        ndarray of float, shape (m,)
            In units of the readout; infinity where no distance is enough.
        """
        needed = np.full(len(self.n), math.inf)
        for i, row in enumerate(self.log_e):
            above = np.flatnonzero(row >= log_threshold)
            if not len(above):
                continue
            j = int(above[0])
            needed[i] = self.distance[j]
            if j:
                share = (row[j] - log_threshold) / (row[j] - row[j - 1])
                needed[i] -= share * (self.distance[j] - self.distance[j - 1])
        return needed
