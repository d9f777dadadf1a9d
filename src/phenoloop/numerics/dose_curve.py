"""What is believed of a dose-response curve: a posterior over EC50 and slope on a grid, all else in closed form.

The regression at every node is that of `numerics.dose_regression`; here its nodes, spans and ratios are mixed by how
well each explains the data, and the curve, its plateaus and their covariance with the EC50 are read off the mixture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.dose_grid import HILLS, Grid
from phenoloop.numerics.dose_regression import Fits, Points, log_sums, regress

Array = NDArray[np.float64]

_NEGLIGIBLE: Final = 0.03
"""Share of the largest weight below which a ratio is left out."""


class Belief:
    """The posterior of one compound: probabilities of the nodes, and what follows from them.

    Parameters
    ----------
    grid : Grid
        Nodes.
    points : Points
        Data of the compound and of the controls; at least one well.
    ratios : ndarray of float, shape (ratios,)
        Weights of `RATIOS` (from `ratio_weights`); ratios of little weight are left out.
    fits : Fits, optional
        The regression of these points at all `RATIOS`, where it was done before.

    Attributes
    ----------
    nodes : ndarray of float, shape (nodes,)
        Probabilities.
    mean, sd : float
        Of log10 EC50.
    """

    def __init__(self, grid: Grid, points: Points, ratios: Array, fits: Fits | None = None) -> None:
        self.grid = grid
        kept = np.flatnonzero(ratios >= _NEGLIGIBLE * float(ratios.max()))
        self._fits = (regress(grid, points) if fits is None else fits).of(kept)
        logs = self._fits.log_evidence
        logs = logs + (np.log(ratios[kept]) - log_sums(logs))[:, None, None]
        raw = np.exp(logs - logs.max())
        self._weights: Array = raw / raw.sum()
        self.nodes: Array = self._weights.sum(axis=(0, 1))
        self.mean = float((self.nodes * grid.log_ec50).sum())
        self.sd = math.sqrt(max(0.0, float((self.nodes * (grid.log_ec50 - self.mean) ** 2).sum())))

    def cumulative(self) -> tuple[Array, Array]:
        """Return the edges of the cells of log10 EC50 and the probability below each edge, shape (axis + 1,)."""
        by_ec50 = self.nodes.reshape(len(self.grid.axis), len(HILLS)).sum(axis=1)
        half = (self.grid.axis[1] - self.grid.axis[0]) / 2
        edges = np.append(self.grid.axis - half, self.grid.axis[-1] + half)
        return edges, np.append(0.0, np.cumsum(by_ec50))

    def quantile(self, share: float) -> float:
        """Return a quantile of log10 EC50; linear inside a cell."""
        edges, below = self.cumulative()
        return float(np.interp(share, below, edges))

    def below(self, log_dose: float) -> float:
        """Return the probability that log10 EC50 is below a dose."""
        edges, below = self.cumulative()
        return float(np.interp(log_dose, edges, below))

    def hill(self, share: float) -> float:
        """Return a quantile of the slope; on a log scale between the nodes."""
        by_hill = self.nodes.reshape(len(self.grid.axis), len(HILLS)).sum(axis=0)
        middle = np.cumsum(by_hill) - by_hill / 2
        return float(10 ** np.interp(share, middle, np.log10(HILLS)))

    def level(self, log_doses: Array) -> tuple[Array, Array, Array]:
        """Return mean and SD of the curve at some doses, and its covariance with log10 EC50; each of shape (doses,)."""
        share = self.grid.share_at(log_doses)
        return self._moments([(1.0, share[d]) for d in range(len(log_doses))])

    def difference(self, log_high: float) -> tuple[float, float]:
        """Return mean and SD of the effect at a dose: the curve there less its bottom."""
        share = self.grid.share_at(np.array([log_high]))
        mean, sd, _ = self._moments([(0.0, share[0])])
        return float(mean[0]), float(sd[0])

    def top(self) -> tuple[float, float]:
        """Return mean and SD of the upper plateau (bottom + span)."""
        mean, sd, _ = self._moments([(1.0, np.ones(len(self.nodes)))])
        return float(mean[0]), float(sd[0])

    def field_variance(self) -> float:
        """Return the mean of the field variance, where the relative variance is 1."""
        return float((self._weights * self._fits.variance).sum())

    def _moments(self, asked: Sequence[tuple[float, Array]]) -> tuple[Array, Array, Array]:
        """Moments of ``k bottom + span s`` for pairs (k, s): 1 gives the curve, 0 a difference."""
        fits, away, spread = self._fits, self.grid.log_ec50 - self.mean, self._fits.variance
        means, sds, covariances = [], [], []
        for k, s in asked:
            lever = (s - k * fits.spread)[:, None]
            mean = k * fits.middle[:, None, None] + fits.span * lever
            variance = spread * (lever**2 / fits.precision + (k / fits.weight)[:, None, None])
            weighted = self._weights * mean
            first = float(weighted.sum())
            second = float((weighted * mean).sum() + (self._weights * variance).sum())
            means.append(first)
            sds.append(math.sqrt(max(0.0, second - first**2)))
            covariances.append(float((weighted * away).sum()))
        return np.array(means), np.array(sds), np.array(covariances)

    def with_doses(self, share: Array) -> tuple[Array, Array]:
        """Return what is expected of the curve, and its covariance with log10 EC50.

        Parameters
        ----------
        share : ndarray of float, shape (doses, nodes)
            Share of the full effect at some doses (`Grid.share_at`).

        Returns
        -------
        level : ndarray of float, shape (doses,)
            Mean of the curve at each dose.
        covariance : ndarray of float, shape (1 + doses, 1 + doses)
            Of log10 EC50 and the curve at each dose.
        """
        size = 1 + len(share)
        first, second = np.zeros(size), np.zeros((size, size))
        fits, variance = self._fits, self._fits.variance
        # Relative to the mean of the data, so that a large offset does not eat the digits of the spread.
        origin = float(fits.middle[0])
        away = self.grid.log_ec50 - self.mean
        second[0, 0] = float((self.nodes * away**2).sum())
        for r in range(len(fits.weight)):
            weight = self._weights[r]
            nodes = weight.sum(axis=0)
            levers = share - fits.spread[r]
            spans = (weight * fits.span[r]).sum(axis=0)
            squares = (weight * (fits.span[r] ** 2 + variance[r] / fits.precision[r])).sum(axis=0)
            base = float((weight * variance[r]).sum() / fits.weight[r])
            at = float(fits.middle[r]) - origin
            turned = spans * levers
            along = turned.sum(axis=1)
            mass = float(nodes.sum())
            first[1:] += mass * at + along
            second[0, 1:] += (turned * away).sum(axis=1) + at * float((nodes * away).sum())
            # E[(at + span a)(at + span b)] + field variance / weight; einsum sums by itself, without a library.
            steep = np.einsum("in,jn->ij", levers * squares, levers)
            second[1:, 1:] += steep + at * (along[:, None] + along[None, :]) + (mass * at**2 + base)
        second[1:, 0] = second[0, 1:]
        covariance = second - first[:, None] * first[None, :]
        return first[1:] + origin, (covariance + covariance.T) / 2  # as symmetric as it is to the last digit
