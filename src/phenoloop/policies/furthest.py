"""Which wells lie furthest from what is known: compared roughly with all, decided exactly among few.

Sums taken in the order that is fastest differ in their last digits from machine to machine. They only say which wells
cannot be the furthest (`phenoloop.numerics.phenotype_space.ROUGHLY`); what is chosen, and the distance that is told,
come from exact ones. That keeps an ask on the largest plate to a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.phenotype_space import ROUGHLY
from phenoloop.numerics.rounding import significant_all
from phenoloop.policies.coverage import Coverage

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOTHING: Final = 0.01
"""What lies nearer to what is known counts as the same, also where it is not known how far controls lie apart: there
sums taken in another order may differ by more than `ROUGHLY`."""


class Far(NamedTuple):
    """A well, how far it lies from all that is known or under way, and what lies nearest.

    `beside` is a well that is under way, or was chosen before; None where a centre of the coverage lies nearer.
    """

    well: int
    distance: float
    beside: int | None


def furthest(coverage: Coverage, possible: Bools, under_way: Sequence[int], most: int) -> list[Far]:
    """Return wells, furthest first; each counts as known for those after it, as do those under way.

    Wells in which two fields agree come before those that have still to be confirmed: what waits to be looked at
    closely is not to be confirmed in other wells meanwhile.

    Parameters
    ----------
    coverage : Coverage
        Where wells lie.
    possible : ndarray of bool, shape (wells,)
        Wells that may be proposed.
    under_way : sequence of int
        Wells that have visits pending.
    most : int
        Wells at most; fewer when no other lies further than `alike` (or `NOTHING`) from what is known.
    """
    line = _Line(coverage, possible, under_way)
    while len(line.chosen) < most and (well := line.next()) is not None:
        line.choose(well)
    return line.told()


class _Line:
    """Wells that may lie far from what is known, and those that were chosen among them."""

    def __init__(self, coverage: Coverage, possible: Bools, under_way: Sequence[int]) -> None:
        self._coverage, self._space = coverage, coverage.space
        self._alike = coverage.space.alike or NOTHING
        self._unready = coverage.undecided
        self._wells = np.arange(len(possible))
        self._points, self._squares, self._noise = coverage.points, coverage.squares, coverage.noise
        self._away = np.where(possible, coverage.distance, -np.inf)  # roughly
        self._known: list[int] = []
        self.chosen: list[int] = []
        for well in under_way:
            self._add(well)

    def next(self) -> int | None:
        """Return the well whose turn it is; None when none lies far."""
        while True:
            far = self._away > self._alike * (1 - ROUGHLY)
            ready = far & ~self._unready
            away = np.where(ready if ready.any() else far, self._away, -np.inf)
            top = float(away.max(initial=-np.inf))
            if top == -np.inf:
                return None
            among = np.flatnonzero(away >= top * (1 - 2 * ROUGHLY))
            if len(among) > 1 or top <= self._alike * (1 + ROUGHLY):
                wells = self._wells[among]
                exact = self._exactly(wells, np.full(len(among), len(self._known))).min(axis=0, initial=np.inf)
                exact = np.minimum(exact, self._coverage.distance[wells])
                if exact.max() <= self._alike:
                    self._away[among] = -np.inf
                    continue
                among = among[exact == exact.max()]
            return int(self._wells[among[0]])

    def choose(self, well: int) -> None:
        """Take a well, and count its place as known."""
        self._away[np.searchsorted(self._wells, well)] = -np.inf
        self._add(well)
        self.chosen.append(well)

    def told(self) -> list[Far]:
        """Return the chosen wells, as they lay when they were chosen."""
        if not self.chosen:
            return []
        before = len(self._known) - len(self.chosen)
        away = self._exactly(np.array(self.chosen), before + np.arange(len(self.chosen)))
        from_centres = self._coverage.distance[self.chosen]
        nearest = away.argmin(axis=0).tolist() if len(away) else [0] * len(self.chosen)
        told = []
        for k, well in enumerate(self.chosen):
            beside = bool(len(away)) and away[nearest[k], k] < from_centres[k]
            distance = float(away[nearest[k], k]) if beside else float(from_centres[k])
            told.append(Far(well, distance, self._known[nearest[k]] if beside else None))
        return told

    def _add(self, well: int) -> None:
        if not self._coverage.looks[well]:
            return  # it has no place
        self._known.append(well)
        self._shrink()
        point, noise = self._coverage.points[:, well], float(self._coverage.noise[well])
        away = self._space.roughly(self._points, point, self._noise, noise, self._squares)
        np.minimum(self._away, away, out=self._away)

    def _exactly(self, wells: NDArray[np.int64], known: NDArray[np.int64]) -> Floats:
        """Return how far each of some wells lies from the first so many that are known, rounded, shape (known, n).

        Infinite for those that come later.
        """
        coverage, most = self._coverage, np.array(self._known, dtype=np.int64)
        away = self._space.distances(
            np.take(coverage.points, wells, axis=1),
            np.take(coverage.points, most, axis=1),
            coverage.noise[wells],
            coverage.noise[most],
        )
        away[np.arange(len(most))[:, None] >= known] = np.inf
        return significant_all(away)

    def _shrink(self) -> None:
        """Forget the wells that are out, once they are so many that it is worth copying the others."""
        keep = np.flatnonzero(self._away > self._alike * (1 - ROUGHLY))
        if 2 * len(keep) > len(self._wells):
            return
        self._wells, self._unready, self._away = self._wells[keep], self._unready[keep], self._away[keep]
        self._squares, self._noise = self._squares[keep], self._noise[keep]
        self._points = np.take(self._points, keep, axis=1)  # by an index it would come out turned, and sum slowly
