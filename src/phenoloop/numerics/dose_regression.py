"""The regression of well means on the share of the full effect, at every node and for every spread between wells.

The model of the fields of one compound, with share ``s`` (`numerics.dose_grid`)::

    y[w, f] = bottom + span s(dose[w]) + b[w] + e[w, f],     b ~ N(0, ratio v[w] sd²),     e ~ N(0, v[w] sd²)

The unit is the well: more fields of a well make ``e`` smaller and never ``b``. Given EC50, hill, ratio and the relative
variances ``v`` (`numerics.level_noise`) it is a linear regression of well means with weights ``1 / (v (ratio + 1/n))``.
Its prior is conjugate (bottom flat, ``span ~ N(0, g sd²)``, ``1/sd²`` for the variance), so bottom, span and sd are
integrated exactly (Gelman et al., Bayesian Data Analysis, 3rd edition, 2013, chapter 14). `g` and `ratio` are mixed
over a few values: how large an effect is, and how much wells differ, is learnt.

Sums are plain sums over some ten doses: no linear algebra library, so the same on every machine to nine digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.dose_grid import Grid

Array = NDArray[np.float64]

RATIOS: Final[Array] = np.array([0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
"""(well SD / field SD)² that are mixed."""
SPANS: Final[Array] = np.array([4.0, 40.0, 400.0, 4000.0])
"""Prior variances of the span, in field variances: effects of 2 to 60 field SDs."""
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
    noise : ndarray of float, shape (wells,)
        Relative variance of fields at the level of each well.
    scatter : float
        Sum of squared deviations of fields from the mean of their well, each over its `noise`, pooled over the plate.
    freedom : float
        Its degrees of freedom.
    """

    log_dose: Array
    n: Array
    mean: Array
    noise: Array
    scatter: float
    freedom: float


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """The regression at every node, for some ratios.

    Attributes
    ----------
    log_evidence : ndarray of float, shape (ratios, spans, nodes)
        Log of the marginal likelihood times the priors of span and node, up to a constant of the data.
    span, precision : ndarray of float, shape (ratios, spans, nodes)
        Mean of the span, and field variance over its variance.
    squares : ndarray of float, shape (ratios, spans, nodes)
        What the regression leaves over, with the scatter of fields.
    freedom : float
        Degrees of freedom of `squares`.
    middle : ndarray of float, shape (ratios,)
        Weighted mean of the data.
    spread : ndarray of float, shape (ratios, nodes)
        Weighted mean of the share at each node: with `middle` the point around which the line turns.
    weight : ndarray of float, shape (ratios,)
        Sum of the weights.
    """

    log_evidence: Array
    span: Array
    precision: Array
    squares: Array
    freedom: float
    middle: Array
    spread: Array
    weight: Array

    @property
    def variance(self) -> Array:
        """Mean of the field variance where the relative variance is 1, shape (ratios, spans, nodes)."""
        found: Array = self.squares / max(1.0, self.freedom - 2)
        return found

    def of(self, ratios: NDArray[np.intp]) -> Fits:
        """Return the fits of some ratios, by their places."""
        return Fits(
            log_evidence=self.log_evidence[ratios],
            span=self.span[ratios],
            precision=self.precision[ratios],
            squares=self.squares[ratios],
            freedom=self.freedom,
            middle=self.middle[ratios],
            spread=self.spread[ratios],
            weight=self.weight[ratios],
        )


