"""Sphering: features turned so that, over the controls, each has variance 1 and none says what another says.

For reports, not for decisions: it decomposes a matrix, whose last digits depend on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sphering:
    """A whitening by ZCA-cor: of all whitenings the one whose results stay most like the features they come from.

    Attributes
    ----------
    middle : ndarray of float64, shape (features,)
        Mean of the controls.
    turn : ndarray of float64, shape (features, features)
        Symmetric up to the features' scale; applied from the right.
    shrinkage : float
        0: the controls' correlations are taken as they are; 1: as if there were none.
    """

    middle: Floats
    turn: Floats
    shrinkage: float

    def __call__(self, profiles: ArrayLike) -> Floats:
        """Return the profiles sphered, shape (rows, features); NaN counts as the middle of the controls."""
        away = np.asarray(profiles, dtype=np.float64) - self.middle
        sphered: Floats = np.where(np.isfinite(away), away, 0.0) @ self.turn
        return sphered


def sphering(controls: ArrayLike, *, shrinkage: float | None = None) -> Sphering:
    """Return the sphering that the controls give.

    Parameters
    ----------
    controls : array_like, shape (rows, features)
        Profiles of control wells, none of them constant in a feature over all rows; NaN counts as the mean.
    shrinkage : float, optional
        Share, 0 to 1, by which correlations are drawn to none. By default what is best on average for as few controls
        as these: without it, wells fewer than features have directions in which controls do not differ at all, and
        these would be blown up without bound.

    Raises
    ------
    ValueError
        If there are fewer than two controls, or a feature is constant in them.

    References
    ----------
    Kessy, Lewin and Strimmer 2018, doi 10.1080/00031305.2016.1277159 (ZCA-cor); Schäfer and Strimmer 2005,
    doi 10.2202/1544-6115.1175 (shrinkage); Ando et al. 2017, doi 10.1101/161422 (sphering profiles on controls).
    """
    rows = np.asarray(controls, dtype=np.float64)
    if len(rows) < 2:
        raise ValueError("fewer than two control wells; correlations need more")
    middle = np.nanmean(rows, axis=0)
    away = np.where(np.isfinite(rows), rows - middle, 0.0)
    sd = away.std(axis=0, ddof=1)
    if not (sd > 0).all():
        raise ValueError("a feature is constant in the controls; drop it before sphering")
    scaled = away / sd
    correlation = scaled.T @ scaled / (len(rows) - 1)
    drawn = best_shrinkage(scaled) if shrinkage is None else shrinkage
    mixed = (1 - drawn) * correlation
    np.fill_diagonal(mixed, 1.0)
    values, vectors = np.linalg.eigh(mixed)
    # without shrinkage the smallest may come out as rounding makes them
    root = vectors / np.sqrt(np.maximum(values, 1e-12)) @ vectors.T
    return Sphering(middle, root / sd[:, None], float(drawn))


def best_shrinkage(scaled: Floats) -> float:
    """Return the shrinkage of correlations with the least expected squared error.

    The sum of the variances of all correlations over the sum of their squares (Schäfer and Strimmer 2005, target D of
    table 2 for correlations).

    Parameters
    ----------
    scaled : ndarray of float64, shape (rows, features)
        Mean 0 and SD 1 (n - 1 in the denominator) in each feature.
    """
    n = len(scaled)
    if n < 3 or scaled.shape[1] < 2:
        return 1.0 if n < 3 else 0.0
    products = scaled.T @ scaled
    variance = n / (n - 1) ** 3 * ((scaled**2).T @ scaled**2 - products**2 / n)
    squares = (products / (n - 1)) ** 2
    apart = ~np.eye(len(products), dtype=np.bool_)
    total = float(squares[apart].sum())
    return 1.0 if total == 0 else float(np.clip(variance[apart].sum() / total, 0.0, 1.0))
