"""How odd a well is among control wells, by one number each: a p-value and an e-value, exact for normal numbers.

The number is the logarithm of a distance. Of ``n`` control wells and one other, all that does not depend on the unknown
mean and SD is ``T = (x - mean) / (sd sqrt(1 + 1/n))``; for a well that is as the controls it has Student's t
distribution with n - 1 degrees of freedom. The p-value is its upper tail. The e-value is the density of T if the well
lay further out, in a mixture of three widths, over that density: a likelihood ratio of a maximal invariant, of
expectation 1 under the null.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, stdtr

from phenoloop.numerics.rounding import significant_all

Floats = NDArray[np.float64]

LEAST_CONTROLS: Final = 6
"""Control wells below which nothing is called: a spread seen in so few wells bounds nothing."""
WIDTHS: Final = (3.0, 10.0, 30.0)
"""How much wider than the controls a well that differs is thought to lie; governs power only, never validity."""


def statistic(values: Floats, controls: Floats) -> Floats:
    """Return T of each value; NaN for an unknown one.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN is unknown.
    controls : ndarray of float64, shape (m,)
        At least three, not all equal.
    """
    m = len(controls)
    mean = math.fsum(controls.tolist()) / m
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in controls.tolist()) / (m - 1))
    return significant_all((values - mean) / (sd * math.sqrt(1 + 1 / m)))


def p_values(t: Floats, controls: int) -> Floats:
    """Return the chance of a T as large in a well that is as so many controls; 1 for NaN."""
    tail = np.asarray(stdtr(controls - 1, -np.where(np.isfinite(t), t, 0.0)))
    return np.where(np.isfinite(t), significant_all(tail), 1.0)


def log_evidence(t: Floats, controls: int) -> Floats:
    """Return the log e-value of each T against "drawn like so many controls"; 0, an e-value of 1, for NaN.

    References
    ----------
    Pérez-Ortiz, Lardy, de Heide and Grünwald, "E-statistics, group invariance and anytime-valid testing", Annals of
    Statistics 52 (2024).
    """
    known = np.isfinite(t)
    size = np.where(known, t, 0.0)
    null = _log_density(size, controls - 1)
    wider = np.stack([math.log(2 / width) + _log_density(size / width, controls - 1) for width in WIDTHS])
    found = np.where(size > 0, logsumexp(wider, axis=0) - math.log(len(WIDTHS)) - null, -math.inf)
    return np.where(known, significant_all(found), 0.0)


def rejected(p: Floats, level: float) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected, by the procedure of Benjamini and Yekutieli.

    The expected share of false ones among the rejected is at most `level` however the p-values depend on each other. A
    p-value that is 1 until it is known, and whose value no choice has a part in, is never smaller than in the end; so
    this also holds whenever one looks.

    Parameters
    ----------
    p : ndarray of float64, shape (K,)
        Of the whole family, tested or not.
    level : float
        Error level in (0, 1).

    References
    ----------
    Benjamini and Yekutieli 2001, doi 10.1214/aos/1013699998.
    """
    family = len(p)
    if not family:
        return np.zeros(0, dtype=bool)
    allowed = level / (family * math.fsum(1 / k for k in range(1, family + 1)))
    ordered = np.sort(p)
    passed = np.flatnonzero(ordered <= allowed * np.arange(1, family + 1))
    return np.asarray(p <= ordered[passed[-1]]) if passed.size else np.zeros(family, dtype=bool)


def _log_density(t: Floats, freedom: int) -> Floats:
    """Return the log density of Student's t."""
    half = (freedom + 1) / 2
    constant = float(gammaln(half) - gammaln(freedom / 2)) - 0.5 * math.log(freedom * math.pi)
    return np.asarray(constant - half * np.log1p(t**2 / freedom))
