"""The wishes of the policy `novelty`, rule by rule: which look a well needs, in which order, and why, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Proposal, Setup, Why
from phenoloop.numerics.rounding import significant, significant_all
from phenoloop.policies.coverage import CONTROLS, Coverage, Standing

Counts = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAIN: Final = "main"
_CONTROL_SCORE: Final = 3e6
_LOOK_SCORE: Final = 2e6
_CHUNK: Final = 96
"""Wells brought up to date at a time."""
_CLOSE_SCORE: Final = 1e6
"""Above every distance."""


def first_looks(k: int, setup: Setup, is_control: Bools, seen: Counts, target: Counts, free: Bools) -> list[Proposal]:
    """Return the first `k` wishes of the first pass.

    Controls that were never seen come first; further fields of controls are spread over the looks at all other wells,
    so that drift does not look like a phenotype.

    Parameters
    ----------
    k : int
        Proposals at most.
    setup : Setup
        Wells.
    is_control, free : ndarray of bool, shape (wells,)
        Controls; wells that may be asked for.
    seen, target : ndarray of int64, shape (wells,)
        Fields that have a profile, and that are wanted.
    """
    short = free & (seen < target)
    new = np.flatnonzero(short & is_control & (seen == 0))
    wells = np.flatnonzero(short & ~is_control)
    more = np.flatnonzero(short & is_control & (seen > 0))
    more = more[np.lexsort((more, seen[more]))]
    # Places in one line: the wells at 0, 1, 2 ..., the controls at even distances between them.
    step = max(1.0, len(wells) / max(1, len(more)))
    place = np.concatenate([np.arange(len(wells)), (np.arange(len(more)) + 1) * step - 0.5])
    rest = np.concatenate([wells, more])[np.argsort(place, kind="stable")]
    line = [int(i) for i in np.concatenate([new, rest])[: k + 1]]
    instead = setup.wells[line[k]] if len(line) > k else None
    return [_first_look(setup, i, is_control[i], int(seen[i]), int(target[i]), instead) for i in line[:k]]


def _first_look(setup: Setup, i: int, control: bool, have: int, most: int, instead: str | None) -> Proposal:
    if not control:
        why = Why(rule="first look", text="nothing is known of it yet", numbers={"fields": 0.0}, instead=instead)
        return Proposal(well=setup.wells[i], fields=1, score=_LOOK_SCORE, why=why)
    text = f"control with {have} of {most} fields: it is what all others are compared with"
    numbers = {"fields": float(have), "target": float(most)}
    why = Why(rule="controls first", text=text, numbers=numbers, instead=instead)
    return Proposal(well=setup.wells[i], fields=1, score=_LOOK_SCORE if have else _CONTROL_SCORE, why=why)


def furthest(coverage: Coverage, possible: Bools, under_way: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Yield wells and distances, furthest first; each counts as known for those after it, as do those under way.

    Wells in which two fields agree come before those that have still to be confirmed: what waits to be looked at
    closely is not to be confirmed in other wells meanwhile. Distances only become smaller as more is known, so each is
    brought up to date when its turn comes (lazy evaluation: Minoux 1978, doi 10.1007/BFb0006528).

    Parameters
    ----------
    coverage : Coverage
        Where wells lie.
    possible : ndarray of bool, shape (wells,)
        Wells that may be proposed.
    under_way : sequence of int
        Wells that have visits pending.
    """
    alike = coverage.space.alike or 0.0
    line = np.flatnonzero(possible & (coverage.distance > alike))
    unready = coverage.undecided[line]
    order = np.lexsort((line, -coverage.distance[line], unready))
    line, unready = line[order], unready[order]
    known = _Near(coverage, alike)
    for i in under_way:
        known.add(coverage.standing(i))
    waiting = [(bool(u), -float(d), int(i)) for u, d, i in zip(unready, coverage.distance[line], line, strict=True)]
    loaded = 0
    while True:
        best = known.best()
        # What has not been brought up to date can only be nearer than it seems.
        while loaded < len(waiting) and (best is None or waiting[loaded] < best):
            known.load(line[loaded : loaded + _CHUNK])
            loaded += _CHUNK
            best = known.best()
        if best is None:
            return
        yield best[2], -best[1]
        known.take(best[2])


