"""How far profiles lie from the controls, and how far a control lies that had no part in making the scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phenoloop.numerics.profiles import control_scale, well_medians
from phenoloop.numerics.whitening import sphering

Floats = NDArray[np.float64]


def distance(profiles: ArrayLike) -> Floats:
    """Return the root mean square of each row over the features it knows; 0 where it knows none."""
    rows = np.asarray(profiles, dtype=np.float64)
    known = np.isfinite(rows)
    squares = np.where(known, rows, 0.0) ** 2
    found: Floats = np.sqrt(squares.sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    return found


def varying(rows: Floats) -> NDArray[np.bool_]:
    """Return which columns hold at least two values that differ; NaN is no value."""
    known = np.isfinite(rows)
    highest, lowest = np.where(known, rows, -np.inf).max(axis=0), np.where(known, rows, np.inf).min(axis=0)
    differ: NDArray[np.bool_] = highest > lowest
    return differ


def held_out(fields: ArrayLike, wells: ArrayLike, controls: ArrayLike, *, sphere: bool = False) -> list[float]:
    """Return the distance of each control well on the scale (and sphering) of the other control wells.

    What made the scale looks near to it, the more so the fewer wells and the more features; a well that is like the
    controls is to be compared with this.

    Parameters
    ----------
    fields : array_like, shape (fields, features)
        NaN is unknown.
    wells : array_like of int, shape (fields,)
        Which well each field lies in, from 0.
    controls : array_like of bool, shape (wells,)
        Which wells are controls; those without fields are left out.
    sphere : bool
        Also sphere on the others.

    Returns
    -------
    list of float
        In the order of the wells; empty with fewer than three.
    """
    table, which = np.asarray(fields, dtype=np.float64), np.asarray(wells, dtype=np.int64)
    chosen = np.asarray(controls, dtype=np.bool_)[which]
    rows = np.unique(which[chosen])
    if rows.size < 3:
        return []
    table, place = table[chosen], np.searchsorted(rows, which[chosen])
    medians, count = well_medians(table, place, rows.size)
    found = []
    for own in range(rows.size):
        others = np.arange(rows.size) != own
        z = control_scale(table[place != own], place[place != own], others).z(medians, count)
        if sphere:
            z = z[:, varying(z[others])]
            z = sphering(z[others])(z)
        found.append(float(distance(z[[own]])[0]))
    return found
