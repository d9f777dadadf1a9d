"""What is believed of every curve of a plate, brought up to date a few curves at each tell.

All curves share the spread of wells and fields and the level of the controls, so one field moves them all a little: its
own curve much, the others by ever less. On a plate of many compounds, bringing up to date all of them for every
decision would keep the microscope waiting. So a tell brings up to date its own curve and the `OTHERS` whose turn it is;
with no more curves than that on the plate, all are. Nothing here depends on when or how often the policy was asked.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.dose_curve import Belief
from phenoloop.numerics.dose_layout import DosedFields, DoseLayout
from phenoloop.numerics.dose_regression import RATIOS, Fits, Points, log_sums, of_controls, regress, weights_of
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

OTHERS: Final = 3
"""Curves that a tell brings up to date beside its own."""


class CurveBeliefs:
    """Mean and covariance of log10 EC50 and of the curve at each dose, for every compound. Only `tell` changes it.

    Parameters
    ----------
    layout : DoseLayout
        The compounds.

    Attributes
    ----------
    known : ndarray of bool, shape (compounds,)
        Whether it has data.
    mean, sd : ndarray of float, shape (compounds,)
        Of log10 EC50.
    covariance : ndarray of float, shape (compounds, 1 + places, 1 + places)
        Of log10 EC50 and the level at each place. Places are the doses of the compound, as many as the compound with
        the most has (those that it lacks are zero), then the bottom and the plateau.
    noise : ndarray of float, shape (compounds, places)
        Relative variance of fields at the level of each place.
    ratio, variance : float
        Mean of (well SD / field SD)², and of the field variance where the relative variance is 1.
    """

    def __init__(self, layout: DoseLayout) -> None:
        self._layout = layout
        count = len(layout.compounds)
        self.doses = max(len(one.grid.log_doses) for one in layout.compounds)
        """Doses of the compound that has the most."""
        places = self.doses + 2
        self._shares = [one.grid.share_at(np.append(one.grid.log_doses, [-np.inf, np.inf])) for one in layout.compounds]
        self._own = {int(well): c for c, one in enumerate(layout.compounds) for well in one.wells}
        self._shared = {int(well) for group in (layout.controls, layout.plateau) for well in group}
        self._added = np.zeros((count, len(RATIOS)))
        self._variances = np.zeros(count)
        self._turn = 0
        self.known: NDArray[np.bool_] = np.zeros(count, dtype=bool)
        self.mean: Array = np.zeros(count)
        self.sd: Array = np.zeros(count)
        self.covariance: Array = np.zeros((count, 1 + places, 1 + places))
        self.noise: Array = np.ones((count, places))
        self.ratio = 0.0
        self.variance = 1.0

    def tell(self, well: int, sums: WellSums) -> None:
        """Take in that a well has new fields.

        Parameters
        ----------
        well : int
            In plate order.
        sums : WellSums
            Of all wells, the new fields among them.
        """
        own = self._own.get(well)
        if own is None and well not in self._shared:
            return
        data = DosedFields(self._layout, sums)
        if own is not None:
            self.known[own] = True
        alone = of_controls(data.points(None))
        fresh: list[tuple[int, Points, Fits]] = []
        for c in self._next(own):
            compound = self._layout.compounds[c]
            points = data.points(compound)
            fits = regress(compound.grid, points)
            self._added[c] = log_sums(fits.log_evidence) - alone
            fresh.append((c, points, fits))
        if not fresh:
            return
        ratios = weights_of(alone, list(self._added[self.known]))
        for c, points, fits in fresh:
            belief = Belief(self._layout.compounds[c].grid, points, ratios, fits)
            self._keep(c, belief, data)
        self.ratio = float((ratios * RATIOS).sum())
        self.variance = float(self._variances[self.known].mean())

    def _next(self, own: int | None) -> list[int]:
        """Return the curve that was told of, and those whose turn it is."""
        others = [c for c in np.flatnonzero(self.known).tolist() if c != own]
        later = [c for c in others if c >= self._turn] + [c for c in others if c < self._turn]
        if own is None:
            chosen = later[: OTHERS + 1]
        else:
            later = later[:OTHERS]
            chosen = [own, *later]
        if later:
            self._turn = chosen[-1] + 1
        return chosen

    def _keep(self, c: int, belief: Belief, data: DosedFields) -> None:
        level, covariance = belief.with_doses(self._shares[c])
        doses = len(level) - 2
        rows = np.array([*range(doses), self.doses, self.doses + 1])
        self.noise[c, rows] = data.noise.at(level)
        rows = np.append(0, 1 + rows)
        self.covariance[c, rows[:, None], rows] = covariance
        self.mean[c], self.sd[c], self._variances[c] = belief.mean, belief.sd, belief.field_variance()
