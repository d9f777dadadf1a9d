"""Which wells hold which compound at which dose, read off the plate map; and their fields as points of a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Setup
from phenoloop.numerics.dose_grid import Grid
from phenoloop.numerics.dose_regression import Points
from phenoloop.numerics.level_noise import LevelNoise, level_noise
from phenoloop.numerics.well_sums import WellSums

LEAST_DOSES = 3
"""Distinct doses below which a compound has no curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Compound:
    """One compound of the plate.

    Attributes
    ----------
    name : str
        From the plate map; ``"all"`` where no column says which compound it is.
    wells : ndarray of int
        Its wells, as places in plate order.
    log_dose : ndarray of float
        log10 of the dose of each.
    grid : Grid
        Nodes of its EC50 and slope.
    """

    name: str
    wells: NDArray[np.intp]
    log_dose: NDArray[np.float64]
    grid: Grid


@dataclass(frozen=True, slots=True, eq=False)
class DoseLayout:
    """The compounds, the wells without any, and the wells that take no part.

    Attributes
    ----------
    compounds : tuple of Compound
        By name.
    controls : ndarray of int
        Wells without compound: those that the question names, or all of dose 0 where it names none.
    plateau : ndarray of int
        Wells that show the full effect of every compound; empty where the question names none.
    left_out : tuple of str
        Wells that are neither: no dose, or a compound of fewer than three doses.
    holds : ndarray of int
        What each well of `everyone` holds, numbered from 0: replicate wells share a number.
    """

    compounds: tuple[Compound, ...]
    controls: NDArray[np.intp]
    plateau: NDArray[np.intp]
    left_out: tuple[str, ...]
    holds: NDArray[np.intp]

    @staticmethod
    def of(setup: Setup, along: str, by: str | None, where: str = "question") -> DoseLayout:
        """Read the layout off the plate map.

        Parameters
        ----------
        setup : Setup
            Wells, their rows of the map, and controls where the question names them.
        along : str
            Column of the dose.
        by : str or None
            Column of the compound.
        where : str
            Block of the protocol that an error points at.

        Raises
        ------
        ProtocolError
            If a column is absent, a dose is no number of 0 or more, or no compound has three doses.
        """
        columns = dict.fromkeys(name for row in setup.properties for name in row)
        known = f"it has {', '.join(columns)}" if columns else "there is none: give the plate a `map`"
        for key, column in (("along", along), ("by", by)):
            if column is not None and column not in columns:
                message = f"the plate map has no column {column!r}; {known}"
                raise ProtocolError(Problem(where=f"{where}.{key}", message=message))
        named = set(setup.controls)
        full = set(setup.plateau)
        if both := sorted(named & full):
            message = f"well {both[0]} is named as a control and as one of full effect; it can be one of both"
            raise ProtocolError(Problem(where=f"{where}.plateau", message=message))
        controls, doses = [], np.full(len(setup.wells), math.nan)
        members: dict[str, list[int]] = {}
        for i, (well, row) in enumerate(zip(setup.wells, setup.properties, strict=True)):
            dose = row.get(along)
            if isinstance(dose, bool | str) and dose != "":
                message = f"column {along!r} of the plate map holds {dose!r} in well {well}, which is no dose"
                raise ProtocolError(Problem(where=f"{where}.along", message=message))
            value = 0.0 if dose is None or dose == "" or dose != dose else float(dose)
            if value < 0 or math.isinf(value):
                message = f"the dose of well {well} is {value:g}; a dose is 0 or more (a logarithm must be turned back)"
                raise ProtocolError(Problem(where=f"{where}.along", message=message))
            if well in full:
                continue
            if well in named or (not named and value == 0):
                controls.append(i)
            elif value > 0 and (by is None or row.get(by) not in (None, "")):
                doses[i] = math.log10(value)
                members.setdefault("all" if by is None else str(row[by]), []).append(i)
        compounds = []
        for name, wells in sorted(members.items()):
            own = doses[wells]
            if len(distinct := np.unique(own)) >= LEAST_DOSES:
                compounds.append(Compound(name, np.array(wells, dtype=np.intp), own, Grid(distinct)))
        if not compounds:
            message = f"no compound has {LEAST_DOSES} doses or more in column {along!r}, so there is no curve to fit"
            raise ProtocolError(Problem(where=f"{where}.along", message=message))
        plateau = [i for i, well in enumerate(setup.wells) if well in full]
        taken = {*controls, *plateau, *(int(i) for compound in compounds for i in compound.wells)}
        left_out = tuple(well for i, well in enumerate(setup.wells) if i not in taken)
        return DoseLayout(
            tuple(compounds),
            np.array(controls, dtype=np.intp),
            np.array(plateau, dtype=np.intp),
            left_out,
            _holds(len(controls), len(plateau), compounds),
        )

    def everyone(self) -> NDArray[np.intp]:
        """Return the wells that take part, compounds last."""
        return np.concatenate([self.controls, self.plateau, *(compound.wells for compound in self.compounds)])


def _holds(controls: int, plateau: int, compounds: Sequence[Compound]) -> NDArray[np.intp]:
    """Number what wells hold: 0 no compound, 1 full effect, then every dose of every compound."""
    numbers, following = [np.repeat(np.array([0, 1], dtype=np.intp), [controls, plateau])], 2
    for one in compounds:
        numbers.append(following + np.searchsorted(one.grid.log_doses, one.log_dose))
        following += len(one.grid.log_doses)
    return np.concatenate(numbers)


class DosedFields:
    """The fields of a plate, ready to be points of its curves.

    Parameters
    ----------
    layout : DoseLayout
        Which wells hold what.
    sums : WellSums
        Of all wells, in plate order.

    Attributes
    ----------
    noise : LevelNoise
        How much more wells and fields scatter at high levels, learnt from all wells that take part.
    """

    def __init__(self, layout: DoseLayout, sums: WellSums) -> None:
        everyone = layout.everyone()
        taking_part = sums.at(everyone)
        self.noise: LevelNoise = level_noise(taking_part, layout.holds)
        self._layout, self._sums = layout, sums
        self._relative = np.ones(len(sums.n))
        seen = everyone[taking_part.n > 0]
        self._relative[seen] = self.noise.at(sums.mean[seen])
        self._scatter = math.fsum(sums.scatter[everyone] / self._relative[everyone])
        self._freedom = float(taking_part.freedom)

    def known(self, compound: Compound) -> bool:
        """Return whether a compound has a well with data."""
        return bool((self._sums.n[compound.wells] > 0).any())

    def points(self, compound: Compound | None) -> Points:
        """Return the data of a compound, the controls and the plateau; without the compound for None.

        The scatter of fields inside wells is pooled over all wells of the layout.
        """
        layout, sums = self._layout, self._sums
        shared = np.concatenate([layout.controls, layout.plateau])
        ends = np.repeat([-math.inf, math.inf], [len(layout.controls), len(layout.plateau)])
        wells = shared if compound is None else np.concatenate([shared, compound.wells])
        log_dose = ends if compound is None else np.concatenate([ends, compound.log_dose])
        some = sums.n[wells] > 0
        seen = wells[some]
        return Points(log_dose[some], sums.n[seen], sums.mean[seen], self._relative[seen], self._scatter, self._freedom)

    def curves(self) -> list[tuple[Grid, Points]]:
        """Return grid and points of every compound that has a well with data."""
        return [(one.grid, self.points(one)) for one in self._layout.compounds if self.known(one)]
