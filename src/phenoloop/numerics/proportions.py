"""What is known of a chance after some tries: for a number of tries fixed before, or one that is watched all along.

A chance that is watched while it is used (does the pre-scan still find what it should?) is looked at after every try,
where an ordinary bound errs far too often. An e-value against "at least p" grows only if p is wrong, whenever one
looks.
"""

from __future__ import annotations

import math
from typing import Final

from scipy.special import betainc, betaincinv, betaln

_STEPS: Final = 60


def clopper_pearson(successes: int, tries: int, level: float) -> tuple[float, float]:
    """Return the exact two-sided interval of a chance (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404).

    Parameters
    ----------
    successes, tries : int
        ``0 <= successes <= tries``; the number of tries was fixed before.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    (float, float)
        (0, 1) without a try.
    """
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, tries - successes + 1, tail))
    high = 1.0 if successes == tries else float(betaincinv(successes + 1, tries - successes, 1 - tail))
    return low, high


def log_evidence_less(successes: int, tries: int, chance: float) -> float:
    """Return the log e-value against "each try succeeds with at least this chance".

    The likelihood of smaller chances, averaged over all of them alike, relative to that of `chance`. For every smaller
    q the ratio ``(q/p)^x ((1-q)/(1-p))^(1-x)`` has a mean of at most 1 while the true chance is p or more, whatever
    happened before, so the average of their products is a test supermartingale (Ville 1939; Waudby-Smith and Ramdas
    2024, doi:10.1093/jrsssb/qkad009): at level a, reject when it reaches ``1/a``, whenever one looks.

    Parameters
    ----------
    successes, tries : int
        So far.
    chance : float
        In (0, 1).

    Returns
    -------
    float
        0 without a try; ``-inf`` where it is too small for a float.
    """
    failures = tries - successes
    share = float(betainc(successes + 1, failures + 1, chance))
    if share <= 0:
        return -math.inf
    log_average = math.log(share) + float(betaln(successes + 1, failures + 1)) - math.log(chance)
    return log_average - successes * math.log(chance) - failures * math.log1p(-chance)


def anytime_interval(successes: int, tries: int, level: float) -> tuple[float, float]:
    """Return a confidence sequence for a chance: it holds at all times at once, so peeking and stopping are allowed.

    All chances against which neither `log_evidence_less` nor its mirror image has reached ``2 / (1 - level)``.

    Parameters
    ----------
    successes, tries : int
        So far; every try with the same chance.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    (float, float)
        (0, 1) without a try.
    """
    enough = math.log(2 / (1 - level))
    high = _limit(successes, tries, enough)
    low = 1 - _limit(tries - successes, tries, enough)
    return low, high


def _limit(successes: int, tries: int, enough: float) -> float:
    """Return the smallest chance that is refuted as too large; 1 if none is."""
    least, most = (successes / tries if tries else 1.0), 1.0
    if log_evidence_less(successes, tries, 1 - 1e-12) < enough:
        return 1.0
    for _ in range(_STEPS):
        middle = (least + most) / 2
        if middle in (least, most):
            break
        if log_evidence_less(successes, tries, middle) >= enough:
            most = middle
        else:
            least = middle
    return most
