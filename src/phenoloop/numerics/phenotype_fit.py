"""From the fields of a plate to its phenotype space: what is kept, on which scale, and how far control wells lie apart.

Of a profile's features those are kept that say something of their own. How far controls lie apart is told by wells that
had no part in the scale by which they are judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phenoloop.numerics.feature_blocks import block_weights
from phenoloop.numerics.phenotype_space import PhenotypeSpace
from phenoloop.numerics.profiles import ControlScale, control_scale, select_features
from phenoloop.numerics.rounding import significant

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST_CONTROLS: Final = 4
"""Control wells below which how far controls lie apart is not known."""
_FOLDS: Final = 8
"""Held-out controls are judged in so many groups of wells; each takes a scale of its own, which costs time."""


def phenotype_space(
    names: Sequence[str],
    profiles: ArrayLike,
    wells: ArrayLike,
    controls: ArrayLike,
    *,
    level: float = 0.95,
    strength: float = 1.0,
) -> PhenotypeSpace:
    """Return the space that the fields of a plate give.

    Parameters
    ----------
    names : sequence of str, length (features)
        Of the profile.
    profiles : array_like, shape (fields, features)
        In the order in which the fields of each well were chosen; NaN is unknown.
    wells : array_like of int, shape (fields,)
        Which well each field lies in, from 0.
    controls : array_like of bool, shape (wells,)
        Which wells are controls.
    level : float
        Share of control wells that are to count as alike: a conformal quantile of held-out control wells.
    strength : float
        Of `PhenotypeSpace`.

    Raises
    ------
    ValueError
        If fewer than two control wells have fields, or no feature has a scale.

    References
    ----------
    Vovk, Gammerman and Shafer 2005, doi 10.1007/b106715, for the quantile.
    """
    table, which = np.asarray(profiles, dtype=np.float64), np.asarray(wells, dtype=np.int64)
    chosen = np.asarray(controls, dtype=np.bool_)
    scale = control_scale(table, which, chosen)
    first = first_fields(which)
    kept = select_features(table[first])
    kept = kept[np.isfinite(scale.between[kept] + scale.middle[kept])]
    if not kept.size:
        raise ValueError("no feature of the profile is known in most wells and has a scale in the controls")
    weights = block_weights([names[k] for k in kept])
    seen = np.unique(which[chosen[which]])
    space = PhenotypeSpace(
        names=tuple(names[k] for k in kept),
        kept=kept,
        weights=weights,
        scale=restricted(scale, kept),
        controls=int(seen.size),
        alike=None,
        strength=strength,
    )
    if seen.size < LEAST_CONTROLS:
        return space
    held = np.sort(held_out_distances(space, table, which, chosen, folds=_FOLDS))
    held = held[np.isfinite(held)]
    if held.size < LEAST_CONTROLS:
        return space
    rank = min(held.size, math.ceil((held.size + 1) * level))
    return replace(space, alike=significant(float(held[rank - 1])))


def held_out_distances(
    space: PhenotypeSpace,
    profiles: Floats,
    wells: Integers,
    controls: Bools,
    *,
    folds: int | None = None,
    first: int | None = None,
) -> Floats:
    """Return how far each control well lies from the other controls, on a scale without that well.

    Parameters
    ----------
    space : PhenotypeSpace
        Features and weights.
    profiles, wells, controls
        As for `phenotype_space`.
    folds : int, optional
        Judge the wells in so many groups; each well on its own by default.
    first : int, optional
        As for `field_distances`.

    Returns
    -------
    ndarray of float64
        In the order of the wells; empty with fewer than three, and NaN for a well with fewer than `first` fields.
    """
    own = controls[wells]
    table, which = profiles[own], wells[own]
    rows = np.unique(which)
    if rows.size < 3:
        return np.zeros(0)
    place = np.searchsorted(rows, which)
    found = np.full(rows.size, np.nan)
    parts = rows.size if folds is None else min(folds, rows.size)
    for part in range(parts):
        out = np.arange(rows.size) % parts == part
        there = ~out[place]
        scale = restricted(control_scale(table[there][:, space.kept], place[there], ~out), np.arange(space.kept.size))
        # on the kept features only, so that they are the whole profile of this space
        away = replace(space, kept=np.arange(space.kept.size), scale=scale, controls=int((~out).sum()))
        judged = field_distances(away, table[~there][:, space.kept], place[~there], rows.size, first=first)
        found[out] = judged[out]
    return found


def field_distances(
    space: PhenotypeSpace, profiles: Floats, wells: Integers, count: int, *, first: int | None = None
) -> Floats:
    """Return how far a single field of each well lies from the controls.

    Parameters
    ----------
    space : PhenotypeSpace
        Scale and weights.
    profiles : ndarray of float64, shape (fields, features)
        In the order in which the fields of each well were chosen.
    wells : ndarray of int64, shape (fields,)
        Which well each lies in.
    count : int
        Number of wells.
    first : int, optional
        The nearest of the first so many fields of each well; by default its typical field, the lower median of all. One
        field that shows debris makes no well look far, either way.

    Returns
    -------
    ndarray of float64, shape (count,)
        NaN for a well without so many fields.
    """
    found = np.full(count, np.nan)
    if not len(profiles):
        return found
    apart = space.distances(space.points(profiles), space.home(), 1.0, 1 / space.controls)
    for well in np.unique(wells).tolist():
        own = apart[wells == well]
        own = own[np.isfinite(own)]
        if own.size and (first is None or own.size >= first):
            found[well] = np.sort(own)[(own.size - 1) // 2] if first is None else own[:first].min()
    return found


def first_fields(wells: Integers) -> Integers:
    """Return the row of the first field of each well that has one, in the order of the wells."""
    return np.unique(wells, return_index=True)[1].astype(np.int64)


def restricted(scale: ControlScale, kept: Integers) -> ControlScale:
    """Return the scale of some features."""
    return ControlScale(scale.middle[kept], scale.between[kept], scale.within[kept])
