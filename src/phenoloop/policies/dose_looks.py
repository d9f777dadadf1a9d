"""Which dose is worth the next field: what each look would take from the variance of the EC50s, one look after another.

The dose at which a field is expected to take most from the variance of log10 EC50 is where the curve, as far as it is
known, says most about the EC50 (locally c-optimal design; Chaloner and Verdinelli, Statistical Science 10 (1995)
273-304). What is on its way shrinks the covariance whatever it will show, so a batch is no repetition of its first
look. Replicate wells of a dose come before more fields of one well by as much as wells differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.dose_layout import DoseLayout
from phenoloop.numerics.rounding import significant, significant_all
from phenoloop.policies.curve_beliefs import CurveBeliefs

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_FEW: Final = 32
"""Numbers that are rounded sooner one by one."""
UNKNOWN: Final = 0.3
"""SD of log10 EC50 above which variance counts no more: a factor of two either way."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a look must be worth.

    Attributes
    ----------
    fields : int
        Of one look, at most.
    precision : float
        SD of log10 EC50 at which a compound is done.
    give_up : float
        Share of a variance that a look must take away.
    """

    fields: int
    precision: float
    give_up: float


@dataclass(frozen=True, slots=True)
class Look:
    """A look at one well.

    Attributes
    ----------
    well, fields : int
        Place in plate order, and how many fields.
    gain : float
        What it takes from the variances of the compounds it serves, each weighted by how well it is known.
    compound : int or None
        Whose dose it is; None for a well that all compounds share.
    place : int
        Which of the places of `CurveBeliefs`.
    before, after : float
        Variance of log10 EC50 of that compound without and with it; 0 for a shared well.
    had : float
        Fields that the well has, counting those on their way.
    """

    well: int
    fields: int
    gain: float
    compound: int | None
    place: int
    before: float
    after: float
    had: float


class Places:
    """Which wells stand at which place of which compound; the bottom and the plateau are shared by all."""

    def __init__(self, layout: DoseLayout, doses: int) -> None:
        self.doses = doses
        self.compounds = len(layout.compounds)
        wells = layout.everyone()
        self.of = np.full(int(wells.max()) + 1, -1)
        """Place of each well, numbered through all compounds; -1 for a well of none."""
        for c, compound in enumerate(layout.compounds):
            self.of[compound.wells] = c * doses + np.searchsorted(compound.grid.log_doses, compound.log_dose)
        self.of[layout.controls] = self.compounds * doses
        self.of[layout.plateau] = self.compounds * doses + 1
        self.wells = [np.flatnonzero(self.of == place) for place in range(self.compounds * doses + 2)]
        """Wells of each place, in plate order."""
        self._ordered = np.flatnonzero(self.of >= 0)

    def first(self, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the first usable well of each place, in plate order; -1 where there is none."""
        found = np.full(len(self.wells), -1)
        some = self._ordered[usable[self._ordered]][::-1]
        found[self.of[some]] = some  # from the last to the first, which stays
        return found


