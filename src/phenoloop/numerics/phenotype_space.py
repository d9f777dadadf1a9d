"""The space in which phenotypes are near or far: profiles on the scale of the controls, and how far two lie apart.

Beyond `CLIP` standard deviations only the logarithm counts, so that one feature that explodes does not hide what the
others say. The same change to another degree is near; what is far from the controls may differ more. Nothing here uses
BLAS, so a policy may order by what comes out, once rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phenoloop.numerics.profiles import ControlScale, median_variance, well_medians
from phenoloop.numerics.rounding import significant, significant_all

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CLIP: Final = 5.0
"""Standard deviations up to which a difference counts as it is."""
SPREAD: Final = 0.25
"""By what share of its distance from the controls a well is taken to differ from others of its phenotype: what is ten
times as far from the controls as they are from each other is not measured as exactly as they are."""
ROUGHLY: Final = 1e-6
"""Relative error that distances of 0.01 and more stay within, in whatever order they were summed: the squared distance
is a difference of sums of up to some thousand, each exact to about 1e-14."""
LEAST_KNOWN: Final = 0.5
"""Share of the weight of the kept features that a profile must know to have a place."""


def clipped(z: Floats) -> Floats:
    """Return z, beyond `CLIP` on either side as ``CLIP (1 + log(|z| / CLIP))``: in order, not overwhelming."""
    found, size = z.copy(), np.abs(z)
    beyond = size > CLIP
    # rounded, because a vectorised logarithm need not have the same last bit on every processor
    found[beyond] = np.copysign(significant_all(CLIP * (1 + np.log(size[beyond] / CLIP))), z[beyond])
    return found


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
        Distance within which so many of the held-out control wells lie as were asked for; None where there were
        too few to know.
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

    def distances(
        self,
        points: Floats,
        others: Floats,
        noise: Floats | float,
        their_noise: Floats | float,
        squares: Floats | None = None,
    ) -> Floats:
        """Return how far points lie from others, in units of what two alike ones would on average.

        Each other is made up to `strength` times stronger or weaker, as fits best: wells that show the same change to
        another degree are near. The stronger the change, the more alike ones differ (`SPREAD`).

        Parameters
        ----------
        points : ndarray of float64, shape (kept, n)
            Of `points`.
        others : ndarray of float64, shape (kept,) or (kept, m)
            One other, or several; `home` for the controls.
        noise : ndarray of float64, shape (n,), or float
            Variance of each point: 1 for a well of one field, see `noise`.
        their_noise : ndarray of float64, shape (m,), or float
            Of the others.
        squares : ndarray of float64, shape (n,), optional
            Squared lengths of the points (`squared`), where they are at hand.

        Returns
        -------
        ndarray of float64, shape (n,) or (m, n)
        """
        if others.ndim == 1:
            return np.asarray(self.distances(points, others[:, None], noise, their_noise, squares)[0])
        own = squared(points) if squares is None else squares
        size = squared(others)[:, None]
        along = _along(points, others)
        away = size > 0  # what lies at the controls is not made stronger, and does not spread
        least, most = np.where(away, 1 / self.strength, 1.0), np.where(away, self.strength, 1.0)
        times = np.minimum(np.maximum(along / np.where(away, size, 1.0), least), most)
        grown = times * times
        stronger = grown * size
        apart = np.maximum(own - 2 * times * along + stronger, 0.0)
        spread = np.where(away, SPREAD**2 / 2, 0.0) * (own + stronger)
        return np.asarray(np.sqrt(apart / (noise + grown * np.reshape(their_noise, (-1, 1)) + spread)))

    def roughly(self, points: Floats, point: Floats, noise: Floats, its_noise: float, squares: Floats) -> Floats:
        """Return `distances` from one other, shape (n,), as fast as the machine can.

        Their last digits depend on the machine, so nothing may be ordered by them that lies nearer to each other than
        `ROUGHLY`, the relative error that they are sure to stay within.
        """
        along = np.einsum("kn,k->n", points, point)
        size = float(np.einsum("k,k->", point, point))
        if size == 0:
            return np.asarray(np.sqrt(squares / (noise + its_noise)))
        times = along / size
        np.maximum(times, 1 / self.strength, out=times)
        np.minimum(times, self.strength, out=times)
        grown = times * times
        both = squares + grown * size
        times *= 2 * along
        apart = np.maximum(both - times, 0.0)
        grown *= its_noise
        both *= SPREAD**2 / 2
        both += grown
        both += noise
        apart /= both
        return np.asarray(np.sqrt(apart, out=apart))


def _along(points: Floats, others: Floats) -> Floats:
    """Return the scalar products, shape (m, n): feature after feature, so that they are alike on every machine."""
    if points.shape[1] < others.shape[1]:
        return _along(others, points).T
    rows = [(points * others[:, [k]]).sum(axis=0) for k in range(others.shape[1])]
    return np.stack(rows) if rows else np.zeros((0, points.shape[1]))


def squared(points: Floats) -> Floats:
    """Return the squared length of each point, shape (n,)."""
    return np.asarray((points**2).sum(axis=0))


def well_points(space: PhenotypeSpace, profiles: Floats, wells: Integers, count: int) -> tuple[Floats, Integers]:
    """Return the point of each well by all its fields, shape (kept, wells), NaN without any; and its fields."""
    medians, many = well_medians(profiles, wells, count)
    return space.points(medians, np.maximum(many, 1)), many
