"""Bands around a mean: for a number of fields fixed beforehand, and for one that was looked at all along."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]

TUNED_FOR: Final = 5
"""Replicates at which `anytime_half_width` is tightest, unless told otherwise."""


def fixed_half_width(sd: float | Array, freedom: float | Array, n: Array, level: float) -> Array:
    """Return the half-width of Student's t interval.

    Right when `n` was fixed before the data were seen; looked at after every batch it misses more often than it says.

    Parameters
    ----------
    sd : float or ndarray of float, shape (m,)
        Standard deviation of one replicate, in units of the readout.
    freedom : float or ndarray of float, shape (m,)
        Its degrees of freedom.
    n : ndarray of float, shape (m,)
        Replicates behind each mean; at least 1.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    ndarray of float, shape (m,)
    """
    # The quantile is slow, and of many replicates most have the same degrees of freedom.
    some, of_each = np.unique(freedom, return_inverse=True)
    quantile = stdtrit(some, 0.5 + level / 2)[of_each].reshape(np.shape(freedom))
    half: Array = quantile * sd / np.sqrt(n)
    return half


def anytime_half_width(sd: float, freedom: float, n: Array, level: float, tuned_for: float = TUNED_FOR) -> Array:
    """Return the half-width of a confidence sequence: it holds at all times at once, so peeking is allowed.

    The t-test with a normal mixture over the standardised mean, inverted (Lai, Annals of Statistics 4 (1976) 265-280;
    Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance",
    Sequential Analysis 44 (2025)). With ``g`` the variance of the mixture, ``v = freedom`` and ``t`` the t statistic,
    ``e = (1 + n g)^(-1/2) [(1 + t²/v) / (1 + t²/(v (1 + n g)))]^((v + 1)/2)`` reaches ``1/(1 - level)`` at some time
    with probability at most ``1 - level``.

    Parameters
    ----------
    sd, freedom, n, level
        As for `fixed_half_width`.
    tuned_for : float
        Number of replicates at which it is to be tightest; fixed beforehand.

    Returns
    -------
    ndarray of float, shape (m,)
        Infinity where the data are too few to exclude anything.
    """
    alpha = 1 - level
    # rho = n* / (-W_{-1}(-alpha²/e) - 1) is the best normal mixture at n* (Howard et al., Annals of Statistics 49
    # (2021) 1055-1080, section 3.5); the branch of Lambert's W that scipy calls k=-1.
    g = _mixture(alpha) / tuned_for
    widened = 1 + n * g
    reach = (widened / alpha**2) ** (1 / (freedom + 1))
    room = 1 - reach / widened
    with np.errstate(divide="ignore", invalid="ignore"):
        t_squared = np.where(room > 0, freedom * (reach - 1) / room, math.inf)
    # Without any spread 0 times infinity would be unknown, where it is only that nothing can be excluded.
    half = np.full(np.shape(t_squared), math.inf)
    told = np.isfinite(t_squared)
    half[told] = np.sqrt(t_squared[told] / n[told]) * sd
    return half


def _mixture(alpha: float) -> float:
    """Return ``-W_{-1}(-alpha²/e) - 1``: the positive root of ``u - log(1 + u) = -2 log(alpha)``, by Newton."""
    target = -2 * math.log(alpha)
    u = target + math.log(1 + target) + 1
    for _ in range(60):
        step = (u - math.log1p(u) - target) * (1 + u) / u
        u -= step
        if abs(step) < 1e-14 * u:
            break
    return u
