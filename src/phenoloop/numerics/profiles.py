"""From features to profiles: summed up per field and well, put on the scale of the controls, freed of what is idle.

Sums run over rows one after another and nothing here uses BLAS, so that a policy may order by what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MAD: Final = 1.482602218505602
"""1 / (75 % point of the standard normal)."""
_SMALL_N: Final = (1.0, 1.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
_NOTHING: Final = 1e-9
"""What rounding makes of a constant feature, relative to its size, is no scale."""


def median(rows: Floats) -> Floats:
    """Return the median over the first axis, NaN left out, NaN where there is nothing else (without numpy's warning).

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, ...)
    """
    if len(rows) == 1:
        return np.asarray(rows[0]).copy()
    ordered = np.sort(rows, axis=0)  # NaN goes last
    count = np.count_nonzero(~np.isnan(rows), axis=0)
    if not len(rows):
        return np.full(rows.shape[1:], np.nan)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(rows) - 1)[None], axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.nan)


def mean(rows: Floats) -> Floats:
    """Return the mean per column, NaN left out, NaN where there is nothing else; see `median`."""
    known = ~np.isnan(rows)
    count = np.count_nonzero(known, axis=0)
    total: Floats = np.where(known, rows, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


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
    found = np.full((names.size, table.shape[1]), np.nan)
    for some, rows in _of_one_size(which):
        found[some] = median(table[rows.T])
    return names, found


def _of_one_size(groups: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield the groups (numbers from 0) that have equally many rows, and these, shape (groups, rows), in order.

    On a plate nearly all wells have equally many fields, and taking them together is ten times as fast.
    """
    counts = np.bincount(groups)
    order, first = np.argsort(groups, kind="stable"), np.cumsum(counts) - counts
    for size in np.unique(counts[counts > 0]).tolist():
        some = np.flatnonzero(counts == size)
        yield some, order[first[some][:, None] + np.arange(size)]


@dataclass(frozen=True, slots=True)
class ControlScale:
    """Where the control wells lie in each feature, how far they lie apart, and what a field adds to that.

    Attributes
    ----------
    middle : ndarray of float64, shape (features,)
        Median of the control wells; NaN where none knows the feature.
    between : ndarray of float64, shape (features,)
        SD between wells without what their fields add; NaN for a feature without any scale.
    within : ndarray of float64, shape (features,)
        SD between fields of one well.
    """

    middle: Floats
    between: Floats
    within: Floats

    def z(self, wells: ArrayLike, fields: ArrayLike) -> Floats:
        """Return (well - middle) / SD of a control well that has as many fields.

        A well of one field scatters more than one of nine; on one scale for all, what was imaged least would look
        furthest from the controls.

        Parameters
        ----------
        wells : array_like, shape (wells, features)
            Medians over the fields of each well; NaN is unknown and stays so.
        fields : array_like of int, shape (wells,)
            How many fields, at least 1.
        """
        per_well = np.asarray(wells, dtype=np.float64)
        share = median_variance(np.asarray(fields, dtype=np.float64))[:, None]
        z: Floats = (per_well - self.middle) / np.sqrt(self.between**2 + share * self.within**2)
        return z


def control_scale(fields: ArrayLike, wells: ArrayLike, controls: ArrayLike) -> ControlScale:
    """Return the scale that the control wells give.

    The SD between wells is 1.4826 MAD with the factor for few values, less what the number of fields explains; that
    between fields of a well comes from all pairs of fields in control wells, where the median of few is not biased. A
    feature that is the same in the control wells, but not on the plate, gets its SD about the controls' value over all
    wells, so that what only treated wells have can still be seen, and no well lies further than sqrt(wells).

    Parameters
    ----------
    fields : array_like, shape (fields, features)
        NaN is unknown.
    wells : array_like of int, shape (fields,)
        Which well each field lies in, from 0.
    controls : array_like of bool, shape (wells,)
        Which wells are controls.

    Raises
    ------
    ValueError
        If fewer than two control wells have fields: one well shows no spread between wells.

    References
    ----------
    Croux and Rousseeuw 1992, doi 10.1007/978-3-662-26811-7_58, for the factors of few values.
    """
    table, which = np.asarray(fields, dtype=np.float64), np.asarray(wells, dtype=np.int64)
    chosen = np.asarray(controls, dtype=np.bool_)
    per_well, counts = well_medians(table, which, chosen.size)
    seen = chosen & (counts > 0)
    if np.count_nonzero(seen) < 2:
        raise ValueError("fewer than two control wells have fields; the scale of a profile is that of the controls")
    middle, spread = _robust(per_well[seen])
    within = _between_fields(table, which, seen)
    share = float(median_variance(counts[seen].astype(np.float64)).mean())
    between = np.sqrt(np.maximum(0.0, spread**2 - share * within**2))
    # a feature that only some fields know may lack one of the two
    flat = ~(np.hypot(between, within) > _NOTHING * np.abs(middle))
    away = np.where(counts[:, None] > 0, per_well, np.nan) - middle
    plate = np.sqrt(mean(away**2))
    between = np.where(flat, np.where(plate > _NOTHING * np.abs(middle), plate, np.nan), between)
    return ControlScale(middle, between, np.where(flat, 0.0, within))


