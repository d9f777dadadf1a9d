"""Which phenotypes are known by now: places of all fields, centres, how far each well lies from the nearest centre.

The controls are the first centre. A well whose fields do not agree is believed no more than what two of its fields say:
two fields agree when they lie as near to each other as control wells do, or at most half as far as either lies from any
centre. Debris in one field thus never becomes a phenotype, nor does half debris in a well that is odd itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.phenotype_space import PhenotypeSpace, squared
from phenoloop.numerics.rounding import significant, significant_all

Floats = NDArray[np.float64]

CONTROLS: Final = -1
"""Number of the centre that the controls are."""
MOST_LOOKS: Final = 3
"""Fields after which a well whose fields disagree is left alone."""
AGREE: Final = 0.5
"""Two fields agree up to this share of the distance of the nearer one from all that is known. With 1, a field with
debris and a clean one of the same odd well agree in lying far out, and their middle is taken for one more phenotype."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What is believed of one well.

    Attributes
    ----------
    distance : float
        From the nearest centre, as far as it is believed.
    point : ndarray of float64, shape (kept,)
        Where it lies.
    noise : float
        Variance of its point, where that of one field is 1.
    looks : tuple of int
        The fields that say so, in the order in which they came.
    agreed : bool
        Two fields or more say it.
    """

    distance: float
    point: Floats
    noise: float
    looks: tuple[int, ...]
    agreed: bool


class Coverage:
    """Fields and centres in a fixed space.

    Parameters
    ----------
    space : PhenotypeSpace
        Frozen: what has been learnt since does not change what is far.
    wells : int
        Number of wells.
    """

    def __init__(self, space: PhenotypeSpace, wells: int) -> None:
        self.space = space
        self._points = np.zeros((len(space.kept), 64))
        self._squares = np.zeros(64)
        self._away = np.zeros(64)
        self._nearest = np.zeros(64, dtype=np.int64)
        self._well = np.zeros(64, dtype=np.int64)
        self._looks = 0
        self._names: list[str] = []
        self._of: list[list[int]] = [[] for _ in range(wells)]
        self._centres = [CONTROLS]
        self._centre_points = space.home()[:, None]
        self._centre_noise = np.array([1 / space.controls])
        self._single = np.full(wells, -1, dtype=np.int64)
        self._judged: dict[int, Standing] = {}
        self._pairs: dict[tuple[int, int], float] = {}
        self.distance = np.zeros(wells)
        """How far each well lies from the nearest centre, as far as it is believed; 0 without a field."""
        self.looks = np.zeros(wells, dtype=np.int64)
        """Fields of each well that have a place."""
        self.agreed = np.zeros(wells, dtype=bool)
        """In which wells two fields agree."""
        self.points = np.zeros((len(space.kept), wells))
        """Where each well is believed to lie; at the controls without a field."""
        self.squares = np.zeros(wells)
        """Squared lengths of these."""
        self.noise = np.ones(wells)
        """Their variance, where that of one field is 1."""

    def add(self, well: int, name: str, profile: Sequence[float | None]) -> bool:
        """Take in an accepted field; return whether its profile says enough to have a place."""
        row = np.array([[np.nan if value is None else value for value in profile]], dtype=np.float64)
        return self.add_all([well], [name], row)[0]

    def add_all(self, wells: Sequence[int], names: Sequence[str], profiles: Floats) -> list[bool]:
        """Take in several fields at once; see `add`. `profiles` has the shape (fields, features)."""
        points = self.space.points(profiles)
        usable = np.asarray(np.isfinite(points).all(axis=0), dtype=bool)
        first, fresh = self._looks, np.ascontiguousarray(points[:, usable])
        self._grow(fresh.shape[1])
        last = self._looks = first + fresh.shape[1]
        self._points[:, first:last] = fresh
        self._squares[first:last] = squared(fresh)
        to_them = significant_all(self.space.distances(fresh, self._centre_points, 1.0, self._centre_noise))
        self._nearest[first:last] = to_them.argmin(axis=0)
        self._away[first:last] = to_them.min(axis=0)
        touched = [well for well, good in zip(wells, usable.tolist(), strict=True) if good]
        self._names += [name for name, good in zip(names, usable.tolist(), strict=True) if good]
        for look, well in enumerate(touched, start=first):
            self._of[well].append(look)
            self._well[look] = well
            self.looks[well] += 1
            self._single[well] = look if len(self._of[well]) == 1 else -1
        self._judge(np.unique(np.array(touched, dtype=np.int64)))
        return [bool(good) for good in usable.tolist()]

    def add_centre(self, well: int) -> None:
        """From now on what lies where this well lies is known; a well without a field, or known, adds nothing."""
        standing = self.standing(well)
        if standing is None or well in self._centres:
            return
        many, points = self._looks, self._points[:, : self._looks]
        to_it = self.space.distances(points, standing.point, 1.0, standing.noise, self._squares[:many])
        nearer = np.flatnonzero(significant_all(to_it) < self._away[:many])
        self._away[nearer], self._nearest[nearer] = significant_all(to_it[nearer]), len(self._centres)
        self._centres.append(well)
        self._centre_points = np.concatenate([self._centre_points, standing.point[:, None]], axis=1)
        self._centre_noise = np.append(self._centre_noise, standing.noise)
        self._judge(np.unique(self._well[nearer]))

    def standing(self, well: int) -> Standing | None:
        """Return what is believed of a well; None without a field."""
        look = int(self._single[well])
        if look < 0:
            return self._judged.get(well)
        return Standing(float(self._away[look]), self._points[:, look].copy(), 1.0, (look,), agreed=False)

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """In which wells another field is needed to believe what one of them shows."""
        return np.asarray((self.looks > 0) & ~self.agreed & (self.looks < MOST_LOOKS))

    def names(self, well: int) -> list[str]:
        """Return the names of the fields of a well, those that say what is believed of it first."""
        standing = self.standing(well)
        saying = () if standing is None else standing.looks
        rest = [look for look in self._of[well] if look not in saying]
        return [self._names[look] for look in (*saying, *rest)]

    def nearest(self, well: int) -> int:
        """Return the well that is the nearest centre to another one; `CONTROLS` for the controls."""
        standing = self.standing(well)
        return CONTROLS if standing is None else self._centres[int(self._nearest[standing.looks[0]])]

    def apart(self, well: int, other: int | None = None, most: int = 2) -> list[tuple[str, bool]]:
        """Return the features in which a well differs most from another one, and whether they are higher.

        From its nearest centre where no other well is named.
        """
        standing = self.standing(well)
        if standing is None:
            return []
        centre = self._centre_points[:, int(self._nearest[standing.looks[0]])]
        away = standing.point - (centre if other is None else self.points[:, other])
        size = np.abs(away)
        # rounding keeps the order, so that only those need be rounded which may come first
        first = np.flatnonzero(size >= np.sort(size)[-most:][0] * (1 - 1e-8)).tolist()
        order = sorted(first, key=lambda k: (-significant(float(size[k])), k))[:most]
        return [(self.space.names[k], bool(away[k] > 0)) for k in order if away[k] != 0]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _grow(self, more: int) -> None:
        room = self._points.shape[1]
        if self._looks + more <= room:
            return
        size = max(2 * room, self._looks + more)
        grown = np.zeros((self._points.shape[0], size))
        grown[:, : self._looks] = self._points[:, : self._looks]
        self._points = grown
        more_floats, more_numbers = np.zeros(size - room), np.zeros(size - room, dtype=np.int64)
        self._squares = np.concatenate([self._squares, more_floats])
        self._away = np.concatenate([self._away, more_floats])
        self._nearest = np.concatenate([self._nearest, more_numbers])
        self._well = np.concatenate([self._well, more_numbers])

    def _judge(self, wells: NDArray[np.int64]) -> None:
        """Work out anew what is believed of some wells that have fields."""
        single = wells[self.looks[wells] == 1]
        looks = self._single[single]
        self.distance[single] = self._away[looks]
        self.points[:, single], self.squares[single] = self._points[:, looks], self._squares[looks]
        for well in wells[self.looks[wells] > 1].tolist():
            found = self._judged[well] = self._agreement(self._of[well])
            self.distance[well], self.agreed[well] = found.distance, found.agreed
            self.points[:, well], self.noise[well] = found.point, found.noise
            self.squares[well] = float((found.point**2).sum())

    def _apart(self, a: int, b: int) -> float:
        """Return the distance of two fields; it never changes, and costs more than to remember it."""
        if (a, b) not in self._pairs:
            apart = self.space.distances(self._points[:, [a]], self._points[:, b], 1.0, 1.0)
            self._pairs[a, b] = significant(float(apart[0]))
        return self._pairs[a, b]

    def _agreement(self, looks: Sequence[int]) -> Standing:
        """Return what the two fields say that agree and lie furthest out; else the second furthest field."""
        best: tuple[float, int, int] | None = None
        for k, a in enumerate(looks):
            for b in looks[k + 1 :]:
                out = float(min(self._away[a], self._away[b]))
                near = self._apart(a, b) <= max(AGREE * out, self.space.alike or 0.0)
                if near and (best is None or out > best[0]):
                    best = (out, a, b)
        if best is not None:
            out, a, b = best
            middle = (self._points[:, a] + self._points[:, b]) / 2
            return Standing(out, middle, self.space.noise(2), (a, b), agreed=True)
        second = sorted(looks, key=lambda look: (-self._away[look], look))[1]
        # After so many fields that agree in nothing there is nothing to be believed.
        out = float(self._away[second]) if len(looks) < MOST_LOOKS else 0.0
        return Standing(out, self._points[:, second].copy(), 1.0, (second,), agreed=False)