def regress(grid: Grid | None, points: Points, ratios: Array = RATIOS) -> Fits:
    """Regress the well means on the share, at every node.

    Parameters
    ----------
    grid : Grid or None
        Nodes; None for data of controls and plateau alone, which no node matters to.
    points : Points
        Data; wells of doses that the grid lacks are an error of the caller.
    ratios : ndarray of float, shape (ratios,)
        (well SD / field SD)².
    """
    weight = 1 / (points.noise * (ratios[:, None] + 1 / points.n))
    total = weight.sum(axis=1)
    middle = (weight * points.mean).sum(axis=1) / total
    away = points.mean - middle[:, None]
    pull = weight * away
    full = np.isposinf(points.log_dose)
    # The share of the full effect is 1 in wells of the plateau, 0 in those without compound.
    ends, pulled = weight[:, full].sum(axis=1)[:, None], pull[:, full].sum(axis=1)[:, None]
    if grid is None:
        log_prior, sx, sxx, sxy = np.zeros(1), ends, ends, pulled
    else:
        log_prior = grid.log_prior
        dosed = points.log_dose[:, None] == grid.log_doses
        # A plain einsum sums by itself, without a linear algebra library.
        there = np.einsum("rw,wd->rd", weight, dosed)
        sx = ends + np.einsum("rd,dn->rn", there, grid.share)
        sxx = ends + np.einsum("rd,dn->rn", there, grid.share_squared)
        sxy = pulled + np.einsum("rd,dn->rn", np.einsum("rw,wd->rd", pull, dosed), grid.share)
    sxx = np.maximum(sxx - sx**2 / total[:, None], 0.0)
    syy = (pull * away).sum(axis=1)
    precision = sxx[:, None] + 1 / SPANS[:, None]
    span = sxy[:, None] / precision
    # A trace of scatter keeps a fit that happens to be exact from being certain.
    trace = points.scatter + 1e-9 * (syy + middle**2) + 1e-300
    # In place from here on: these arrays are large, and fetching memory for them takes longer than the sums.
    squares = sxy[:, None] * span
    np.subtract(syy[:, None, None], squares, out=squares)
    np.maximum(squares, 0.0, out=squares)
    squares += trace[:, None, None]
    freedom = points.freedom + len(points.n) - 1
    constant = 0.5 * (np.log(weight).sum(axis=1)[:, None] - np.log(total)[:, None] - np.log(SPANS))
    log_evidence = np.log(squares)
    log_evidence *= -0.5 * freedom
    log_evidence -= 0.5 * np.log(precision)
    log_evidence += log_prior
    log_evidence += constant[:, :, None]
    return Fits(
        log_evidence=log_evidence,
        span=span,
        precision=precision,
        squares=squares,
        freedom=freedom,
        middle=middle,
        spread=sx / total[:, None],
        weight=total,
    )


def log_sums(logs: Array) -> Array:
    """Return the log of the sum of exponentials over all axes but the first."""
    most = logs.max(axis=(1, 2))
    found: Array = most + np.log(np.exp(logs - most[:, None, None]).sum(axis=(1, 2)))
    return found


def log_evidence(grid: Grid | None, points: Points) -> Array:
    """Return the log of the marginal likelihood of each of `RATIOS`; without a grid, of the controls and plateau alone.

    Shape (ratios,), up to a constant of the data.
    """
    return log_sums(regress(grid, points).log_evidence)


def ratio_weights(controls: Points, compounds: Sequence[tuple[Grid, Points]]) -> Array:
    """Return the posterior of the ratio, shape (ratios,), from the controls and all compounds of a plate.

    Parameters
    ----------
    controls : Points
        Wells without compound and wells of full effect; may be none.
    compounds : sequence of (Grid, Points)
        Each with the controls among its points.
    """
    alone = of_controls(controls)
    return weights_of(alone, [log_evidence(grid, points) - alone for grid, points in compounds])


def of_controls(controls: Points) -> Array:
    """Return `log_evidence` of the wells that all compounds share, shape (ratios,); zeros where there are none."""
    return log_evidence(None, controls) if len(controls.n) else np.zeros(len(RATIOS))


def weights_of(alone: Array, added: Sequence[Array]) -> Array:
    """Return the posterior of the ratio from what the controls say, and what each compound adds to it."""
    said = _LOG_RATIO + alone
    for one in added:
        said = said + one
    weight = np.exp(said - said.max())
    result: Array = weight / weight.sum()
    return result
