"""Bands around a rate of events: exact for independent events, and wider where replicates differ more than that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import gammaincinv, stdtrit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate and its band.

    Attributes
    ----------
    rate, low, high : float
        Events per unit of exposure; NaN, 0 and infinity without exposure.
    dispersion : float or None
        Variance of the replicates over that of independent events; None where it cannot be told.
    assumes : str
        What the band rests on, in words.
    """

    rate: float
    low: float
    high: float
    dispersion: float | None
    assumes: str


def poisson_interval(count: int, exposure: float, level: float) -> tuple[float, float]:
    """Return the exact band of a Poisson rate (Garwood, Biometrika 28 (1936) 437-442).

    Parameters
    ----------
    count : int
        Events.
    exposure : float
        What they were seen in: hours of watching, say; above 0.
    level : float
        Coverage, in (0, 1).
    """
    tail = (1 - level) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low / exposure, float(gammaincinv(count + 1, 1 - tail)) / exposure


def rate_of(counts: Sequence[int], exposures: Sequence[float], level: float) -> Rate:
    """Return the rate over replicates, with the wider of two bands: independent events, and replicates as the unit.

    The second lets the replicates scatter more than events that come independently would: quasi-Poisson with Pearson's
    dispersion and Student's t on the log scale (McCullagh and Nelder, "Generalized Linear Models", 2nd ed. (1989),
    sections 4.5 and 6.2).

    Parameters
    ----------
    counts : sequence of int, shape (n,)
        Events of each replicate.
    exposures : sequence of float, shape (n,)
        Its exposure; replicates without any are left out.
    level : float
        Coverage, in (0, 1).
    """
    seen = [(count, exposure) for count, exposure in zip(counts, exposures, strict=True) if exposure > 0]
    total = math.fsum(exposure for _, exposure in seen)
    events = sum(count for count, _ in seen)
    if total <= 0:
        return Rate(rate=math.nan, low=0.0, high=math.inf, dispersion=None, assumes="nothing was watched")
    rate = events / total
    low, high = poisson_interval(events, total, level)
    independent = "events come independently of each other (Poisson)"
    if len(seen) < 2 or not events:
        why = "one replicate says nothing of how much they differ" if len(seen) < 2 else "there is no event"
        return Rate(rate=rate, low=low, high=high, dispersion=None, assumes=f"{independent}; {why}")
    freedom = len(seen) - 1
    dispersion = math.fsum((count - rate * t) ** 2 / (rate * t) for count, t in seen) / freedom
    half = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(max(1.0, dispersion) / events)
    low, high = min(low, rate * math.exp(-half)), max(high, rate * math.exp(half))
    scatter = (
        f"replicates scatter {dispersion:.2g} times as much as independent events would; "
        f"Student's t on {freedom} degrees of freedom"
    )
    return Rate(rate=rate, low=low, high=high, dispersion=dispersion, assumes=scatter)
