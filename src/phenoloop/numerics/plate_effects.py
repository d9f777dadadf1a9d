"""Whether the controls depend on their place or on when they were imaged: edge effect and drift, whole wells permuted.

Controls hold the same thing everywhere, so a difference between those on the edge of the plate and those inside, or a
trend over the run, is the plate's or the microscope's and not a treatment's. The unit is the well. Under "no effect"
wells could change places, and the deviations of a well's fields from its own mean could change sign, so the p-value
holds without a model of the noise (Edgington and Onghena, Randomization Tests, 4th edition, 2007, chapter 4); the
interval holds the effects that the same test would not reject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.rounding import significant

Array = NDArray[np.float64]

LEAST_WELLS: Final = 6
"""Control wells below which nothing is tested."""
LEAST_SIDE: Final = 2
"""Control wells that an edge needs on it, and inside it."""
PERMUTATIONS: Final = 1999
_SHARE: Final = 0.09
"""(well SD / field SD)² by which trends between wells and inside them are weighed; it governs power, never validity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateEffect:
    """An effect of place or time on the controls.

    Attributes
    ----------
    size : float
        Edge less inside, or change per hour, in units of the readout.
    low, high : float
        Effects that are not rejected at `level`; infinite where so few wells reject none.
    p : float
        Of "there is none", two-sided; smallest possible is 1 / 2000.
    level : float
        Coverage of the interval.
    centre : float
        Mean of the control wells, to compare the size with.
    wells : int
        Control wells behind it.
    """

    size: float
    low: float
    high: float
    p: float
    level: float
    centre: float
    wells: int


def edge_effect(
    values: Sequence[Sequence[float]],
    places: Sequence[tuple[int, int]],
    plate: tuple[int, int],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> PlateEffect | None:
    """Compare controls on the outer rows and columns of a plate with those inside.

    Parameters
    ----------
    values : sequence of sequence of float
        Readouts of the fields of each control well; wells without a field are left out.
    places : sequence of (int, int)
        Row and column of each, from 0.
    plate : (int, int)
        Rows and columns of the whole plate.
    level : float
        Coverage of the interval.
    seed : int
        Of the permutations.

    Returns
    -------
    PlateEffect or None
        None where there are fewer than six controls with data, or fewer than two on either side.
    """
    seen = [i for i, fields in enumerate(values) if fields]
    outer = [places[i][0] in (0, plate[0] - 1) or places[i][1] in (0, plate[1] - 1) for i in seen]
    if len(seen) < LEAST_WELLS or min(sum(outer), len(outer) - sum(outer)) < LEAST_SIDE:
        return None
    means = np.array([math.fsum(values[i]) / len(values[i]) for i in seen])
    return _slope(
        np.array(outer, float), means, np.ones(len(seen)), np.zeros(len(seen)), np.zeros(len(seen)), level, seed
    )


def drift(
    values: Sequence[Sequence[float]], hours: Sequence[Sequence[float]], *, level: float = 0.95, seed: int = 0
) -> PlateEffect | None:
    """Look for a trend of the controls over the run.

    Parameters
    ----------
    values : sequence of sequence of float
        Readouts of the fields of each control well; wells without a field are left out.
    hours : sequence of sequence of float
        When each was imaged.
    level : float
        Coverage of the interval.
    seed : int
        Of the permutations.

    Returns
    -------
    PlateEffect or None
        Per hour; None where there are fewer than six controls with data, or all were imaged at one time.
    """
    seen = [i for i, fields in enumerate(values) if fields]
    if len(seen) < LEAST_WELLS:
        return None
    n = np.array([len(values[i]) for i in seen], float)
    at = np.array([math.fsum(hours[i]) / len(hours[i]) for i in seen])
    means = np.array([math.fsum(values[i]) / len(values[i]) for i in seen])
    within_x, within_y = np.zeros((2, len(seen)))
    for j, i in enumerate(seen):
        within_x[j] = math.fsum((t - at[j]) ** 2 for t in hours[i])
        within_y[j] = math.fsum((t - at[j]) * (value - means[j]) for t, value in zip(hours[i], values[i], strict=True))
    return _slope(at, means, 1 / (_SHARE + 1 / n), within_x, within_y, level, seed)


def _slope(
    x: Array, y: Array, weight: Array, within_x: Array, within_y: Array, level: float, seed: int
) -> PlateEffect | None:
    """Regress wells' means on `x` and add their inner trends; permute wells, flip the signs of inner trends."""
    wells = len(x)
    centre = float((weight * x).sum() / weight.sum())
    lever = weight * (x - centre)
    total = float((lever * x).sum() + within_x.sum())
    if total <= 1e-12 * max(1.0, float((weight * x**2).sum())):
        return None
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([83, seed, wells])))
    order = np.argsort(rng.random((PERMUTATIONS, wells)), axis=1)
    signs = np.where(rng.random((PERMUTATIONS, wells)) < 0.5, -1.0, 1.0)
    observed = float((lever * y).sum() + within_y.sum())
    drawn = (lever * y[order]).sum(axis=1) + (signs * within_y).sum(axis=1)
    size = observed / total
    tolerance = 1e-9 * float((np.abs(lever) * np.abs(y)).sum() + np.abs(within_y).sum())
    as_large = int((np.abs(drawn) >= abs(observed) - tolerance).sum())
    # Taking d x off the data moves both statistics along a line; they meet at the effect that this draw would reject.
    # A draw that is the data again (few wells have few arrangements) rejects none.
    room = total - (lever * x[order]).sum(axis=1) - (signs * within_x).sum(axis=1)
    other = room > 1e-9 * total
    meets = np.sort((observed - drawn)[other] / room[other])
    reject = math.floor((1 - level) / 2 * (PERMUTATIONS + 1)) - (PERMUTATIONS - len(meets)) - 1
    low, high = (float(meets[reject]), float(meets[-1 - reject])) if reject >= 0 else (-math.inf, math.inf)
    return PlateEffect(
        size=significant(size),
        low=significant(low),
        high=significant(high),
        p=(as_large + 1) / (PERMUTATIONS + 1),
        level=level,
        centre=significant(math.fsum(y) / wells),
        wells=wells,
    )
