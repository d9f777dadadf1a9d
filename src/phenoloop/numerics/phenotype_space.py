"""The space in which phenotypes are near or far: profiles on the scale of the controls, and how far controls lie apart.

Of a profile's features those are kept that say something of their own. Features come in blocks, one per family and
channel, and every block has the same weight: fifty textures of one channel do not outvote shape. Beyond `CLIP` standard
deviations only the logarithm counts, so that one feature that explodes does not hide what the others say. Nothing here
uses BLAS, so a policy may order by what comes out, once rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phenoloop.model import features
from phenoloop.numerics.profiles import ControlScale, control_scale, median_variance, select_features, well_medians
from phenoloop.numerics.rounding import significant, significant_all

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

CLIP: Final = 5.0
"""Standard deviations up to which a difference counts as it is."""
SPREAD: Final = 0.25
"""By what share of its distance from the controls a well is taken to differ from others of its phenotype: what is ten
times as far from the controls as they are from each other is not measured as exactly as they are."""
LEAST_KNOWN: Final = 0.5
"""Share of the weight of the kept features that a profile must know to have a place."""
LEAST_CONTROLS: Final = 4
"""Control wells below which how far controls lie apart is not known."""
_FOLDS: Final = 8
"""Held-out controls are judged in so many groups of wells; each takes a scale of its own, which costs time."""

_BARE: Final = {feature.name: feature.family for feature in features.OBJECT}
_DOTTED: Final = {feature.name: feature.family for feature in (*features.SPOT, *features.CHANNEL)}
_PAIRED: Final = {feature.name: feature.family for feature in features.PAIRS}


def block_of(name: str) -> str:
    """Return the block of a feature: its family, and the channel or spots that it is of (``texture of GFP``)."""
    if name in _BARE:
        return _BARE[name]
    owner, _, rest = name.partition(".")
    if rest in _DOTTED:
        return f"{_DOTTED[rest]} of {owner}"
    pair = rest.partition("_")[0]
    if pair in _PAIRED:
        return f"{_PAIRED[pair]} of {owner}"
    return name.partition("_")[0]  # CellProfiler's names begin with their family


def block_weights(names: Sequence[str]) -> Floats:
    """Return the weight of each feature: 1 / (blocks x features of its block), so all weights sum to 1."""
    blocks = [block_of(name) for name in names]
    sizes: dict[str, int] = {}
    for block in blocks:
        sizes[block] = sizes.get(block, 0) + 1
    return np.array([1 / (len(sizes) * sizes[block]) for block in blocks])


def clipped(z: Floats) -> Floats:
    """Return z, beyond `CLIP` on either side as ``CLIP (1 + log(|z| / CLIP))``: in order, not overwhelming."""
    size = np.abs(z)
    # rounded, because a vectorised logarithm need not have the same last bit on every processor
    far = significant_all(CLIP * (1 + np.log(np.maximum(size, CLIP) / CLIP)))
    return np.where(size <= CLIP, z, np.copysign(far, z))


@dataclass(frozen=True, slots=True, eq=False)
class PhenotypeSpace:
    """A fixed way from a profile to a point; distances are in units of what a control well differs from the controls.

    Attributes
    ----------
    names : tuple of str
        Kept features.
    kept : ndarray of int64, shape (kept,)
        Their places in the profile.
    weights : ndarray of float64, shape (kept,)
        Of the squared differences; they sum to 1.
    scale : ControlScale
        Of the kept features.
    controls : int
        Control wells behind the scale.
    alike : float or None
        Distance within which so many of the held-out control wells lie as were asked for; None with fewer than
        `LEAST_CONTROLS`.
    strength : float
        Points that differ in length only, up to this factor, are the same.
    """

    names: tuple[str, ...]
    kept: Integers
    weights: Floats
    scale: ControlScale
    controls: int
    alike: float | None
    strength: float = 1.0

    def points(self, profiles: ArrayLike, fields: ArrayLike | int = 1) -> Floats:
        """Return points, shape (kept, rows): one column per profile; a column of NaN for one that knows too little.

        Parameters
        ----------
        profiles : array_like, shape (rows, features)
            Whole profiles; NaN is unknown, and counts as what the controls have.
        fields : array_like of int, shape (rows,), or int
            Fields behind each.
        """
        table = np.asarray(profiles, dtype=np.float64)[:, self.kept]
        many = np.broadcast_to(np.asarray(fields, dtype=np.int64), (len(table),))
        z = self.scale.z(table, many)
        known = np.isfinite(z)
        share = np.where(known, self.weights, 0.0).T
        found = np.sqrt(self.weights)[:, None] * np.where(known, clipped(np.where(known, z, 0.0)), 0.0).T
        found[:, share.sum(axis=0) < LEAST_KNOWN] = np.nan
        return np.ascontiguousarray(found)

    def noise(self, fields: int) -> float:
        """Return the variance of a well of so many fields, where that of a well of one is 1."""
        share = float(median_variance(np.array([float(fields)]))[0])
        between, within = self.scale.between**2, self.scale.within**2
        ratios = (between + share * within) / (between + within)
        return significant(math.fsum((self.weights * ratios).tolist()))

    def home(self) -> Floats:
        """Return the point of the controls, shape (kept,)."""
        return np.zeros(len(self.kept))

    def distances(self, points: Floats, point: Floats, noise: Floats | float, its_noise: float) -> Floats:
        """Return how far points lie from one other, in units of what two alike ones would on average.

        The other is made up to `strength` times stronger or weaker, as fits best: wells that show the same change to
        another degree are near. The stronger the change, the more alike ones differ (`SPREAD`).

        Parameters
        ----------
        points : ndarray of float64, shape (kept, n)
            Of `points`.
        point : ndarray of float64, shape (kept,)
            The other; `home` for the controls.
        noise : ndarray of float64, shape (n,), or float
            Variance of each point: 1 for a well of one field, see `noise`.
        its_noise : float
            Of the other.
        """
        size = float((point**2).sum())
        if size == 0:
            return np.asarray(np.sqrt((points**2).sum(axis=0) / (noise + its_noise)))
        times = np.clip((points * point[:, None]).sum(axis=0) / size, 1 / self.strength, self.strength)
        apart = ((points - times * point[:, None]) ** 2).sum(axis=0)
        spread = SPREAD**2 / 2 * ((points**2).sum(axis=0) + times**2 * size)
        return np.asarray(np.sqrt(apart / (noise + times**2 * its_noise + spread)))


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


def well_points(space: PhenotypeSpace, profiles: Floats, wells: Integers, count: int) -> tuple[Floats, Integers]:
    """Return the point of each well by all its fields, shape (kept, wells), NaN without any; and its fields."""
    medians, many = well_medians(profiles, wells, count)
    return space.points(medians, np.maximum(many, 1)), many
