"""How surprising a well is among the controls: an e-value that survives looking after every image.

The model, for one readout with ``x[w, f]`` in field ``f`` of well ``w``::

    x[w, f] = centre + effect[w] + b[w] + e[w, f],     b ~ N(0, well_sd²),     e ~ N(0, field_sd²)

Controls have ``effect = 0``; the null hypothesis of any other well is that it has, too. More fields of a well make
``e`` smaller and never ``b``: the unit is the well.

None of these three nuisances is plugged in, because that is what makes false hits (a plug-in null from 32 control
wells let 18 % of empty plates through in simulation):

- ``centre`` and ``field_sd`` are integrated out under the right-Haar prior ``1/field_sd``. The resulting marginal
  likelihood is that of the maximal invariant of the location-scale group, so it does not depend on their values and
  a ratio of two of them is an e-process (Pérez-Ortiz, Lardy, de Heide and Grünwald, Annals of Statistics 52, 2024).
- ``ratio = (well_sd / field_sd)²`` is bounded by its worst case, well by well: the denominator is the *largest* null
  likelihood over all ratios (universal inference: Wasserman, Ramdas and Balakrishnan, PNAS 117, 2020). A well far
  out is thus also tried against the wide null that would explain it.

The numerator mixes over ratios and over effects, ``effect ~ half-normal`` (normal for a change in both directions)::

    e = sum_j sum_g  pi_j rho_g  m(data; ratio_j, g)  /  max_j m(data; ratio_j, 0)

With ``a[c] = ratio + 1/n[c]`` the variance of a well mean in units of ``field_sd²`` everything is in closed form, from
counts, means and sums of squares alone. `data` are the fields of the controls and of the one well; the other wells do
not enter, so a strong hit with a spread of its own cannot spoil the null of its neighbours.

For the true ratio, m(ratio, 0) is at most the denominator and the mixture over it is a non-negative martingale that
starts at 1: the expectation of e is at most 1 at any stopping time, also when the choice of the next image looked at
the data (of this and of other wells), up to the grid step of the ratio. What it assumes: well means that spread
normally and alike among controls and unaffected wells, and fields of other wells that scatter `Null.noise` times as
much as those of controls. That number is plugged in, see `phenoloop.numerics.noisier`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri, stdtr

from phenoloop.numerics.claims import CHANGES
from phenoloop.numerics.rounding import significant_all
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

_RATIOS: Final[Array] = np.concatenate([[0.0], 10.0 ** np.arange(-3.0, 6.01, 0.1)])
# Where well-to-well spreads of real plates are thought to lie: half the mass between 0.3 and 1 field SD, and a tail
# so heavy that a wrong guess costs little. It governs power only, never validity.
_MIXED: Final = np.arange(1, len(_RATIOS), 3)
_RATIO_WEIGHTS: Final[Array] = 1 / (1 + np.log(_RATIOS[_MIXED] / 0.25) ** 2)
_LOG_RATIO_WEIGHTS: Final[Array] = np.log(_RATIO_WEIGHTS / _RATIO_WEIGHTS.sum())
# Effects from two to thirty-two times the spread of well means of about ten fields; most weight where calls are made.
_EFFECTS: Final[Array] = np.array([2.0, 4.0, 8.0, 16.0, 32.0]) ** 2
_LOG_EFFECT_WEIGHTS: Final[Array] = np.log([0.12, 0.32, 0.32, 0.16, 0.08])
_TYPICAL_FIELDS: Final = 10
_LEAST_WELLS: Final = 2
_CHI2_ONE_SIDED_95: Final = 1.6448536269514722**2
# What `well_sd_expected` holds likely before the controls speak: wells that differ by 0.3 field SDs, give or take half.
# It steers and forecasts, it claims nothing.
TYPICAL_RATIO: Final = 0.09
_TYPICAL_SPREAD: Final = 2 * math.log(1.5)
# Ratios that the controls make less likely than this (natural logarithm) are left out of the numerator: it is a sum of
# positive terms, so e only becomes smaller, by less than its ninth digit for any well that could be in doubt.
_NEGLIGIBLE: Final = 25.0


def expected_controls(fields: Sequence[int], ratio: float) -> WellSums:
    """Return typical data of control wells before there are any, with a field SD of 1.

    Parameters
    ----------
    fields : sequence of int
        Fields of each control well; at least 1.
    ratio : float
        (well SD / field SD)².
    """
    n = np.array(fields, float)
    spread = ndtri((np.arange(len(n)) + 0.5) / len(n))
    if len(n) > 1:
        spread /= spread.std(ddof=1)
    return WellSums(n, spread * np.sqrt(ratio + 1 / n), n - 1)


class Null:
    """The controls, and what they say of a well without effect.

    Parameters
    ----------
    controls : WellSums
        Control wells; those without a field are left out.

    Attributes
    ----------
    wells, fields : int
        Control wells with data, and their fields.
    usable : bool
        Whether evidence can be computed: two wells or more, and any variation at all.
    centre : float
        Estimated mean of wells without effect; NaN without controls.
    centre_sd : float
        Its standard error; NaN where unusable.
    field_sd, well_sd : float
        Estimated spread (restricted maximum likelihood); NaN where unusable.
    well_sd_high : float
        Upper 95 % bound of `well_sd` (likelihood ratio).
    well_sd_expected : float
        Mean of `well_sd` over what the controls leave possible, from `TYPICAL_RATIO`, give or take half:
        where controls are few, the likeliest is often 0, and a model that believes this never doubts a lucky well.
    noise : float
        How many times the field SD of the controls the fields of other wells scatter; 1 unless `with_noise` says more.
    """

    def __init__(self, controls: WellSums) -> None:
        seen = controls.n > 0
        n, mean = controls.n[seen], controls.mean[seen]
        self.wells, self.fields = len(n), int(n.sum())
        self._total = float(n.sum())
        self._scatter = math.fsum(controls.scatter[seen])
        # Means are taken relative to one of them: a large offset must not eat the digits of the spread.
        self._origin = float(mean[0]) if self.wells else math.nan
        self.centre = self.centre_sd = math.nan
        self.field_sd = self.well_sd = self.well_sd_high = self.well_sd_expected = math.nan
        self.noise = 1.0
        self.usable = False
        if not self.wells:
            return
        spread = _RATIOS[:, None] + 1 / n
        self._precision = (1 / spread).sum(axis=1)
        self._mean = ((mean - self._origin) / spread).sum(axis=1) / self._precision
        self._squares = ((mean - self._origin - self._mean[:, None]) ** 2 / spread).sum(axis=1) + self._scatter
        self._log_det = -0.5 * np.log(n * spread).sum(axis=1) - 0.5 * np.log(self._precision)
        self.centre = self._origin + float(self._mean[0])
        self.usable = self.wells >= _LEAST_WELLS and float(self._squares[0]) > 1e-18 * max(1.0, self.centre**2)
        if self.usable:
            self._estimate()

    def _estimate(self) -> None:
        freedom = self._total - 1
        log_likelihood = self._log_det - freedom / 2 * np.log(self._squares)
        best = int(np.argmax(log_likelihood))
        variance = self._squares / freedom
        self.centre = self._origin + float(self._mean[best])
        self.centre_sd = math.sqrt(variance[best] / self._precision[best])
        self.field_sd = math.sqrt(variance[best])
        self.well_sd = math.sqrt(_RATIOS[best] * variance[best])
        inside = np.flatnonzero(2 * (log_likelihood[best] - log_likelihood) <= _CHI2_ONE_SIDED_95)
        self.well_sd_high = math.sqrt(max(_RATIOS[i] * variance[i] for i in inside))
        belief = log_likelihood[1:] - 0.5 * (np.log(_RATIOS[1:] / TYPICAL_RATIO) / _TYPICAL_SPREAD) ** 2
        weights = np.exp(belief - belief.max())
        self.well_sd_expected = float((weights * np.sqrt(_RATIOS[1:] * variance[1:])).sum() / weights.sum())
        likely = log_likelihood[_MIXED] >= log_likelihood[_MIXED].max() - _NEGLIGIBLE
        self._likely = _MIXED[likely]
        self._log_weights = _LOG_RATIO_WEIGHTS[likely]

    def with_noise(self, noise: float) -> Null:
        """Return the same controls as the null of wells whose fields scatter so many times as much."""
        other = copy.copy(self)
        other.noise = noise
        return other

    def log_evidence(self, wells: WellSums, change: str) -> Array:
        """Return the natural logarithm of the e-value of each well against "as the controls".

        Parameters
        ----------
        wells : WellSums
            The wells in question; controls must not be among them.
        change : str
            ``"up"``, ``"down"`` or ``"both"``.

        Returns
        -------
        ndarray of float, shape (wells,)
            0 (no evidence) for a well without a field, and for all while the null is not usable. Nine significant
            digits, so that a comparison comes out alike on every machine.
        """
        log_e = np.zeros(len(wells.n))
        seen = np.flatnonzero(wells.n > 0)
        if self.usable and len(seen):
            some = wells.at(seen)
            # Fields k times as noisy weigh as 1 / k² of a control's field does; the density's factor k cancels.
            weight = 1 / self.noise**2
            raw = self._log_evidence(
                some.n, some.n * weight, some.mean - self._origin, some.scatter * weight, CHANGES[change]
            )
            log_e[seen] = significant_all(raw)
        return log_e

    def _log_evidence(self, n: Array, weight: Array, mean: Array, scatter: Array, sign: int) -> Array:
        """As `log_evidence`, for wells that all have data; `mean` is relative to the origin. Axes: ratio, well, g.

        `n` counts fields, `weight` counts them in fields of controls.
        """
        power = (self._total + n - 1) / 2
        away = mean - self._mean[:, None]
        noise = _RATIOS[:, None] + 1 / weight + 1 / self._precision[:, None]
        squares = self._squares[:, None] + scatter
        null = self._log_det[:, None] - 0.5 * np.log(noise) - power * np.log(squares + away**2 / noise)

        some = self._likely
        away, noise, squares = away[some, :, None], noise[some, :, None], squares[some, :, None]
        prior = _EFFECTS * (_RATIOS[some, None, None] + 1 / _TYPICAL_FIELDS)
        wide = noise + prior
        total = squares + away**2 / wide
        power = power[:, None]
        found = self._log_det[some, None, None] - 0.5 * np.log(wide) - power * np.log(total)
        if sign:
            # Half-normal instead of normal: times twice the posterior probability of the asked sign.
            freedom = 2 * power
            scale = np.sqrt(noise * prior / wide * total / freedom)
            right = stdtr(freedom, sign * away * prior / wide / scale)
            found = found + np.log(np.maximum(2 * right, 1e-300))
        found = found + self._log_weights[:, None, None] + _LOG_EFFECT_WEIGHTS
        log_e: Array = logsumexp(found, axis=(0, 2)) - null.max(axis=0)
        return log_e
