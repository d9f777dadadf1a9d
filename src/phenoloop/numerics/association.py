"""Whether something that happens to wells depends on their group; the unit is the well, never the field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PERMUTATIONS = 4999


def permutation_p(groups: Sequence[str], hits: Sequence[int], trials: Sequence[int], *, seed: int = 0) -> float | None:
    """Return the p-value of "the share of hits is the same in all groups", by permuting whole wells.

    Fields of one well fail together (a bubble, a lost layer of cells), so a test over fields would find a dependence
    far too often. Statistic: chi-square of hits by group. Monte-Carlo p as in Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585.

    Parameters
    ----------
    groups : sequence of str, length n
        Group of each well.
    hits, trials : sequence of int, length n
        Of each well: fields it happened to, and fields in all.
    seed : int
        Of the permutations.

    Returns
    -------
    float or None
        None where there is nothing to compare: one group, or nothing (or everything) happened.
    """
    n = np.array(trials, float)
    k = np.array(hits, float)[n > 0]
    names, group = np.unique(np.array(groups, dtype=object)[n > 0].astype(str), return_inverse=True)
    n = n[n > 0]
    if len(names) < 2 or k.sum() in (0, n.sum()):
        return None
    share = k.sum() / n.sum()

    def chi_square(order: np.ndarray) -> float:
        expected = np.bincount(group, weights=n[order], minlength=len(names)) * share
        found = np.bincount(group, weights=k[order], minlength=len(names))
        return float(((found - expected) ** 2 / np.maximum(expected, 1e-12)).sum())

    rng = np.random.default_rng(seed)
    observed = chi_square(np.arange(len(n)))
    as_large = sum(chi_square(rng.permutation(len(n))) >= observed * (1 - 1e-12) for _ in range(_PERMUTATIONS))
    return (as_large + 1) / (_PERMUTATIONS + 1)
