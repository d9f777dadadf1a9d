"""Which wells are believed to respond, by a prior of effects learned from the plate itself. It steers, claims nothing.

The model is that of `phenoloop.numerics.evidence`, with its spreads plugged in (from the controls) and a mixture over
effects: most wells have none, a share has one of `EFFECTS` field SDs. The shares are learned by a few steps of EM from
a cautious start (Kiefer and Wolfowitz, Annals of Mathematical Statistics 27 (1956) 887-906; what was imaged because of
what was seen does not bias a likelihood). The grid has no small effects: those cannot be told from a heavy tail of the
wells without effect, and learning them makes half the plate "likely hits".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from phenoloop.numerics.claims import CHANGES
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.rounding import significant_all
from phenoloop.numerics.well_sums import WellSums

Array = NDArray[np.float64]

EFFECTS: Final[Array] = 1.4 * 2.0 ** (np.arange(9) / 2)
"""Effects that a responding well may have, in field SDs: 1.4 to 22; beyond, nothing is in doubt."""
SHARE: Final = 0.05
"""Share of the wells that is expected to respond before there is data."""
_START_WELLS: Final = 5.0
"""Wells that the expectation before the data counts for."""
_STEPS: Final = 4
"""EM from a good start is near enough after few steps, and later steps chase noise."""
_LARGEST_LOG: Final = 300.0


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is believed of some wells, each an array in their order; nine significant digits.

    Attributes
    ----------
    log_odds : ndarray of float
        Of responding; the share expected before the data where there is no field.
    chance : ndarray of float
        The same as a probability.
    effect : ndarray of float
        Expected effect if it responds, in units of the readout, without sign.
    expected : ndarray of float
        Distance from the controls in the asked direction, shrunk towards them by the chance that there is nothing;
        NaN without a field.
    spread : tuple of float
        Variances between wells and between fields that were assumed.
    """

    log_odds: Array
    chance: Array
    effect: Array
    expected: Array
    spread: tuple[float, float]

    def gain(self, n: Array, more: Array, top: int | None = None) -> Array:
        """Return the expected gain of further fields: how much surer it becomes which wells belong on the list.

        On the list are the wells above a boundary of the odds. With ``more`` fields the log odds of a well move by a
        normal amount whose mean and variance follow from its effect (``J / 2`` towards the truth and ``J``, as for any
        likelihood ratio of two normals); if they cross the boundary, the list has the right well more often.

        Parameters
        ----------
        n : ndarray of float
            Fields of each well that are told or under way.
        more : ndarray of float
            Fields that would come in; 0 gains nothing.
        top : int or None
            Length of the list; None: all wells that are likelier to respond than not.
        """
        between, within = self.spread
        seen = (n > 0) & (more > 0)
        now, then = np.where(seen, n, 1.0), np.where(seen, n + more, 2.0)
        information = self.effect**2 * (1 / (between + within / then) - 1 / (between + within / now))
        move = np.sqrt(np.maximum(information, 1e-12))
        edge = self._edge(top)
        beyond = self.log_odds - edge
        even = 1 / (1 + math.exp(-edge))
        stays = self.chance * ndtr((beyond + information / 2) / move) * (1 - even)
        strays = (1 - self.chance) * ndtr((beyond - information / 2) / move) * even
        held = np.where(beyond > 0, self.chance - even, 0.0)
        return significant_all(np.where(seen, np.maximum(2 * (stays - strays - held), 0.0), 0.0))

    def _edge(self, top: int | None) -> float:
        """Return the log odds between the last well on the list and the first that is not."""
        if top is None or not 0 < top < len(self.log_odds):
            return 0.0
        order = np.sort(self.log_odds)[::-1]
        return max(-_LARGEST_LOG, min(_LARGEST_LOG, float(order[top - 1] + order[top]) / 2))


def believe(null: Null, wells: WellSums, change: str, smallest: float) -> Belief:
    """Learn the prior from these wells and return what it says of each of them.

    Parameters
    ----------
    null : Null
        The controls; must be usable.
    wells : WellSums
        The wells that are no controls.
    change : str
        ``"up"``, ``"down"`` or ``"both"``.
    smallest : float
        Effects below this do not count as responding, in units of the readout.
    """
    # Fields differ alike in all wells: the more that were seen twice, the better this is known.
    known = null.fields - null.wells
    within = (known * null.field_sd**2 + math.fsum(wells.scatter)) / max(1, known + wells.freedom)
    within = within if within > 0 else null.field_sd**2
    between = null.well_sd_expected**2
    seen = wells.n > 0
    variance = between + within / np.maximum(wells.n, 1)
    effects = EFFECTS * null.field_sd
    effects = effects[(effects >= smallest) | (np.arange(len(effects)) == len(effects) - 1)]
    start = np.full(len(effects), SHARE / len(effects))
    share, centre = start, null.centre
    trust = 1 / null.centre_sd**2
    for _ in range(_STEPS if seen.any() else 0):
        toward, ratio = _against_nothing(wells, centre, variance, effects, CHANGES[change])
        total = (1 - share.sum()) + (ratio[seen] * share).sum(axis=1)
        nothing = (1 - share.sum()) / total / variance[seen]
        share = (share * (ratio[seen] / total[:, None]).sum(axis=0) + _START_WELLS * start) / (
            seen.sum() + _START_WELLS
        )
        # Most wells are wells without effect: together they know better than few controls where those lie.
        centre = (trust * null.centre + (nothing * wells.mean[seen]).sum()) / (trust + nothing.sum())
    toward, ratio = _against_nothing(wells, centre, variance, effects, CHANGES[change])
    weighted = ratio * share
    responds = weighted.sum(axis=1)
    log_odds = np.log(responds) - np.log(1 - share.sum())
    chance = 1 / (1 + np.exp(-log_odds))
    shrink = chance + (1 - chance) * between / variance
    return Belief(
        log_odds=significant_all(log_odds),
        chance=significant_all(chance),
        effect=significant_all((weighted * effects).sum(axis=1) / responds),
        expected=significant_all(np.where(seen, toward * shrink, np.nan)),
        spread=(between, within),
    )


def _against_nothing(wells: WellSums, centre: float, variance: Array, effects: Array, sign: int) -> tuple[Array, Array]:
    """Return the distance in the asked direction, and the likelihood of each effect over that of none."""
    away = np.where(wells.n > 0, wells.mean - centre, 0.0)
    toward = sign * away if sign else np.abs(away)
    strength = np.where(wells.n > 0, 1 / variance, 0.0)[:, None]
    ratio = np.exp(np.minimum((effects * toward[:, None] - effects**2 / 2) * strength, _LARGEST_LOG))
    if not sign:
        # Half of the share each way; the other way round hardly counts once the well is far out.
        ratio = (ratio + np.exp(-(effects * toward[:, None] + effects**2 / 2) * strength)) / 2
    return toward, ratio
