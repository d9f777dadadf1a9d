"""From e-values to hits: the e-BH procedure, which bounds the share of false hits however the e-values depend.

Wang and Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022) 822-852.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_threshold(hits: int, family: int, level: float) -> float:
    """Return the logarithm of the e-value that each of `hits` wells must reach to be called together.

    Parameters
    ----------
    hits : int
        Wells called, at least 1.
    family : int
        Wells tested, called or not, imaged or not: fixed before the run.
    level : float
        Expected share of false ones among the called.
    """
    return math.log(family / (level * hits))


def ebh(log_evidence: Array, level: float) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected.

    With ``e(k)`` the k-th largest of ``K`` e-values: reject the ``k`` largest for the greatest ``k`` such that
    ``e(k) >= K / (level k)``. The expected share of false rejections is at most `level`, under any dependence, and
    at any stopping time if the e-values are e-processes.

    Parameters
    ----------
    log_evidence : ndarray of float, shape (K,)
        Natural logarithms of the e-values; ``-inf`` is an e-value of 0.
    level : float
        Error level in (0, 1).

    Returns
    -------
    ndarray of bool, shape (K,)
        In the order given. Equal e-values share their fate.
    """
    family = len(log_evidence)
    rejected = np.zeros(family, dtype=bool)
    # What does not reach the lowest threshold, that of all wells called together, is out whatever the others do.
    possible = log_evidence[log_evidence >= log_threshold(max(1, family), max(1, family), level)]
    for hits, value in reversed(list(enumerate(sorted(possible.tolist(), reverse=True), start=1))):
        if value >= log_threshold(hits, family, level):
            rejected = log_evidence >= value
            break
    return rejected