class _Near:
    """Wells brought up to date against all that is known or chosen; those that lie near drop out."""

    def __init__(self, coverage: Coverage, alike: float) -> None:
        self._coverage, self._alike = coverage, alike
        self._known: list[Standing] = []
        self._wells = np.zeros(0, dtype=np.int64)
        self._away = np.zeros(0)
        self._points = np.zeros((len(coverage.space.kept), 0))
        self._noise = np.zeros(0)

    def add(self, standing: Standing | None) -> None:
        """Count a place as known; None is no place."""
        if standing is None:
            return
        self._known.append(standing)
        self._approach([standing], 0)
        self._drop(self._away > self._alike)

    def load(self, wells: Counts) -> None:
        """Bring more wells up to date."""
        points, noise = self._coverage.places(wells)
        first = len(self._wells)
        self._wells = np.concatenate([self._wells, wells])
        self._away = np.concatenate([self._away, self._coverage.distance[wells]])
        self._points = np.concatenate([self._points, points], axis=1)
        self._noise = np.concatenate([self._noise, noise])
        self._approach(self._known, first)
        self._drop(self._away > self._alike)

    def best(self) -> tuple[bool, float, int] | None:
        """Return (to be confirmed, minus its distance, well) of the one whose turn it is; None without any."""
        if not len(self._wells):
            return None
        unready = self._coverage.undecided[self._wells]
        k = int(np.lexsort((self._wells, -self._away, unready))[0])
        return bool(unready[k]), -float(self._away[k]), int(self._wells[k])

    def take(self, well: int) -> None:
        """Take a well out, and count its place as known."""
        self._drop(self._wells != well)
        self.add(self._coverage.standing(well))

    def _approach(self, standings: Sequence[Standing], first: int) -> None:
        points, noise, space = self._points[:, first:], self._noise[first:], self._coverage.space
        if not points.shape[1] or not standings:
            return
        nearest = np.full(points.shape[1], np.inf)
        for standing in standings:
            nearest = np.minimum(nearest, space.distances(points, standing.point, noise, standing.noise))
        self._away[first:] = np.minimum(self._away[first:], significant_all(nearest))

    def _drop(self, keep: Bools) -> None:
        if not keep.all():
            self._wells, self._away, self._noise = self._wells[keep], self._away[keep], self._noise[keep]
            self._points = self._points[:, keep]


class Looks:
    """Puts looks into proposals.

    Parameters
    ----------
    params : Novelty.Params
        Of the policy.
    setup : Setup
        Wells.
    coverage : Coverage
        Where they lie.
    left : ndarray of int64, shape (wells,)
        Fields that may be asked for.
    """

    def __init__(self, params: Any, setup: Setup, coverage: Coverage, left: Counts) -> None:
        self._params = params
        self._wells = setup.wells
        self._coverage = coverage
        self._left = left

    def is_close(self, i: int) -> bool:
        """Return whether a well needs its close look, and not another field that shows the same."""
        return self._params.follow_up is None or not self._coverage.undecided[i]

    def references(self, k: int, controls: Sequence[int]) -> list[Proposal]:
        """Return close looks at up to `k` controls."""
        text = "a control, looked at closely to compare with"
        numbers = {i: {"fields": float(self._coverage.looks[i])} for i in controls}
        return [
            self._proposal(i, Why(rule="controls closely", text=text, numbers=numbers[i]), _CLOSE_SCORE, close=True)
            for i in controls[:k]
        ]

    def by_chance(self, i: int, instead: str | None) -> Proposal:
        """Return a look at a well that was drawn."""
        why = Why(
            rule="explore",
            text="drawn by chance, in case the profile does not show what matters",
            numbers={"distance": float(self._coverage.distance[i])},
            instead=instead,
        )
        return self._proposal(i, why, 0.0, close=True)

    def at_far(self, i: int, value: float, instead: str | None) -> Proposal:
        """Return the look that a far well needs: another field until two agree, then a close look."""
        coverage, alike = self._coverage, self._coverage.space.alike
        numbers = {"distance": significant(value), "fields": float(coverage.looks[i])}
        nearest = coverage.nearest(i)
        known = "the controls" if nearest == CONTROLS else f"{self._wells[nearest]}, the nearest that is known"
        how = " and ".join(f"{name} {'higher' if up else 'lower'}" for name, up in coverage.apart(i))
        text = f"unlike {known}: mostly {how}; " if how else ""
        text += f"{value:.2g} from all that is known or under way"
        if alike is not None:
            numbers["alike"] = alike
            text += f", where controls lie within {alike:.2g}"
        confirm = bool(coverage.undecided[i])
        if confirm:
            text += (
                "; one field may be dirt, a second must show it" if coverage.looks[i] == 1 else "; its fields differ"
            )
        why = Why(
            rule="confirm what is odd" if confirm else "furthest from what is known",
            text=text,
            numbers=numbers,
            instead=instead,
        )
        return self._proposal(i, why, value + (0 if confirm else _CLOSE_SCORE), close=not confirm)

    def _proposal(self, i: int, why: Why, score: float, *, close: bool) -> Proposal:
        if close and self._params.follow_up is not None:
            names = tuple(self._coverage.names(i)[: self._params.follow_up_fields])
            return Proposal(well=self._wells[i], fields=names, profile=self._params.follow_up, score=score, why=why)
        fields = max(1, min(self._params.fields_per_visit, int(self._left[i])))
        return Proposal(well=self._wells[i], fields=fields, score=score, why=why)
