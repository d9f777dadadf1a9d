"""What is believed of a dose-response curve: a posterior over EC50 and slope on a grid, all else in closed form.

The model of the fields of one compound, with share ``s(x) = 1 / (1 + (EC50 / x)^hill)`` (0 without compound)::

    y[w, f] = bottom + span s(dose[w]) + b[w] + e[w, f],     b ~ N(0, ratio sd²),     e ~ N(0, sd²)

The unit is the well: more fields of a well make ``e`` smaller and never ``b``. Given EC50, hill and ratio it is a
linear regression of well means with weights ``1 / (ratio + 1/n)``. Its prior is conjugate (bottom flat, ``span ~ N(0, g
sd²)``, ``1/sd²`` for the variance), so bottom, span and sd are integrated exactly (Gelman et al., Bayesian Data
Analysis, 3rd edition, 2013, chapter 14). `g` and `ratio` are mixed over a few values: how large an effect is, and how
much wells differ, is learnt. The ratio is shared by all compounds of a plate; each compound's own EC50 is log-uniform,
from a decade and a half below its lowest dose to as far above its highest.

Sums are plain sums over some ten doses: no linear algebra library, so the same on every machine to nine digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BEYOND: Final = 1.5
"""Decades beyond the doses in which an EC50 is looked for."""
STEP: Final = 0.08
"""Distance of the nodes in log10 EC50."""
HILLS: Final[Array] = np.array([0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0])
RATIOS: Final[Array] = np.array([0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
"""(well SD / field SD)² that are mixed."""
SPANS: Final[Array] = np.array([4.0, 40.0, 400.0, 4000.0])
"""Prior variances of the span, in field variances: effects of 2 to 60 field SDs."""
# Slopes near 1 are the rule (one site, no cooperation); a factor of two either way is common.
_LOG_HILL: Final[Array] = -0.5 * (np.log10(HILLS) / 0.3) ** 2
# Wells that differ by about 0.3 field SDs are the rule; tails so heavy that a wrong guess costs little.
_LOG_RATIO: Final[Array] = -np.log(1 + np.log(np.maximum(RATIOS, 0.003) / 0.09) ** 2)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The wells of one compound, and the controls, that have data.

    Attributes
    ----------
    log_dose : ndarray of float, shape (wells,)
        log10 of the dose; ``-inf`` for wells without compound, ``inf`` for wells that show the full effect.
    n, mean : ndarray of float, shape (wells,)
        Fields and their mean.
    scatter : float
        Sum of squared deviations of fields from the mean of their well, pooled over the plate.
    freedom : float
        Its degrees of freedom.
    """

    log_dose: Array
    n: Array
    mean: Array
    scatter: float
    freedom: float


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


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The regression at every node, for one ratio.

    Attributes
    ----------
    log_evidence : ndarray of float, shape (spans, nodes)
        Log of the marginal likelihood times the priors of span and node, up to a constant of the data.
    span, span_scale : ndarray of float, shape (spans, nodes)
        Mean of the span, and its variance in units of `variance`.
    variance : ndarray of float, shape (spans, nodes)
        Mean of the field variance.
    middle, spread : float, ndarray of float
        Weighted mean of the data, and of the share at each node: the point around which the line turns.
    weight : float
        Sum of the weights.
    """

    log_evidence: Array
    span: Array
    span_scale: Array
    variance: Array
    middle: float
    spread: Array
    weight: float


def fit(grid: Grid | None, points: Points, ratio: float) -> Fit:
    """Regress the well means on the share, at every node.

    Parameters
    ----------
    grid : Grid or None
        Nodes; None for data of controls and plateau alone, which no node matters to.
    points : Points
        Data; wells of doses that the grid lacks are an error of the caller.
    ratio : float
        (well SD / field SD)².
    """
    weight = 1 / (ratio + 1 / points.n)
    total = float(weight.sum())
    middle = float((weight * points.mean).sum()) / total
    away = points.mean - middle
    log_prior = np.zeros(1) if grid is None else grid.log_prior
    full = np.isposinf(points.log_dose)
    w, wy = float(weight[full].sum()), float((weight * away)[full].sum())
    sx, sxx, sxy = (np.full(len(log_prior), x) for x in (w, w, wy))
    if grid is not None:
        own = np.isfinite(points.log_dose)
        dose = np.searchsorted(grid.log_doses, points.log_dose[own])
        at_dose = np.bincount(dose, weights=weight[own], minlength=len(grid.log_doses))[:, None]
        sx += (at_dose * grid.share).sum(axis=0)
        sxx += (at_dose * grid.share_squared).sum(axis=0)
        pulled = np.bincount(dose, weights=(weight * away)[own], minlength=len(grid.log_doses))[:, None]
        sxy += (pulled * grid.share).sum(axis=0)
    sxx = np.maximum(sxx - sx**2 / total, 0.0)
    syy = float((weight * away**2).sum())
    precision = sxx + 1 / SPANS[:, None]
    # A trace of scatter keeps a fit that happens to be exact from being certain.
    squares = points.scatter + np.maximum(syy - sxy**2 / precision, 0.0) + 1e-9 * (syy + middle**2) + 1e-300
    freedom = points.freedom + len(points.n) - 1
    log_evidence = (
        log_prior
        - 0.5 * np.log(SPANS)[:, None]
        - 0.5 * np.log(precision)
        - 0.5 * freedom * np.log(squares)
        + 0.5 * float(np.log(weight).sum())
        - 0.5 * math.log(total)
    )
    return Fit(
        log_evidence=log_evidence,
        span=sxy / precision,
        span_scale=1 / precision,
        variance=squares / max(1.0, freedom - 2),
        middle=middle,
        spread=sx / total,
        weight=total,
    )


def log_evidence(grid: Grid | None, points: Points) -> Array:
    """Return the log of the marginal likelihood of each of `RATIOS`; without a grid, of the controls and plateau alone.

    Shape (ratios,), up to a constant of the data.
    """
    return np.array([_log_sum(fit(grid, points, float(ratio)).log_evidence) for ratio in RATIOS])


def ratio_weights(controls: Points, compounds: Sequence[tuple[Grid, Points]]) -> Array:
    """Return the posterior of the ratio, shape (ratios,), from the controls and all compounds of a plate.

    Parameters
    ----------
    controls : Points
        Wells without compound and wells of full effect; may be none.
    compounds : sequence of (Grid, Points)
        Each with the controls among its points.
    """
    alone = log_evidence(None, controls) if len(controls.n) else np.zeros(len(RATIOS))
    said = _LOG_RATIO + alone
    for grid, points in compounds:
        said = said + log_evidence(grid, points) - alone
    weight = np.exp(said - said.max())
    result: Array = weight / weight.sum()
    return result


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

    Attributes
    ----------
    mean, sd : float
        Of log10 EC50.
    """

    def __init__(self, grid: Grid, points: Points, ratios: Array) -> None:
        self.grid = grid
        self._fits: list[Fit] = []
        logs = []
        for ratio, share in zip(RATIOS, ratios, strict=True):
            if share < 0.03 * float(ratios.max()):
                continue
            one = fit(grid, points, float(ratio))
            logs.append(one.log_evidence - _log_sum(one.log_evidence) + math.log(share))
            self._fits.append(one)
        most = max(float(log.max()) for log in logs)
        raw = [np.exp(log - most) for log in logs]
        total = math.fsum(float(part.sum()) for part in raw)
        self._weights = [part / total for part in raw]
        nodes = sum(part.sum(axis=0) for part in self._weights)
        self.nodes: Array = np.asarray(nodes, dtype=np.float64)
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
        """Return the mean of the field variance."""
        return math.fsum(float((w * f.variance).sum()) for w, f in zip(self._weights, self._fits, strict=True))

    def _moments(self, asked: Sequence[tuple[float, Array]]) -> tuple[Array, Array, Array]:
        """Moments of ``k bottom + span s`` for pairs (k, s): 1 gives the curve, 0 a difference."""
        means, sds, covariances = [], [], []
        for k, s in asked:
            first = second = cross = 0.0
            for weight, one in zip(self._weights, self._fits, strict=True):
                lever = s - k * one.spread
                mean = k * one.middle + one.span * lever
                variance = one.variance * (lever**2 * one.span_scale + k / one.weight)
                first += float((weight * mean).sum())
                second += float((weight * (mean**2 + variance)).sum())
                cross += float((weight * mean * (self.grid.log_ec50 - self.mean)).sum())
            means.append(first)
            sds.append(math.sqrt(max(0.0, second - first**2)))
            covariances.append(cross)
        return np.array(means), np.array(sds), np.array(covariances)

    def covariance(self, log_doses: Array) -> Array:
        """Return the covariance matrix of (log10 EC50, curve at each dose), shape (1 + doses, 1 + doses)."""
        share = self.grid.share_at(log_doses)
        size = 1 + len(log_doses)
        first, second = np.zeros(size), np.zeros((size, size))
        # Relative to the mean of the data, so that a large offset does not eat the digits of the spread.
        origin = self._fits[0].middle
        away = self.grid.log_ec50 - self.mean
        for weight, one in zip(self._weights, self._fits, strict=True):
            nodes = weight.sum(axis=0)
            levers = share - one.spread
            spans = (weight * one.span).sum(axis=0)
            squares = (weight * (one.span**2 + one.variance * one.span_scale)).sum(axis=0)
            base = float((weight * one.variance).sum()) / one.weight
            at = one.middle - origin
            level = nodes * at + spans * levers
            first[1:] += level.sum(axis=1)
            second[0, 0] += float((nodes * away**2).sum())
            second[0, 1:] += (level * away).sum(axis=1)
            for i in range(len(log_doses)):
                # E[(at + span a)(at + span b)] + field variance / weight
                steep = (at * spans + levers[i] * squares) * levers[i:]
                flat = float((nodes * at**2 + spans * at * levers[i]).sum())
                second[1 + i, 1 + i :] += steep.sum(axis=1) + flat + base
        upper = np.triu(second - first[:, None] * first[None, :])
        result: Array = upper + np.triu(upper, 1).T
        return result


def _log_sum(logs: Array) -> float:
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).sum()))
