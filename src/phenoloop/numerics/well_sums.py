"""What is known of the fields of some wells, as the sums that every model of this package needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class WellSums:
    """What is known of the fields of some wells: all that the model needs.

    Attributes
    ----------
    n : ndarray of float, shape (wells,)
        Fields.
    mean : ndarray of float, shape (wells,)
        Mean over fields, in units of the readout; NaN where there is no field.
    scatter : ndarray of float, shape (wells,)
        Sum of squared deviations from the well's mean.
    """

    n: Array
    mean: Array
    scatter: Array

    def at(self, index: Sequence[int] | NDArray[np.intp]) -> WellSums:
        """Return the wells at these places."""
        return WellSums(self.n[index], self.mean[index], self.scatter[index])

    @property
    def field_sd(self) -> float:
        """Field-to-field SD inside wells, pooled over wells; NaN while no well has two fields."""
        freedom = self.freedom
        return math.sqrt(math.fsum(self.scatter) / freedom) if freedom else math.nan

    @property
    def freedom(self) -> int:
        """Degrees of freedom of `field_sd`."""
        return int(np.maximum(self.n - 1, 0).sum())


def summarise(values: Sequence[Sequence[float]]) -> WellSums:
    """Reduce the fields of each well to count, mean and scatter.

    Sums are exactly rounded (`math.fsum`), so the order in which the fields came does not matter to the last bit.

    Parameters
    ----------
    values : sequence of sequence of float
        Readouts of the fields of each well; finite.

    Returns
    -------
    WellSums
        In the order of `values`.
    """
    n, mean, scatter = [], [], []
    for fields in values:
        m = math.fsum(fields) / len(fields) if fields else math.nan
        n.append(len(fields))
        mean.append(m)
        scatter.append(math.fsum((x - m) ** 2 for x in fields))
    return WellSums(np.array(n, float), np.array(mean, float), np.array(scatter, float))
