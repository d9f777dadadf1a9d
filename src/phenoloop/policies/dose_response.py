"""The next field goes to the dose that narrows an EC50 most; compounds share the budget by their need.

Controls and a few spread doses of every compound first, since nothing can be learnt from a curve of which nothing is
known. Then, one step ahead, the dose at which a field is expected to take most from the variance of log10 EC50: where
the curve, as far as it is known, says most about the EC50 (locally c-optimal design; Chaloner and Verdinelli,
Statistical Science 10 (1995) 273-304). Replicate wells of a dose come before more fields of one well by as much as
wells differ. What is believed steers; what may be claimed is the question's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.dose_curve import RATIOS, Belief, ratio_weights
from phenoloop.numerics.dose_layout import Compound, DoseLayout, shared_points
from phenoloop.numerics.evidence import WellSums
from phenoloop.numerics.rounding import significant
from phenoloop.policies.told import Told
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_CONTROL_SCORE: Final = 3e3
_LOOK_SCORE: Final = 2e3
_UNKNOWN: Final = 0.3
"""SD of log10 EC50 above which variance counts no more: a factor of two either way."""


@dataclass(slots=True, eq=False)
class _Outlook:
    """What is believed of one compound, taking in what is under way as it will come: `covariance` shrinks."""

    compound: Compound
    belief: Belief
    covariance: Array

    @property
    def variance(self) -> float:
        return float(self.covariance[0, 0])

    def gain(self, place: int, noise: float) -> float:
        """Return what a look at a dose takes from the variance of log10 EC50."""
        return float(self.covariance[0, place] ** 2 / (self.covariance[place, place] + noise))

    def look(self, place: int, noise: float) -> None:
        """Take in a look that is on its way: linear update of the covariance, whatever it will show."""
        row = self.covariance[place].copy()
        self.covariance = self.covariance - row[:, None] * row[None, :] / (row[place] + noise)


@dataclass(frozen=True, slots=True)
class _Pick:
    well: int
    gain: float
    taken: float
    owner: _Outlook | None
    place: int
    fields: int


class DoseResponse:
    """Narrows the EC50 of every compound with few images.

    Parameters
    ----------
    params : DoseResponse.Params
        As in the protocol.
    setup : Setup
        Wells, their rows of the plate map; the question's readout, columns and controls.

    Raises
    ------
    ProtocolError
        If there is no readout, no column of doses, or no compound of three doses.
    """

    kind: ClassVar[str] = "dose_response"

    class Params(PolicyParams):
        """Keys of ``policy: {kind: dose_response}``."""

        along: str | None = Field(default=None, description="column of the dose; the question's unless set")
        by: str | None = Field(default=None, description="column of the compound; the question's unless set")
        precision: float = Field(
            default=0.1,
            gt=0,
            allow_inf_nan=False,
            description="standard deviation of log10 EC50 at which a compound is done; 0.1 is a factor of 1.26",
        )
        control_fields: int = Field(default=1, ge=1, description="fields that every control gets first")
        first_doses: int = Field(default=4, ge=3, description="doses of every compound that are looked at first")
        give_up: Annotated[Percent, Field(gt=0)] = Field(
            default=0.002, description="share of the variance of log10 EC50 that a visit must be expected to take away"
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        if setup.readout is None:
            message = "dose_response needs a readout: add `question: {kind: dose_response, readout: ...}`"
            raise ProtocolError(Problem(where="policy.kind", message=message))
        along = params.along or setup.along
        if along is None:
            message = "dose_response needs the column of the plate map that holds the dose: name it here, as `along`"
            raise ProtocolError(Problem(where="policy.along", message=message))
        self._params = params
        self._setup = setup
        self._told = Told(setup, setup.readout)
        self._layout = DoseLayout.of(setup, along, params.by or setup.by, "policy")

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        sums, left, pending = self._told.sums(), self._told.left(context), self._told.pending(context)
        wishes = self._first(sums, left, pending)
        if len(wishes) <= k:
            for proposal in wishes:
                well, fields = self._setup.wells.index(proposal.well), proposal.fields
                assert isinstance(fields, int)
                left[well] -= fields
                pending[well] += fields
            wishes += self._narrowing(k + 1 - len(wishes), sums, left, pending)
        if not wishes:
            return [] if context.pending else Stop(reason=self._why_stop(sums, left))
        following = wishes[k].well if len(wishes) > k else None
        return [
            Proposal(
                well=wish.well,
                fields=wish.fields,
                score=wish.score,
                why=Why(rule=wish.why.rule, text=wish.why.text, numbers=wish.why.numbers, instead=following),
            )
            for wish in wishes[:k]
        ]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        self._told.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return what it believes of every compound; it steers, it is no claim."""
        sums = self._told.sums()
        outlooks, ratio, _ = self._outlooks(sums)
        return {
            "well_to_field_variance": significant(ratio),
            "compounds": {
                one.compound.name: {
                    "log10_ec50": significant(one.belief.mean),
                    "sd": significant(one.belief.sd),
                    "done": one.belief.sd <= self._params.precision,
                }
                for one in outlooks
            },
            "left_alone": self._told.left_alone(),
        }

    # -- what is wished for, most wanted first ----------------------------------------------------------------------

    def _proposal(self, well: int, score: float, rule: str, text: str, left: Counts, **numbers: float) -> Proposal:
        kept = {name: significant(number) for name, number in numbers.items() if math.isfinite(number)}
        return Proposal(
            well=self._setup.wells[well],
            fields=int(min(self._params.fields_per_visit, left[well])),
            score=significant(score),
            why=Why(rule=rule, text=text, numbers=kept),
        )

    def _first(self, sums: WellSums, left: Counts, pending: Counts) -> list[Proposal]:
        """Return controls that lack their first fields, and first looks at spread doses."""
        have = sums.n + pending
        target = self._params.control_fields
        wishes = [
            self._proposal(
                int(i),
                _CONTROL_SCORE - float(have[i]),
                "controls first",
                f"{have[i]:g} of {target} fields: the {end} of every curve",
                left,
                fields=float(have[i]),
            )
            for end, group in (("bottom", self._layout.controls), ("plateau", self._layout.plateau))
            for i in group
            if left[i] > 0 and have[i] < target
        ]
        for compound in self._layout.compounds:
            doses = compound.grid.log_doses
            ranks = _spread(len(doses), self._params.first_doses)
            for order, d in enumerate(ranks):
                own = compound.wells[compound.log_dose == doses[d]]
                free = [int(i) for i in own if left[i] > 0]
                if free and not have[own].any():
                    text = f"nothing is known of {compound.name} at dose {10 ** doses[d]:.3g} yet"
                    dose = float(10 ** doses[d])
                    wishes.append(self._proposal(free[0], _LOOK_SCORE - order, "first look", text, left, dose=dose))
        return sorted(wishes, key=lambda wish: -wish.score)

    def _narrowing(self, most: int, sums: WellSums, left: Counts, pending: Counts) -> list[Proposal]:
        """Return up to `most` looks, each the best after those before it."""
        outlooks, ratio, variance = self._outlooks(sums)
        coming = sums.n.copy()
        for i in np.flatnonzero(pending):
            self._take_in(int(i), int(pending[i]), coming, outlooks, ratio, variance)
        left = left.copy()
        wishes: list[Proposal] = []
        while len(wishes) < most:
            pick = self._best(outlooks, coming, left, ratio, variance)
            if pick is None:
                break
            wishes.append(self._wish(pick, coming, left))
            left[pick.well] -= pick.fields
            self._take_in(pick.well, pick.fields, coming, outlooks, ratio, variance)
        return wishes

    def _outlooks(self, sums: WellSums) -> tuple[list[_Outlook], float, float]:
        """Return what is believed of each compound with data, the ratio of variances, and the field variance."""
        data = shared_points(self._layout, sums)
        if not data:
            return [], 0.0, 1.0
        ratios = ratio_weights(self._layout.points(sums, None), data)
        outlooks = []
        for compound in self._layout.compounds:
            if (sums.n[compound.wells] > 0).any():
                belief = Belief(compound.grid, self._layout.points(sums, compound), ratios)
                covariance = belief.covariance(np.append(compound.grid.log_doses, [-math.inf, math.inf]))
                outlooks.append(_Outlook(compound, belief, covariance))
        variance = math.fsum(one.belief.field_variance() for one in outlooks) / len(outlooks)
        return outlooks, float((ratios * RATIOS).sum()), variance

    def _take_in(
        self, well: int, fields: int, coming: Array, outlooks: Sequence[_Outlook], ratio: float, variance: float
    ) -> None:
        noise = variance / _information(float(coming[well]), fields, ratio)
        coming[well] += fields
        for one in outlooks:
            place = self._place(well, one.compound)
            if place is not None:
                one.look(place, noise)

    def _place(self, well: int, compound: Compound) -> int | None:
        """Return the row of a well's dose in the covariance of a compound; None for a well of another."""
        doses = compound.grid.log_doses
        if well in self._layout.controls:
            return len(doses) + 1
        if well in self._layout.plateau:
            return len(doses) + 2
        own = np.flatnonzero(compound.wells == well)
        return 1 + int(np.searchsorted(doses, compound.log_dose[own[0]])) if len(own) else None

    def _best(
        self, outlooks: Sequence[_Outlook], coming: Array, left: Counts, ratio: float, variance: float
    ) -> _Pick | None:
        open_ = [one for one in outlooks if one.variance > self._params.precision**2]
        picks = []
        for one in open_:
            for d, dose in enumerate(one.compound.grid.log_doses):
                wells = [int(i) for i in one.compound.wells[one.compound.log_dose == dose] if left[i] > 0]
                if wells:
                    picks.append(self._look([one], 1 + d, wells, coming, left, ratio, variance))
        for end, group in ((-2, self._layout.controls), (-1, self._layout.plateau)):
            wells = [int(i) for i in group if left[i] > 0]
            if wells and open_:
                picks.append(self._look(open_, end, wells, coming, left, ratio, variance))
        worth = [pick for pick in picks if pick.gain > 0]
        return min(worth, key=lambda pick: (-pick.gain, pick.well)) if worth else None

    def _look(
        self,
        owners: Sequence[_Outlook],
        place: int,
        wells: Sequence[int],
        coming: Array,
        left: Counts,
        ratio: float,
        variance: float,
    ) -> _Pick:
        """Return the best look at one dose: the well that tells most, and its gain over the compounds it serves."""
        size = self._params.fields_per_visit
        told = [significant(_information(float(coming[i]), min(size, int(left[i])), ratio)) for i in wells]
        best = min(range(len(wells)), key=lambda j: (-told[j], coming[wells[j]], wells[j]))
        noise = variance / told[best]
        gain = taken = 0.0
        for one in owners:
            taken = one.gain(place, noise)
            if taken >= self._params.give_up * one.variance:
                # An EC50 known to a factor of two or to a factor of a hundred: both are not known. So a compound
                # without effect, whose variance is the largest and cannot fall, does not come before all others.
                weight = min(1.0, _UNKNOWN**2 / one.variance)
                gain += weight * min(taken, one.variance - self._params.precision**2)
        fields = int(min(size, left[wells[best]]))
        return _Pick(wells[best], significant(gain), taken, owners[0] if place > 0 else None, place, fields)

    def _wish(self, pick: _Pick, coming: Array, left: Counts) -> Proposal:
        if pick.owner is None:
            end = "bottom" if pick.place == -2 else "plateau"
            text = f"the {end} of the curves is what holds back their EC50s most"
            return self._proposal(pick.well, pick.gain, f"{end} of the curves", text, left, gain=pick.gain)
        one = pick.owner
        dose = float(10 ** one.compound.grid.log_doses[pick.place - 1])
        before = math.sqrt(one.variance)
        after = math.sqrt(max(0.0, one.variance - pick.taken))
        well = "a well not yet imaged" if coming[pick.well] == 0 else f"{coming[pick.well]:g} fields of it before"
        text = (
            f"log10 EC50 of {one.compound.name} is known to ± {before:.2g}; dose {dose:.3g} ({well}) is expected to "
            f"narrow it most, to ± {after:.2g}"
        )
        return self._proposal(
            pick.well,
            pick.gain,
            "narrows the EC50 most",
            text,
            left,
            dose=dose,
            log10_ec50=one.belief.mean,
            sd=before,
            sd_after=after,
            fields=float(coming[pick.well]),
        )

    def _why_stop(self, sums: WellSums, left: Counts) -> str:
        outlooks, _, _ = self._outlooks(sums)
        open_ = [one for one in outlooks if one.belief.sd > self._params.precision]
        if not open_ and len(outlooks) == len(self._layout.compounds):
            return f"every log10 EC50 is known to ± {self._params.precision:g} (standard deviation)"
        known = (
            ", ".join(f"{one.compound.name} to ± {one.belief.sd:.2g}" for one in open_) or "some compounds not at all"
        )
        any_left = left[self._layout.everyone()].any()
        why = "no further image would narrow an EC50 by much" if any_left else "every field was imaged"
        return f"{why}; log10 EC50 is known of {known}"


def _information(n: float, more: int, ratio: float) -> float:
    """Return what `more` fields add to a well of `n`: precision of its mean, in units of 1 / field variance."""
    before = 1 / (ratio + 1 / n) if n else 0.0
    return 1 / (ratio + 1 / (n + more)) - before


def _spread(count: int, few: int) -> list[int]:
    """Return `few` of `count` places, evenly spread; the outer ones first."""
    few = min(few, count)
    places = [round(j * (count - 1) / max(1, few - 1)) for j in range(few)]
    return sorted(places, key=lambda place: -abs(place - (count - 1) / 2))
