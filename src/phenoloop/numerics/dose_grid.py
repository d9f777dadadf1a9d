"""The nodes on which a dose-response curve is believed: log10 EC50 and slope, their prior, the shape of the curve.

The share of the full effect at dose x is ``s(x) = 1 / (1 + (EC50 / x)^hill)``; 0 without compound. Each compound's EC50
is log-uniform from a decade and a half below its lowest dose to as far above its highest.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BEYOND: Final = 1.5
"""Decades beyond the doses in which an EC50 is looked for."""
STEP: Final = 0.08
"""Distance of the nodes in log10 EC50."""
HILLS: Final[Array] = np.array([0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0])
# Slopes near 1 are the rule (one site, no cooperation); a factor of two either way is common.
_LOG_HILL: Final[Array] = -0.5 * (np.log10(HILLS) / 0.3) ** 2


class Grid:
    """The nodes, and the share of the full effect at each dose.

    Parameters
    ----------
    log_doses : ndarray of float, shape (doses,)
        The distinct doses of the compound that are on the plate, log10, rising, finite.
    low, high, step : float, optional
        Where in log10 EC50 the nodes lie; the whole range unless given.

    Attributes
    ----------
    axis : ndarray of float, shape (axis,)
        The values of log10 EC50, evenly spaced.
    log_ec50, hill : ndarray of float, shape (nodes,)
        Of each node.
    log_prior : ndarray of float, shape (nodes,)
        Normalised.
    share, share_squared : ndarray of float, shape (doses, nodes)
        Share of the full effect at each dose, and its square.
    """

    def __init__(
        self, log_doses: Array, low: float | None = None, high: float | None = None, step: float = STEP
    ) -> None:
        low = float(log_doses[0]) - BEYOND if low is None else low
        high = float(log_doses[-1]) + BEYOND if high is None else high
        count = max(2, round((high - low) / step) + 1)
        self.log_doses = log_doses
        self.axis: Array = low + (high - low) / (count - 1) * np.arange(count, dtype=np.float64)
        self.log_ec50: Array = np.repeat(self.axis, len(HILLS))
        self.hill: Array = np.tile(HILLS, count)
        weight = np.exp(_LOG_HILL - _LOG_HILL.max())
        self.log_prior: Array = np.tile(np.log(weight / weight.sum()), count) - math.log(count)
        self.share: Array = self.share_at(log_doses)
        self.share_squared: Array = self.share**2

    def share_at(self, log_doses: Array) -> Array:
        """Return the share of the full effect at some doses, shape (doses, nodes); 0 at ``-inf``, 1 at ``inf``."""
        above = self.hill * (self.log_ec50 - log_doses[:, None])
        share: Array = 1 / (1 + 10.0 ** np.minimum(above, 300.0))
        share[np.isneginf(log_doses)] = 0.0
        return share
