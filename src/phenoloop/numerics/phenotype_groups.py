"""Which wells look alike, which of them stand for the others, what sets them apart, and a map of all of them.

For reports, not for decisions: the map decomposes a matrix, whose last digits depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from phenoloop.numerics.feature_blocks import block_of
from phenoloop.numerics.phenotype_space import PhenotypeSpace
from phenoloop.numerics.rounding import significant, significant_all

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DIGITS: Final = 4
"""Of a place on the map: what a machine changes lies far behind."""


@dataclass(frozen=True, slots=True)
class Group:
    """Wells that show the same phenotype.

    Attributes
    ----------
    members : tuple of int
        The most typical first: the one with the least distance to all others, then those nearest to it.
    apart : tuple of (str, float)
        Feature and its median distance from the controls in SD of a control well; the largest of each block, largest
        first.
    """

    members: tuple[int, ...]
    apart: tuple[tuple[str, float], ...]


def pair_distances(space: PhenotypeSpace, points: Floats, noise: Floats) -> Floats:
    """Return the distance of each pair of wells, shape (n, n): the smaller of the two ways to fit their strengths.

    Parameters
    ----------
    space : PhenotypeSpace
        Of the points.
    points : ndarray of float64, shape (kept, n)
        Wells.
    noise : ndarray of float64, shape (n,)
        Variance of each.
    """
    one_way = np.stack(
        [space.distances(points, points[:, k], noise, float(noise[k])) for k in range(points.shape[1])] or [np.zeros(0)]
    ).reshape(points.shape[1], points.shape[1])
    pairs: Floats = np.minimum(one_way, one_way.T)
    np.fill_diagonal(pairs, 0.0)
    return significant_all(pairs)


def groups(space: PhenotypeSpace, wells: Sequence[int], points: Floats, noise: Floats, z: Floats) -> list[Group]:
    """Return the groups of some wells, the largest first: average linkage, cut where controls are no longer alike.

    Parameters
    ----------
    space : PhenotypeSpace
        Of the points; needs `alike`.
    wells : sequence of int
        Numbers of the wells.
    points : ndarray of float64, shape (kept, n)
        Where they lie.
    noise : ndarray of float64, shape (n,)
        Variance of each point.
    z : ndarray of float64, shape (n, kept)
        Their distance from the controls in each feature, not clipped.
    """
    if not wells or space.alike is None:
        return []
    pairs = pair_distances(space, points, noise)
    labels = np.ones(1, dtype=np.int64)
    if len(wells) > 1:
        labels = fcluster(linkage(squareform(pairs, checks=False), method="average"), space.alike, "distance")
    found = []
    for label in np.unique(labels).tolist():
        own = np.flatnonzero(labels == label)
        middle = own[int(np.argmin(significant_all(pairs[np.ix_(own, own)].sum(axis=1))))]
        order = own[np.lexsort((own, pairs[middle, own]))]
        order = np.concatenate([[middle], order[order != middle]])
        found.append(Group(tuple(wells[k] for k in order.tolist()), apart(space, z[own])))
    return sorted(found, key=lambda group: (-len(group.members), group.members))


def apart(space: PhenotypeSpace, z: Floats, most: int = 3) -> tuple[tuple[str, float], ...]:
    """Return the features in which some wells lie furthest from the controls, one per block.

    Parameters
    ----------
    space : PhenotypeSpace
        Names of the features.
    z : ndarray of float64, shape (n, kept)
        In SD of a control well; NaN is unknown.
    most : int
        How many.
    """
    typical = np.nanmedian(np.where(np.isfinite(z).any(axis=0), z, 0.0), axis=0)
    chosen: dict[str, tuple[str, float]] = {}
    for k in np.lexsort((np.arange(typical.size), -significant_all(np.abs(typical)))).tolist():
        name = space.names[k]
        if typical[k] and block_of(name) not in chosen:
            chosen[block_of(name)] = (name, significant(float(typical[k]), 3))
        if len(chosen) == most:
            break
    return tuple(chosen.values())


def flat_map(points: Floats) -> tuple[Floats, Floats]:
    """Return a map of some wells, shape (n, 2), and the share of their spread that each axis shows.

    The first two principal axes. Each points to where the feature that bears most on it is higher, so that the map is
    not mirrored from one look to the next.

    Parameters
    ----------
    points : ndarray of float64, shape (kept, n)
        Wells.
    """
    n = points.shape[1]
    if n < 2:
        return np.zeros((n, 2)), np.zeros(2)
    away = points - points.mean(axis=1, keepdims=True)
    values, axes = np.linalg.eigh(away @ away.T)
    shown = axes[:, ::-1][:, :2]
    if shown.shape[1] < 2:
        shown = np.concatenate([shown, np.zeros((len(shown), 1))], axis=1)
    heaviest = np.argmax(np.abs(np.round(shown, 6)), axis=0)
    shown = shown * np.where(shown[heaviest, [0, 1]] < 0, -1.0, 1.0)
    total = max(float(values.sum()), 1e-300)
    shares = np.zeros(2)
    shares[: min(2, values.size)] = np.maximum(values[::-1][:2], 0.0) / total
    # + 0.0: no minus zero in a report
    return np.round(away.T @ shown, _DIGITS) + 0.0, np.round(shares, _DIGITS)
