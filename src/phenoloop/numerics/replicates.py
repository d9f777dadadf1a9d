"""Whether wells that were treated alike look alike: how often a well finds its replicates before it finds others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """How well the wells of one treatment find each other among the control wells.

    Attributes
    ----------
    wells : int
        Wells of the treatment.
    precision : float
        Mean average precision: 1 when each well's nearest are all its replicates.
    by_chance : float
        Its mean where the treatment does nothing.
    p : float
        Share of groups as large, drawn from its wells and the controls, that do as well.
    called : bool
        Not by chance, among all treatments at a false discovery rate of 5 % (Benjamini and Hochberg).
    """

    wells: int
    precision: float
    by_chance: float
    p: float
    called: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """Percent replicating: of all treatments, the share whose wells are alike beyond what wells of different ones are.

    Attributes
    ----------
    share : float
        0 to 1.
    treatments : int
        Those of at least two wells.
    threshold : float
        95 % point of the median correlation in groups of wells that are no replicates of each other.
    """

    share: float
    treatments: int
    threshold: float


def similarities(profiles: ArrayLike) -> Floats:
    """Return the cosine of each pair of profiles, to nine digits, shape (rows, rows); NaN in a profile counts as 0."""
    rows = np.nan_to_num(np.asarray(profiles, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    unit = rows / np.where(length > 0, length, 1.0)
    found: Floats = np.round(unit @ unit.T, 9)
    return found


def average_precision(found: ArrayLike) -> Floats:
    """Return the average precision of each ranking.

    Parameters
    ----------
    found : array_like of bool, shape (rankings, ranked)
        Best first; True: it was looked for.
    """
    hits = np.asarray(found, dtype=np.float64)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    total: Floats = (precision * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1.0)
    return total


def retrieval(
    profiles: ArrayLike,
    groups: Mapping[str, Sequence[int]],
    controls: Sequence[int],
    rng: np.random.Generator,
    *,
    draws: int = 5000,
) -> dict[str, Retrieval]:
    """Return, per treatment, how well its wells find each other among the controls.

    Each well of a treatment ranks the others of it and all controls by cosine; ties count against it. The test draws
    other groups from the same wells, all of them where there are few: that two wells are each other's nearest is one
    finding and not two, which rankings drawn at random for each well would not know.

    Parameters
    ----------
    profiles : array_like, shape (wells, features)
        On the scale of the controls.
    groups : mapping of str to sequence of int
        Rows of each treatment, controls left out. One of fewer than two rows is left out.
    controls : sequence of int
        Rows of the controls; without any there is no result.
    rng : Generator
        For the groups that are drawn.
    draws : int
        How many.

    References
    ----------
    Kalinin et al. 2025, doi 10.1038/s41467-025-60306-2, for mean average precision of profiles.
    """
    cosine = similarities(profiles)
    found: dict[str, tuple[int, float, float, float]] = {}
    for name, members in groups.items():
        own = [row for row in members if row not in set(controls)]
        if len(own) < 2 or not controls:
            continue
        pool = np.array([*controls, *own], dtype=np.int64)
        orders = _orders(cosine[np.ix_(pool, pool)])
        value = float(_mean_precision(orders, np.arange(len(controls), pool.size)[None])[0])
        drawn, exact = _groups(pool.size, len(own), draws, rng)
        chance = _mean_precision(orders, drawn)
        as_good = int(np.count_nonzero(chance >= value - 1e-12))
        p = as_good / len(drawn) if exact else (1 + as_good) / (1 + len(drawn))
        found[name] = len(own), value, float(chance.mean()), p
    called = _false_discoveries([p for *_, p in found.values()])
    return {
        name: Retrieval(wells=wells, precision=value, by_chance=chance, p=p, called=bool(hit))
        for (name, (wells, value, chance, p)), hit in zip(found.items(), called, strict=True)
    }


def replication(
    profiles: ArrayLike, groups: Mapping[str, Sequence[int]], rng: np.random.Generator, *, draws: int = 1000
) -> Replication | None:
    """Return the share of treatments whose wells correlate more than wells of different treatments do.

    Parameters
    ----------
    profiles, groups, rng
        As for `retrieval`.
    draws : int
        Random groups, each of wells of different treatments, as large as a group drawn from those there are.

    Returns
    -------
    Replication or None
        None where fewer than two treatments have two wells: there is nothing to compare with.

    References
    ----------
    Way et al. 2022, doi 10.1016/j.cels.2022.10.001.
    """
    names = [name for name, members in groups.items() if len(members) > 1]
    if len(names) < 2:
        return None
    rows = np.nan_to_num(np.asarray(profiles, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    alike = similarities(rows - rows.mean(axis=1, keepdims=True))  # the cosine of centred rows is their correlation
    chance = []
    for _ in range(draws):
        size = min(len(groups[names[int(rng.integers(len(names)))]]), len(groups))
        drawn = rng.choice(len(groups), size=size, replace=False)
        pools = [groups[name] for name in groups]
        chance.append(_median_pair(alike, [pools[k][int(rng.integers(len(pools[k])))] for k in drawn]))
    threshold = float(np.quantile(chance, 0.95))
    above = [_median_pair(alike, groups[name]) > threshold for name in names]
    return Replication(share=float(np.mean(above)), treatments=len(names), threshold=threshold)


def _orders(cosine: Floats) -> Integers:
    """Return, per well of a pool, the others from the nearest on; a stable sort puts controls first among ties."""
    alone = cosine.copy()
    np.fill_diagonal(alone, -np.inf)
    orders: Integers = np.argsort(-alone, axis=1, kind="stable")[:, :-1].astype(np.int64)
    return orders


def _mean_precision(orders: Integers, groups: Integers) -> Floats:
    """Return the mean average precision of each group of wells, shape (groups,)."""
    found = np.empty(len(groups))
    for start in range(0, len(groups), 256):
        some = groups[start : start + 256]
        inside = np.zeros((len(some), len(orders)), dtype=np.bool_)
        np.put_along_axis(inside, some, True, axis=1)
        # (groups, wells of a group, ranked): whether what stands at a rank is of the group too
        hits = inside[np.arange(len(some))[:, None, None], orders[some]]
        precision = average_precision(hits.reshape(-1, hits.shape[2]))
        found[start : start + 256] = precision.reshape(some.shape).mean(axis=1)
    return found


def _groups(size: int, members: int, draws: int, rng: np.random.Generator) -> tuple[Integers, bool]:
    """Return groups of wells out of `size`, and whether they are all there are."""
    if math.comb(size, members) <= draws:
        return np.array(list(itertools.combinations(range(size), members)), dtype=np.int64), True
    shuffled = rng.permuted(np.tile(np.arange(size, dtype=np.int64), (draws, 1)), axis=1)
    return shuffled[:, :members], False


def _false_discoveries(p: Sequence[float], rate: float = 0.05) -> NDArray[np.bool_]:
    """Return which are called by Benjamini and Hochberg's procedure."""
    values = np.asarray(p, dtype=np.float64)
    if not values.size:
        return np.zeros(0, dtype=np.bool_)
    ordered = np.sort(values)
    below = np.flatnonzero(ordered <= rate * np.arange(1, values.size + 1) / values.size)
    return values <= (ordered[below[-1]] if below.size else -1.0)


def _median_pair(alike: Floats, rows: Sequence[int]) -> float:
    first, second = np.triu_indices(len(rows), 1)
    at = np.asarray(rows, dtype=np.int64)
    return float(np.median(alike[at[first], at[second]]))
