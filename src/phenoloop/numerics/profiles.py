"""From a table of features to profiles: summed up per well, put on the scale of the controls, freed of what is idle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def summarise(values: ArrayLike, groups: ArrayLike) -> tuple[NDArray[Any], Floats]:
    """Return the median of each feature per group, unknown ones left out.

    Parameters
    ----------
    values : array_like, shape (objects, features)
        NaN is unknown.
    groups : array_like, shape (objects,)
        The well of each object, say; words or numbers.

    Returns
    -------
    names : ndarray, shape (groups,)
        In rising order.
    medians : ndarray of float64, shape (groups, features)
        NaN where no object of the group knows the feature.
    """
    table = np.asarray(values, dtype=np.float64)
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(which, kind="stable")
    parts = np.split(table[order], np.cumsum(np.bincount(which, minlength=names.size))[:-1])
    return names, np.stack([_median(part) for part in parts]) if names.size else np.zeros((0, table.shape[1]))


def robust_z(values: ArrayLike, controls: ArrayLike) -> Floats:
    """Return (value - median of the controls) / (1.4826 MAD of the controls), feature by feature.

    Parameters
    ----------
    values : array_like, shape (rows, features)
        Rows are wells or objects; NaN is unknown and stays so.
    controls : array_like of bool, shape (rows,)
        Which rows are controls.

    Returns
    -------
    ndarray of float64, shape (rows, features)
        NaN for a feature that is the same in (more than half of) the controls: it has no scale.

    Raises
    ------
    ValueError
        If no row is a control.
    """
    table, chosen = np.asarray(values, dtype=np.float64), np.asarray(controls, dtype=np.bool_)
    if not chosen.any():
        raise ValueError("no row is a control; the scale of a profile is that of the controls")
    middle = _median(table[chosen])
    spread = 1.4826 * _median(np.abs(table[chosen] - middle))
    # what rounding makes of a constant feature is no scale
    scale = np.where(spread > 1e-9 * np.maximum(np.abs(middle), 1e-300), spread, np.nan)
    found: Floats = (table - middle) / scale
    return found


def select_features(profile: ArrayLike, *, known: float = 0.95, alike: float = 0.95) -> NDArray[np.int64]:
    """Return which features to keep: known in enough rows, not constant, and not saying what an earlier one says.

    Parameters
    ----------
    profile : array_like, shape (rows, features)
        NaN is unknown.
    known : float
        Least share of rows in which a feature is known.
    alike : float
        Of two features whose correlation is beyond this, either way, the later is dropped (Caicedo et al. 2017,
        doi 10.1038/nmeth.4397).

    Returns
    -------
    ndarray of int64
        Indices, rising.
    """
    table = np.asarray(profile, dtype=np.float64)
    finite = np.isfinite(table)
    usable: NDArray[np.int64] = np.flatnonzero(finite.sum(axis=0) >= max(1.0, known * len(table))).astype(np.int64)
    if not usable.size:
        return usable
    filled = np.where(finite, table, _median(table))[:, usable]
    spread = filled.std(axis=0)
    varies = spread > 1e-9 * np.maximum(np.abs(filled).max(axis=0, initial=0), 1e-300)
    usable, filled, spread = usable[varies], filled[:, varies], spread[varies]
    scaled = (filled - filled.mean(axis=0)) / spread
    correlation = np.abs(scaled.T @ scaled) / len(scaled)
    kept: list[int] = []
    for k in range(usable.size):
        if not kept or correlation[k, kept].max() <= alike:
            kept.append(k)
    return np.array([usable[k] for k in kept], dtype=np.int64)


def _median(rows: Floats) -> Floats:
    """Return the median per column, NaN left out, NaN where there is nothing else (without numpy's warning)."""
    ordered = np.sort(rows, axis=0)  # NaN goes last
    count = np.count_nonzero(~np.isnan(rows), axis=0)
    if not len(rows):
        return np.full(rows.shape[1], np.nan)
    columns = np.arange(rows.shape[1])
    low = ordered[np.maximum(count - 1, 0) // 2, columns]
    high = ordered[np.minimum(count // 2, len(rows) - 1), columns]
    return np.where(count > 0, (low + high) / 2, np.nan)