class DoseLooks:
    """The looks that come next, each the best after those before it.

    Parameters
    ----------
    places : Places
        Which well stands where.
    beliefs : CurveBeliefs
        What is believed now.
    worth : Worth
        What a look must be worth.
    n : ndarray of float, shape (wells,)
        Fields that each well has.
    left, pending : ndarray of int, shape (wells,)
        Fields that may still be asked for, and those under way.
    """

    def __init__(
        self, places: Places, beliefs: CurveBeliefs, worth: Worth, n: Array, left: Counts, pending: Counts
    ) -> None:
        self._places, self._worth = places, worth
        self._coming, self._left = n.copy(), left.copy()
        self._covariance = beliefs.covariance.copy()
        self._known = beliefs.known
        self._ratio = beliefs.ratio
        self._noise = beliefs.variance * beliefs.noise
        self._gains = np.zeros((places.compounds, places.doses))
        self._shared_gains = np.zeros((2, places.compounds))
        self._stale = beliefs.known.copy()
        for i in np.flatnonzero(pending):
            self._take_in(int(i), int(pending[i]))
        self._told, self._front = self._fronts()

    def next(self) -> Look | None:
        """Return the best look and count it as on its way; None where no look is worth it."""
        if self._stale.any():
            self._weigh(np.flatnonzero(self._stale))
        single = self._gains.ravel()
        shared = [significant(float(gains.sum())) for gains in self._shared_gains]
        most = max(float(single.max()), *shared)
        if most <= 0:
            return None
        best = [*np.flatnonzero(single == most).tolist(), *(len(single) + end for end in (0, 1) if shared[end] == most)]
        place = min(best, key=lambda p: int(self._front[p]))
        return self._taken(place, most)

    def _taken(self, place: int, gain: float) -> Look:
        well = int(self._front[place])
        fields = int(min(self._worth.fields, self._left[well]))
        compound, dose = divmod(place, self._places.doses)
        own = compound if compound < self._places.compounds else None
        before = 0.0 if own is None else float(self._covariance[own, 0, 0])
        had = float(self._coming[well])
        self._take_in(well, fields)
        self._left[well] -= fields
        self._renew(place)
        after = 0.0 if own is None else float(self._covariance[own, 0, 0])
        dose = dose if own is not None else place - self._places.compounds * self._places.doses
        return Look(well, fields, gain, own, dose, before, after, had)

    # -- what is on its way -----------------------------------------------------------------------------------------

    def _take_in(self, well: int, fields: int) -> None:
        """Take in fields that will come: linear update of the covariance, whatever they will show."""
        place = int(self._places.of[well]) if well < len(self._places.of) else -1
        if place >= 0:
            told = float(_information(self._coming[well], fields, self._ratio))
            shared = place - self._places.compounds * self._places.doses
            if shared < 0:
                compound, at = divmod(place, self._places.doses)
                rows = slice(compound, compound + 1)
            else:
                rows, at = slice(None), self._places.doses + shared
            some = self._covariance[rows]
            row = some[:, 1 + at].copy()
            noise = self._noise[rows, at] / told
            some -= row[:, :, None] * row[:, None, :] / (row[:, 1 + at] + noise)[:, None, None]
            self._stale[rows] = self._known[rows]
        self._coming[well] += fields

    # -- which well of a place --------------------------------------------------------------------------------------

    def _fronts(self) -> tuple[Array, NDArray[np.int64]]:
        """Return for each place what its best well tells, and that well; 0 and -1 where no field is left."""
        places = self._places
        told, front = np.zeros(len(places.wells)), np.full(len(places.wells), -1)
        wells = np.flatnonzero((places.of >= 0) & (self._left[: len(places.of)] > 0))
        if len(wells):
            says = self._says(wells)
            order = np.lexsort((wells, self._coming[wells], -says, places.of[wells]))[::-1]
            told[places.of[wells[order]]] = says[order]  # from the worst to the best, which stays
            front[places.of[wells[order]]] = wells[order]
        return told, front

    def _renew(self, place: int) -> None:
        wells = self._places.wells[place]
        wells = wells[self._left[wells] > 0]
        self._told[place], self._front[place] = 0.0, -1
        if len(wells):
            says = self._says(wells)
            best = np.lexsort((wells, self._coming[wells], -says))[0]
            self._told[place], self._front[place] = says[best], wells[best]
        if place >= self._gains.size:
            self._stale |= self._known

    def _says(self, wells: NDArray[np.int64]) -> Array:
        fields = np.minimum(self._worth.fields, self._left[wells])
        return _rounded(_information(self._coming[wells], fields, self._ratio))

    # -- what a look takes ------------------------------------------------------------------------------------------

    def _weigh(self, rows: NDArray[np.intp]) -> None:
        """Work out what a look at each place takes from the variances of some compounds."""
        self._stale[rows] = False
        doses = self._places.doses
        told = np.concatenate(
            [self._told[:-2].reshape(-1, doses)[rows], np.repeat(self._told[-2:][None], len(rows), axis=0)], axis=1
        )
        covariance = self._covariance[rows]
        variance = covariance[:, 0, 0][:, None]
        possible = (told > 0) & (variance > self._worth.precision**2)
        noise = self._noise[rows] / np.where(told > 0, told, 1.0)
        own = np.diagonal(covariance, axis1=1, axis2=2)[:, 1:]
        spread = own + noise
        taken = covariance[:, 0, 1:] ** 2 / np.where(spread > 0, spread, 1.0)
        # An EC50 known to a factor of two or to a factor of a hundred: both are not known. So a compound without
        # effect, whose variance is the largest and cannot fall, does not come before all others.
        weight = np.minimum(1.0, UNKNOWN**2 / np.where(variance > 0, variance, 1.0))
        gain = np.where(
            possible & (taken >= self._worth.give_up * variance),
            weight * np.minimum(taken, variance - self._worth.precision**2),
            0.0,
        )
        gain = _rounded(gain)
        self._gains[rows] = gain[:, :doses]
        self._shared_gains[:, rows] = gain[:, doses:].T


def _information(n: Array | float, more: Array | int, ratio: float) -> Array:
    """Return what `more` fields add to wells of `n`: precision of the mean, in units of 1 / field variance."""
    have = np.asarray(n, dtype=np.float64)
    # With nothing before, 1 / (ratio + 1/0) is to be 0; written so that nothing is divided by it.
    before = have / (ratio * have + 1)
    after = (have + more) / (ratio * (have + more) + 1)
    found: Array = after - before
    return found


def _rounded(values: Array) -> Array:
    """Return values to nine significant digits; few of them, as after each look, in the way that is quick for few."""
    if values.size > _FEW:
        return significant_all(values)
    return np.array([significant(value) for value in values.ravel().tolist()]).reshape(values.shape)
