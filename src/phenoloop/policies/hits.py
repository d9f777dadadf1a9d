"""The next fields go where they are most likely to change a call. Controls first, so that the null is known.

The policy looks at the same evidence as ``question: hits``. Wells that are not yet called are ordered by their best
chance per field of becoming a hit; a small share of the visits is drawn at random; it stops when no well has a chance
worth a field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.evidence import LEAST_CONTROLS, Null, WellSums
from phenoloop.numerics.rounding import significant
from phenoloop.policies.outlook import Counts, Outlook, look_ahead
from phenoloop.policies.told import Told
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

_CONTROL_SCORE: Final = 3.0
_LOOK_SCORE: Final = 2.0
_LARGEST_LOG: Final = 690.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A visit that would be worth while."""

    well: int
    score: float
    rule: str
    text: str
    numbers: Mapping[str, float]


class Hits:
    """Finds hits with few images.

    Parameters
    ----------
    params : Hits.Params
        As in the protocol.
    setup : Setup
        Wells, controls, readout, direction, smallest effect and error level of the question.

    Raises
    ------
    ProtocolError
        If there is no question with a readout and controls.
    """

    kind: ClassVar[str] = "hits"

    class Params(PolicyParams):
        """Keys of ``policy: {kind: hits}``."""

        explore: Percent = Field(default=0.1, description="share of the later visits that go to wells by chance")
        give_up: Percent = Field(
            default=0.01, description="chance of becoming a hit below which a well gets no further field"
        )
        control_fields: int = Field(default=12, ge=1, description="fields that each control gets, where it has so many")
        control_share: Annotated[Percent, Field(gt=0)] = Field(
            default=0.4, description="share of all fields that can be afforded which may go to controls"
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        if setup.readout is None or not setup.controls:
            message = "the policy hits needs a question with a readout and controls: add `question: {kind: hits, ...}`"
            raise ProtocolError(Problem(where="policy.kind", message=message))
        self._params = params
        self._setup = setup
        self._told = Told(setup, setup.readout)
        names = set(setup.controls)
        self._controls = np.array([i for i, well in enumerate(setup.wells) if well in names], dtype=np.intp)
        self._family = np.array([i for i, well in enumerate(setup.wells) if well not in names], dtype=np.intp)

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        sums = self._told.sums()
        left = self._told.left(context)
        pending = self._told.pending(context)
        first, deeper = self._controls_first(sums, left, pending, self._control_target(context, left))
        # Later control images come between first looks, so that drift does not look like an effect.
        wishes = first + _alternating(deeper, self._first_look(sums, left, pending))
        if len(wishes) <= k:
            wishes += self._later(k - len(wishes), sums, left, pending, context)
        if not wishes:
            done = "no further image is likely to change a call" if left.any() else "every field was imaged"
            return [] if context.pending else Stop(reason=done)
        instead = self._setup.wells[wishes[k].well] if len(wishes) > k else None
        return [
            Proposal(
                well=self._setup.wells[wish.well],
                fields=int(min(self._params.fields_per_visit, left[wish.well])),
                score=wish.score,
                why=Why(rule=wish.rule, text=wish.text, numbers=wish.numbers, instead=instead),
            )
            for wish in wishes[:k]
        ]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        self._told.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return what it believes; a chance here steers, it is no claim."""
        sums = self._told.sums()
        left = np.array(self._setup.fields, dtype=np.int64) - sums.n.astype(np.int64)
        null, view = self._view(sums, left, np.zeros_like(left))
        return {
            "control_wells": null.wells,
            "control_fields": null.fields,
            "likely_hits": [self._setup.wells[i] for i in self._family[view.called]],
            "chance_of_becoming_a_hit": {
                self._setup.wells[i]: significant(float(chance))
                for i, chance in zip(self._family, view.chance, strict=True)
                if chance >= self._params.give_up
            },
            "left_alone": self._told.left_alone(),
        }

    # -- what is wished for, most wanted first ----------------------------------------------------------------------

    def _control_target(self, context: Context, left: Counts) -> int:
        """Return the fields each control is to get: as asked for, and within its share of what can be afforded."""
        more = int(left.sum())
        if context.frames_left is not None:
            more = min(more, context.frames_left // self._setup.frames_per_field)
        affordable = self._told.fields + sum(visit.fields for visit in context.pending) + more
        share = math.floor(self._params.control_share * affordable / len(self._controls))
        return max(1, min(self._params.control_fields, share))

    def _controls_first(
        self, sums: WellSums, left: Counts, pending: Counts, target: int
    ) -> tuple[list[_Wish], list[_Wish]]:
        """Return wishes for controls that were never looked at, and for those that need more."""
        wishes = []
        for i in self._controls:
            have, most = int(sums.n[i] + pending[i]), min(target, self._setup.fields[i])
            if left[i] > 0 and have < most:
                text = f"control with {have} of {most} fields: what no effect looks like must be known"
                numbers = {"fields": float(have), "target": float(most)}
                score = _LOOK_SCORE if have else _CONTROL_SCORE
                wishes.append(_Wish(well=int(i), score=score, rule="controls first", text=text, numbers=numbers))
        wishes.sort(key=lambda wish: (wish.numbers["fields"], wish.well))
        return [w for w in wishes if not w.numbers["fields"]], [w for w in wishes if w.numbers["fields"]]

    def _first_look(self, sums: WellSums, left: Counts, pending: Counts) -> list[_Wish]:
        return [
            _Wish(
                well=int(i),
                score=_LOOK_SCORE,
                rule="first look",
                text="nothing is known of it yet",
                numbers={"fields": 0.0},
            )
            for i in self._family
            if left[i] > 0 and sums.n[i] + pending[i] == 0
        ]

    def _later(self, k: int, sums: WellSums, left: Counts, pending: Counts, context: Context) -> list[_Wish]:
        """Return wishes for wells that were looked at before; at least one more than `k` where there are more."""
        if len(self._controls) < LEAST_CONTROLS:
            return self._rounds(sums, left, pending, "too few controls to call hits, so all wells get the same")
        null, view = self._view(sums, left, pending)
        if not null.usable:
            return self._rounds(sums, left, pending, "the controls tell nothing yet, so all wells get the same")
        wishes = [
            self._promising(j, view, sums)
            for j in range(len(self._family))
            if not view.called[j] and view.chance[j] >= self._params.give_up and left[self._family[j]] > 0
        ]
        wishes.sort(key=lambda wish: (-wish.score, wish.well))
        return self._with_chance(k, wishes, left, pending, sums, context) if wishes else []

    def _with_chance(
        self,
        k: int,
        wishes: list[_Wish],
        left: Counts,
        pending: Counts,
        sums: WellSums,
        context: Context,
    ) -> list[_Wish]:
        """Give a share of the places to wells drawn at random: insurance against a wrong model."""
        draws = int((context.rng.random(min(k, len(wishes))) < self._params.explore).sum())
        wanted = {wish.well for wish in wishes[: max(0, k - draws)]}
        others = [int(i) for i in self._family if left[i] > 0 and sums.n[i] > 0 and int(i) not in wanted]
        drawn = [int(i) for i in context.rng.permutation(np.array(others, dtype=np.int64))[:draws]]
        explored = [
            _Wish(
                well=i,
                score=0.0,
                rule="explore",
                text="drawn by chance, in case the model is wrong",
                numbers={"mean": significant(float(sums.mean[i])), "fields": float(sums.n[i])},
            )
            for i in drawn
        ]
        kept = [wish for wish in wishes if wish.well not in drawn]
        return kept[: max(0, k - len(explored))] + explored + kept[max(0, k - len(explored)) :]

    def _rounds(self, sums: WellSums, left: Counts, pending: Counts, text: str) -> list[_Wish]:
        have = sums.n + pending
        wishes = [
            _Wish(well=i, score=1 / (1 + float(have[i])), rule="rounds", text=text, numbers={"fields": float(have[i])})
            for i in range(len(left))
            if left[i] > 0 and have[i] > 0
        ]
        return sorted(wishes, key=lambda wish: (-wish.score, wish.well))

    def _promising(self, j: int, view: Outlook, sums: WellSums) -> _Wish:
        i = int(self._family[j])
        chance, distance, needed = (float(a[j]) for a in (view.chance, view.distance, view.needed))
        text = (
            f"{distance:.3g} from the controls after {sums.n[i]:g} fields; about {needed:.3g} would be called with all "
            f"of them; chance of becoming a hit {chance:.0%}"
        )
        numbers = {
            "mean": float(sums.mean[i]),
            "fields": float(sums.n[i]),
            "evidence": math.exp(min(float(view.log_e[j]), _LARGEST_LOG)),
            "distance": distance,
            "needed": needed,
            "chance": chance,
        }
        return _Wish(
            well=i,
            score=float(view.per_field[j]),
            rule="most likely to change its call",
            text=text,
            numbers={name: significant(number) for name, number in numbers.items() if math.isfinite(number)},
        )

    def _view(self, sums: WellSums, left: Counts, pending: Counts) -> tuple[Null, Outlook]:
        null = Null(sums.at(self._controls))
        return null, look_ahead(
            null,
            sums.at(self._family),
            self._setup,
            left[self._family],
            pending[self._family],
            self._params.fields_per_visit,
        )


def _alternating(some: list[_Wish], others: list[_Wish]) -> list[_Wish]:
    """Return both lists in turn, and the rest of the longer one."""
    both = min(len(some), len(others))
    turns = [wish for pair in zip(some[:both], others[:both], strict=True) for wish in pair]
    return turns + some[both:] + others[both:]
