"""The next field goes to the dose that narrows an EC50 most; compounds share the budget by their need.

Controls and a few spread doses of every compound first, since nothing can be learnt from a curve of which nothing is
known. Then, one step ahead, the look that is worth most (`policies.dose_looks`), until every EC50 is known well enough
or no look is worth it. What is believed (`policies.curve_beliefs`) steers; what may be claimed is the question's
business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.dose_layout import DoseLayout
from phenoloop.numerics.rounding import significant
from phenoloop.policies.curve_beliefs import CurveBeliefs
from phenoloop.policies.dose_looks import DoseLooks, Look, Places, Worth
from phenoloop.policies.told import Told
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_CONTROL_SCORE: Final = 3e3
_LOOK_SCORE: Final = 2e3


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
        self._index = {well: i for i, well in enumerate(setup.wells)}
        self._told = Told(setup, setup.readout)
        self._layout = DoseLayout.of(setup, along, params.by or setup.by, "policy")
        self._beliefs = CurveBeliefs(self._layout)
        self._places = Places(self._layout, self._beliefs.doses)
        self._worth = Worth(fields=params.fields_per_visit, precision=params.precision, give_up=params.give_up)

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        n, left, pending = self._told.sums().n, self._told.left(context), self._told.pending(context)
        # One more than asked for: what comes next in line is told with every proposal.
        wishes = self._first(k + 1, n, left, pending)
        if len(wishes) <= k:
            for proposal in wishes:
                well, fields = self._index[proposal.well], proposal.fields
                assert isinstance(fields, int)
                left[well] -= fields
                pending[well] += fields
            wishes += self._narrowing(k + 1 - len(wishes), n, left, pending)
        if not wishes:
            return [] if context.pending else Stop(reason=self._why_stop(left))
        following = wishes[k].well if len(wishes) > k else None
        return [replace(wish, why=replace(wish.why, instead=following)) for wish in wishes[:k]]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        well = self._index.get(visit.well)
        if well is None:
            return
        before = self._told.sums().n[well]
        self._told.tell(visit, result)
        sums = self._told.sums()
        if sums.n[well] != before:
            self._beliefs.tell(well, sums)

    def report(self) -> Mapping[str, Any]:
        """Return what it believes of every compound; it steers, it is no claim."""
        beliefs = self._beliefs
        return {
            "well_to_field_variance": significant(beliefs.ratio),
            "compounds": {
                compound.name: {
                    "log10_ec50": significant(float(beliefs.mean[c])),
                    "sd": significant(float(beliefs.sd[c])),
                    "done": bool(beliefs.sd[c] <= self._params.precision),
                }
                for c, compound in enumerate(self._layout.compounds)
                if beliefs.known[c]
            },
            "left_alone": self._told.left_alone(),
        }

    # -- what is wished for, most wanted first ----------------------------------------------------------------------

    def _proposal(
        self, well: int, count: int, score: float, rule: str, text: str, numbers: Mapping[str, float]
    ) -> Proposal:
        kept = {name: significant(number) for name, number in numbers.items() if math.isfinite(number)}
        return Proposal(
            well=self._setup.wells[well],
            fields=count,
            score=significant(score),
            why=Why(rule=rule, text=text, numbers=kept),
        )

    def _first(self, most: int, n: Array, left: Counts, pending: Counts) -> list[Proposal]:
        """Return up to `most` wishes: controls that lack their first fields, then first looks at spread doses."""
        have = n + pending
        wishes = self._first_controls(have, left)
        if len(wishes) < most:
            wishes += self._first_doses(most - len(wishes), have, left)
        return wishes[:most]

    def _first_controls(self, have: Array, left: Counts) -> list[Proposal]:
        target, size = self._params.control_fields, self._params.fields_per_visit
        lacking = [
            (float(have[i]), end, int(i))
            for end, group in (("bottom", self._layout.controls), ("plateau", self._layout.plateau))
            for i in group[(left[group] > 0) & (have[group] < target)]
        ]
        return [
            self._proposal(
                i,
                int(min(size, left[i])),
                _CONTROL_SCORE - fields,
                "controls first",
                f"{fields:g} of {target} fields: the {end} of every curve",
                {"fields": fields},
            )
            for fields, end, i in sorted(lacking, key=lambda one: one[0])
        ]

    def _first_doses(self, most: int, have: Array, left: Counts) -> list[Proposal]:
        of = self._places.of
        seen = np.zeros(len(self._places.wells), dtype=bool)
        seen[of[(have[: len(of)] > 0) & (of >= 0)]] = True
        free = self._places.first(left > 0)
        lacking = []
        for c, compound in enumerate(self._layout.compounds):
            doses = len(compound.grid.log_doses)
            for order, d in enumerate(_spread(doses, self._params.first_doses)):
                place = c * self._places.doses + d
                if not seen[place] and free[place] >= 0:
                    lacking.append((order, c, d, int(free[place])))
        wishes = []
        for order, c, d, well in sorted(lacking, key=lambda one: one[0])[:most]:
            compound = self._layout.compounds[c]
            dose = float(10 ** compound.grid.log_doses[d])
            text = f"nothing is known of {compound.name} at dose {dose:.3g} yet"
            fields = int(min(self._params.fields_per_visit, left[well]))
            wishes.append(self._proposal(well, fields, _LOOK_SCORE - order, "first look", text, {"dose": dose}))
        return wishes

    def _narrowing(self, most: int, n: Array, left: Counts, pending: Counts) -> list[Proposal]:
        """Return up to `most` looks, each the best after those before it."""
        looks = DoseLooks(self._places, self._beliefs, self._worth, n, left, pending)
        wishes: list[Proposal] = []
        while len(wishes) < most and (look := looks.next()) is not None:
            wishes.append(self._wish(look))
        return wishes

    def _wish(self, look: Look) -> Proposal:
        if look.compound is None:
            end = ("bottom", "plateau")[look.place]
            text = f"the {end} of the curves is what holds back their EC50s most"
            rule = f"{end} of the curves"
            return self._proposal(look.well, look.fields, look.gain, rule, text, {"gain": look.gain})
        compound = self._layout.compounds[look.compound]
        dose = float(10 ** compound.grid.log_doses[look.place])
        before, after = math.sqrt(look.before), math.sqrt(max(0.0, look.after))
        well = "a well not yet imaged"
        if look.had:
            well = f"{look.had:g} {'field' if look.had == 1 else 'fields'} of it before"
        much = f"to ± {after:.2g}"
        if f"{after:.2g}" == f"{before:.2g}":
            much = f"though by {1 - after / before:.1%} only"
        text = (
            f"log10 EC50 of {compound.name} is known to ± {before:.2g}; dose {dose:.3g} ({well}) is expected to "
            f"narrow it most, {much}"
        )
        numbers = {
            "dose": dose,
            "log10_ec50": float(self._beliefs.mean[look.compound]),
            "sd": before,
            "sd_after": after,
            "fields": look.had,
        }
        return self._proposal(look.well, look.fields, look.gain, "narrows the EC50 most", text, numbers)

    def _why_stop(self, left: Counts) -> str:
        beliefs, precision = self._beliefs, self._params.precision
        if beliefs.known.all() and (beliefs.sd <= precision).all():
            return f"every log10 EC50 is known to ± {precision:g} (standard deviation)"
        any_left = left[self._layout.everyone()].any()
        why = "no further image would narrow an EC50 by much" if any_left else "every field was imaged"
        names = [compound.name for compound in self._layout.compounds]
        wide = [f"{names[c]} (± {beliefs.sd[c]:.2g})" for c in np.flatnonzero(beliefs.known & (beliefs.sd > precision))]
        unknown = [names[c] for c in np.flatnonzero(~beliefs.known)]
        if wide:
            why += f"; log10 EC50 is not within ± {precision:g} for {', '.join(wide)}"
        if unknown:
            why += f"; nothing is known of {', '.join(unknown)}"
        return why


def _spread(count: int, few: int) -> list[int]:
    """Return `few` of `count` places, evenly spread; the outer ones first."""
    few = min(few, count)
    places = [round(j * (count - 1) / max(1, few - 1)) for j in range(few)]
    return sorted(places, key=lambda place: -abs(place - (count - 1) / 2))