def well_medians(fields: ArrayLike, wells: ArrayLike, count: int) -> tuple[Floats, Integers]:
    """Return the median over the fields of each well, and how many fields it has.

    Parameters
    ----------
    fields : array_like, shape (fields, features)
        NaN is unknown.
    wells : array_like of int, shape (fields,)
        Which well each field lies in, from 0.
    count : int
        Number of wells; one without fields is NaN.
    """
    table, which = np.asarray(fields, dtype=np.float64), np.asarray(wells, dtype=np.int64)
    per_well = np.full((count, table.shape[1]), np.nan)
    present, medians = summarise(table, which)
    per_well[present.astype(np.int64)] = medians
    return per_well, np.bincount(which, minlength=count).astype(np.int64)


def median_variance(n: Floats) -> Floats:
    """Return the variance of the median of n standard normal values.

    pi / (2 n + pi - 2) for odd n, pi / (2 n + 2 pi - 4) for even: exact for 1 and 2, right to 3 % for all n, and
    pi / 2n for large ones.
    """
    extra = np.where(n % 2 == 1, np.pi - 2, 2 * np.pi - 4)
    found: Floats = np.pi / (2 * n + extra)
    return found


def robust_z(values: ArrayLike, controls: ArrayLike) -> Floats:
    """Return (value - median of the controls) / (1.4826 MAD of the controls), feature by feature.

    For rows that stand for equally much (objects, wells of equally many fields); else `control_scale`.

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
    middle = median(table[chosen])
    spread = _MAD * median(np.abs(table[chosen] - middle))
    scale = np.where(spread > _NOTHING * np.maximum(np.abs(middle), 1e-300), spread, np.nan)
    found: Floats = (table - middle) / scale
    return found


class Verdict(NamedTuple):
    """Why a feature is kept or not: ``kept``, ``unknown``, ``constant``, or ``alike`` another one that is kept."""

    word: str
    like: int = -1


def judge_features(profile: ArrayLike, *, known: float = 0.95, alike: float = 0.95) -> list[Verdict]:
    """Say of each feature whether to keep it: known in enough rows, not constant, and not saying what an earlier says.

    Parameters
    ----------
    profile : array_like, shape (rows, features)
        NaN is unknown.
    known : float
        Least share of rows in which a feature is known.
    alike : float
        Of two features whose correlation is beyond this, either way, the later is dropped (Caicedo et al. 2017,
        doi 10.1038/nmeth.4397).
    """
    table = np.asarray(profile, dtype=np.float64)
    finite = np.isfinite(table)
    verdicts = [Verdict("unknown")] * table.shape[1]
    usable = np.flatnonzero(finite.sum(axis=0) >= max(1.0, known * len(table)))
    if not usable.size:
        return verdicts
    filled = np.where(finite, table, median(np.where(finite, table, np.nan)))[:, usable]
    spread = filled.std(axis=0)
    varies = spread > _NOTHING * np.maximum(np.abs(filled).max(axis=0, initial=0), 1e-300)
    scaled = (filled - filled.mean(axis=0)) / np.where(varies, spread, 1.0)
    left = varies.copy()
    for k in range(usable.size):
        if not varies[k]:
            verdicts[usable[k]] = Verdict("constant")
        elif left[k]:
            verdicts[usable[k]] = Verdict("kept")
            later = k + 1 + np.flatnonzero(left[k + 1 :])
            correlation = np.abs((scaled[:, later] * scaled[:, [k]]).sum(axis=0)) / len(scaled)
            for twin in later[correlation > alike]:
                verdicts[usable[twin]] = Verdict("alike", int(usable[k]))
                left[twin] = False
    return verdicts


def select_features(profile: ArrayLike, *, known: float = 0.95, alike: float = 0.95) -> Integers:
    """Return the indices, rising, of the features that `judge_features` keeps; same parameters."""
    verdicts = judge_features(profile, known=known, alike=alike)
    return np.array([k for k, verdict in enumerate(verdicts) if verdict.word == "kept"], dtype=np.int64)


def _robust(rows: Floats) -> tuple[Floats, Floats]:
    """Return median and SD by the MAD, column by column, NaN left out."""
    middle = median(rows)
    n = np.count_nonzero(~np.isnan(rows), axis=0)
    few = np.array(_SMALL_N)[np.minimum(n, len(_SMALL_N) - 1)]
    factor = np.where(n < len(_SMALL_N), few, n / np.maximum(n - 0.8, 0.1))
    return middle, factor * _MAD * median(np.abs(rows - middle))


def _between_fields(table: Floats, which: Integers, wells: NDArray[np.bool_]) -> Floats:
    """Return the SD between fields of one well, from the differences of all pairs in some wells; 0 without a pair."""
    own = np.flatnonzero(wells[which])
    differences = [np.zeros((0, table.shape[1]))]
    for _, rows in _of_one_size(which[own]):
        first, second = np.triu_indices(rows.shape[1], 1)
        fields = table[own[rows]]
        differences.append(np.abs(fields[:, first] - fields[:, second]).reshape(-1, table.shape[1]))
    found = _MAD / np.sqrt(2.0) * median(np.concatenate(differences))
    return np.where(np.isfinite(found), found, 0.0)
