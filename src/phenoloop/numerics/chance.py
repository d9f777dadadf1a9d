"""The points of many objects at once against as many at random on the pixels of each object's own territory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.spatial import SEED, tree_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """What `grouped_patterns` returns, each of shape (groups,); NaN for a group of too few points.

    Attributes
    ----------
    nearest : ndarray of float64
        Mean distance to the nearest other point of the group.
    clustering, clustering_z : ndarray of float64
        1 - nearest / expected, and (expected - nearest) / standard deviation.
    ripley, ripley_z : ndarray of float64
        Pairs within the radius / expected - 1, that is K over K of a random pattern - 1; and (pairs - expected) /
        standard deviation.
    """

    nearest: Floats
    clustering: Floats
    clustering_z: Floats
    ripley: Floats
    ripley_z: Floats


def grouped_patterns(
    points: NDArray[np.int64],
    group: Ints,
    territory: tuple[NDArray[np.int64], Ints],
    *,
    radius: float,
    apart: float = 0.0,
    least: int = 5,
    simulations: int = 39,
) -> Grouped:
    """Compare the points of each group with as many at random on the pixels of the group's own territory.

    All groups and all simulated patterns go through one tree: each is put on a plane of its own, farther from the next
    than any two points.

    Parameters
    ----------
    points : ndarray of int64, shape (n, 2)
        Pixels ``(y, x)``.
    group : ndarray of int64, shape (n,)
        Group of each, from 0.
    territory : (ndarray of int64 of shape (pixels, 2), ndarray of int64 of shape (groups,))
        The pixels where points of each group could have been, group by group, and how many each group has.
    radius : float
        For pairs.
    apart : float
        No two random points are nearer to one another: what a detector cannot tell apart it reports as one.
    least : int
        A group of fewer points is unknown.
    simulations : int
        Random patterns.
    """
    pixels, size = territory
    groups = size.size
    count = np.bincount(group, minlength=groups)
    enough = (count >= least) & (size >= 2 * count)
    keep = enough[group]
    points, group = points[keep].astype(np.float64), group[keep]
    unknown = np.full(groups, np.nan)
    if not group.size:
        return Grouped(nearest=unknown, clustering=unknown, clustering_z=unknown, ripley=unknown, ripley_z=unknown)
    plane = float(np.ceil(np.hypot(*(pixels.max(axis=0) - pixels.min(axis=0) + 1)) + radius + 1))
    rng = np.random.default_rng([SEED, group.size])
    start = np.cumsum(size) - size
    owner = np.tile(group, simulations)
    pattern = owner + groups * np.repeat(np.arange(simulations), group.size)

    def draw(which: Ints) -> Floats:
        chosen = start[owner[which]] + (rng.random(which.size) * size[owner[which]]).astype(np.int64)
        return np.asarray(pixels[chosen], dtype=np.float64)

    random = np.column_stack([draw(np.arange(owner.size)), plane * pattern])
    for _ in range(50 if apart > 0 else 0):  # a crowded territory may never settle; then it stays as it is
        # of a pair that is too close, the later one moves
        close = tree_of(random).query_pairs(np.nextafter(apart, 0), output_type="ndarray")
        if not len(close):
            break
        moved = np.unique(close.max(axis=1))
        random[moved, :2] = draw(moved)
    own = np.column_stack([points, plane * group])
    present = np.flatnonzero(enough)

    def summarise(places: Floats, to: Ints, many: int) -> tuple[Floats, Floats]:
        tree = tree_of(places)
        nearest = tree.query(places, k=[2])[0][:, 0]
        pairs = tree.query_ball_point(places, radius, return_length=True) - 1
        shape = (many, groups)
        near = np.bincount(to, weights=nearest, minlength=many * groups).reshape(shape) / np.maximum(count, 1)
        close = np.bincount(to, weights=pairs, minlength=many * groups).reshape(shape)
        return near[:, present], close[:, present].astype(np.float64)

    near, pairs = (found[0] for found in summarise(own, group, 1))
    random_near, random_pairs = summarise(random, pattern, simulations)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected, expected_pairs = random_near.mean(axis=0), random_pairs.mean(axis=0)
        columns = {
            "nearest": near,
            "clustering": 1 - near / expected,
            "clustering_z": (expected - near) / random_near.std(axis=0, ddof=1),
            "ripley": pairs / expected_pairs - 1,
            "ripley_z": (pairs - expected_pairs) / random_pairs.std(axis=0, ddof=1),
        }
    whole = {}
    for name, column in columns.items():
        whole[name] = unknown.copy()
        whole[name][present] = np.where(np.isfinite(column), column, np.nan)
    return Grouped(**whole)
