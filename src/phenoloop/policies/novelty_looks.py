"""The wishes of the policy `novelty`, rule by rule: which look a well needs, in which order, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Proposal, Setup, Why
from phenoloop.numerics.rounding import significant
from phenoloop.policies.coverage import CONTROLS, Coverage
from phenoloop.policies.furthest import Far

Counts = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MAIN: Final = "main"
_CONTROL_SCORE: Final = 3e6
_LOOK_SCORE: Final = 2e6
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
        self._undecided = coverage.undecided
        self._left = left

    def is_close(self, i: int) -> bool:
        """Return whether a well needs its close look, and not another field that shows the same."""
        return self._params.follow_up is None or not self._undecided[i]

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

    def at_far(self, far: Far, instead: str | None) -> Proposal:
        """Return the look that a far well needs: another field until two agree, then a close look."""
        coverage, alike, i = self._coverage, self._coverage.space.alike, far.well
        numbers = {"distance": significant(far.distance), "fields": float(coverage.looks[i])}
        nearest = coverage.nearest(i) if far.beside is None else far.beside
        known = "the controls" if nearest == CONTROLS else self._wells[nearest]
        known += "" if far.beside is None else ", which is being looked at"
        how = " and ".join(f"{name} {'higher' if up else 'lower'}" for name, up in coverage.apart(i, far.beside))
        text = f"unlike {known}" + (f": mostly {how}" if how else "")
        text += f"; {far.distance:.2g} from {'them' if nearest == CONTROLS else 'it'}, the nearest that is known"
        if alike is not None:
            numbers["alike"] = alike
            text += f", where controls lie within {alike:.2g}"
        confirm = bool(self._undecided[i])
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
        return self._proposal(i, why, far.distance + (0 if confirm else _CLOSE_SCORE), close=not confirm)

    def _proposal(self, i: int, why: Why, score: float, *, close: bool) -> Proposal:
        if close and self._params.follow_up is not None:
            names = tuple(self._coverage.names(i)[: self._params.follow_up_fields])
            return Proposal(well=self._wells[i], fields=names, profile=self._params.follow_up, score=score, why=why)
        fields = max(1, min(self._params.fields_per_visit, int(self._left[i])))
        return Proposal(well=self._wells[i], fields=fields, score=score, why=why)
