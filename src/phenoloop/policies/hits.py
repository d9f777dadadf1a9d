"""The next fields go where they are most likely to change the answer. Controls first, so that the null is known.

``aim: call`` looks at the evidence of ``question: hits`` and goes where a further visit is most likely to make a hit;
``aim: rank`` sorts the wells into responding and not, and goes where a visit is most likely to put one on the other
side. Whichever it is: controls are looked at again now and then, a small share of the visits is drawn at random, a
replicate well comes before more fields of the same well, called wells are seen again in images of their own, and it
stops when no well has a chance worth a field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.numerics.claims import LEAST_CONTROLS
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.noisier import noise_ratio
from phenoloop.numerics.pace import fields_of_a_visit
from phenoloop.numerics.reach import Reach, reach_of
from phenoloop.numerics.responders import believe
from phenoloop.numerics.well_sums import WellSums
from phenoloop.policies.hits_wishes import (
    Look,
    Wish,
    alternating,
    by_chance,
    calls,
    confirmations,
    controls_first,
    first_looks,
    ranking,
    replicates_first,
    rounds,
)
from phenoloop.policies.outlook import Counts, called_now, depths, look_ahead
from phenoloop.policies.replicates import replicate_groups
from phenoloop.policies.told import Told
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

_TABLE_GROWTH: Final = 1.25
_TABLE_NOISE: Final = 1.09
"""The table of distances is worked out anew for every new control well, for so many times their fields, and where wells
turn out so many times as noisy: it is slow, and it only steers."""

_CALLING_FIELDS: Final = 12
"""Fields of each control for a call, whose evidence rests on their spread."""
_RANKING_SHARE: Final = 1 / 6
"""Images of all controls over the wells of the plate, for a ranking: that much settles where no effect lies."""


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
        If there is no question with a readout and controls, or `replicates` names a column that the map has not.
    """

    kind: ClassVar[str] = "hits"

    class Params(PolicyParams):
        """Keys of ``policy: {kind: hits}``."""

        ahead: ClassVar[float] = 0.25

        fields_per_visit: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(  # type: ignore[assignment]
            default=1,
            description="fields imaged in one trip to a well; auto: more where a trip takes long beside a field",
        )
        aim: Literal["call", "rank"] = Field(
            default="call",
            description="call: as many wells called as can be; rank: the responding wells on top of the list, which "
            "takes fewer images where effects are too small to be called",
        )
        top: int | None = Field(
            default=None,
            ge=1,
            description="with aim rank, how many wells the list is to hold; without it, all that are likelier to "
            "respond than not",
        )
        explore: Percent = Field(default=0.1, description="share of the later visits that go to wells by chance")
        give_up: Percent = Field(
            default=0.01, description="chance of becoming a hit below which a well gets no further field"
        )
        control_fields: int | None = Field(
            default=None,
            ge=1,
            description="fields that each control gets, where it has so many; unless set 12, and with aim rank 2 to "
            "12, so that all controls together make a sixth of the number of wells",
        )
        control_share: Annotated[Percent, Field(gt=0)] = Field(
            default=0.4, description="share of all fields that can be afforded which may go to controls"
        )
        control_again: Percent = Field(
            default=0.05, description="share of the later visits that go back to controls, against drift"
        )
        confirm: int = Field(
            default=2,
            ge=0,
            description="fields in which a called well is seen again, to say how large its effect is; they have no "
            "part in the call",
        )
        replicates: tuple[str, ...] | None = Field(
            default=None,
            description="columns of the plate map in which replicate wells agree; without it all columns, "
            "in groups of at most eight wells",
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
        self._per_visit = (
            fields_of_a_visit(setup) if params.fields_per_visit == "auto" else int(params.fields_per_visit)
        )
        self._groups = replicate_groups(setup, params.replicates)
        self._most = np.array(setup.fields, dtype=np.int64)[self._family]
        self._depths = depths(setup)
        self._control_fields = params.control_fields or self._usual_control_fields()
        self._reach: Reach | None = None
        self._reach_from = (0, 0, 1.0)
        self._noise = 1.0

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        sums = self._told.sums()
        left = self._told.left(context)
        pending = self._told.pending(context)
        look = Look(sums, left, pending, context)
        most = np.minimum(self._control_target(context, left), self._setup.fields)
        first, deeper = controls_first(look, self._controls, most, self._per_visit)
        # Later control images come between first looks, so that drift does not look like an effect.
        wishes = first + alternating(deeper, first_looks(k + 1, self._family, look))
        if len(wishes) <= k:
            wishes += self._later(k - len(wishes), look)
        if not wishes:
            done = f"no further image is likely to change {'a call' if self._params.aim == 'call' else 'the ranking'}"
            return [] if context.pending else Stop(reason=done if left.any() else "every field was imaged")
        instead = self._setup.wells[wishes[k].well] if len(wishes) > k else None
        return [
            Proposal(
                well=self._setup.wells[wish.well],
                fields=int(min(wish.fields or self._per_visit, left[wish.well])),
                score=wish.score,
                why=Why(rule=wish.rule, text=wish.text, numbers=wish.numbers, instead=instead),
            )
            for wish in wishes[:k]
        ]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        looked_at = self._told.looked_at
        self._told.tell(visit, result)
        if visit.well not in self._setup.controls and self._told.looked_at == looked_at:
            return
        null = Null(self._told.sums().at(self._controls))
        if not null.usable:
            return
        self._noise = noise_ratio(null, self._told.first_looks().at(self._family), self._setup.change)
        wells, fields, noise = self._reach_from
        changed = max(noise, self._noise) > _TABLE_NOISE * min(noise, self._noise)
        if changed or null.wells > wells or null.fields >= _TABLE_GROWTH * fields:
            self._reach = reach_of(null.with_noise(self._noise), self._depths, self._setup.change)
            self._reach_from = (null.wells, null.fields, self._noise)

    def report(self) -> Mapping[str, Any]:
        """Return what it believes; a chance here steers, it is no claim."""
        sums = self._told.sums()
        null = self._null(sums)
        family = sums.at(self._family)
        none = np.zeros(len(self._family), dtype=np.int64)
        left = self._most - family.n.astype(np.int64)
        said: dict[str, Any] = {"aim": self._params.aim, "control_wells": null.wells, "control_fields": null.fields}
        if self._reach is None or not null.usable:
            return said | {"left_alone": self._told.left_alone()}
        hits, _ = called_now(null, self._reach, family, self._setup, self._most)
        if self._params.aim == "call":
            chance = look_ahead(
                null, self._reach, family, self._setup, hits, self._most, left, none, self._per_visit
            ).chance
        else:
            belief = believe(null, family, self._setup.change, self._setup.smallest)
            chance = np.where(family.n > 0, belief.chance, 0.0)
        of_what = "chance_of_becoming_a_hit" if self._params.aim == "call" else "chance_of_responding"
        return said | {
            "likely_hits": [self._setup.wells[i] for i in self._family[hits]],
            of_what: {
                self._setup.wells[i]: float(share)
                for i, share in zip(self._family, chance, strict=True)
                if share >= self._params.give_up
            },
            "confirmed": [self._setup.wells[i] for i in self._family if self._told.confirmed[i]],
            "left_alone": self._told.left_alone(),
        }

    def _null(self, sums: WellSums) -> Null:
        """Return the controls, with the noise that the question will assume of the other wells."""
        return Null(sums.at(self._controls)).with_noise(self._noise)

    # -- what is wished for, most wanted first ----------------------------------------------------------------------

    def _usual_control_fields(self) -> int:
        """Return the fields of each control: a ranking needs their spread only roughly."""
        if self._params.aim == "call":
            return _CALLING_FIELDS
        together = _RANKING_SHARE * len(self._setup.wells)
        return max(2, min(_CALLING_FIELDS, round(together / len(self._controls))))

    def _control_target(self, context: Context, left: Counts) -> int:
        """Return the fields each control is to get: as asked for, and within its share of what can be afforded."""
        more = int(left.sum())
        if context.frames_left is not None:
            more = min(more, context.frames_left // self._setup.frames_per_field)
        affordable = self._told.fields + sum(visit.fields for visit in context.pending) + more
        share = math.floor(self._params.control_share * affordable / len(self._controls))
        return max(1, min(self._control_fields, share))

    def _later(self, k: int, look: Look) -> list[Wish]:
        """Return wishes for wells that were looked at before; at least one more than `k` where there are more."""
        if len(self._controls) < LEAST_CONTROLS:
            return rounds(look, "too few controls to call hits, so all wells get the same")
        null = self._null(look.sums)
        if not null.usable or self._reach is None:
            return rounds(look, "the controls tell nothing yet, so all wells get the same")
        left, pending = look.left[self._family], look.pending[self._family]
        family = look.sums.at(self._family)
        hits, log_e = called_now(null, self._reach, family, self._setup, self._most)
        if self._params.aim == "call":
            view = look_ahead(null, self._reach, family, self._setup, hits, self._most, left, pending, self._per_visit)
            wishes = calls(k + 1, self._family, view, family, log_e, self._params.give_up)
        else:
            belief = believe(null, family, self._setup.change, self._setup.smallest)
            more = np.minimum(self._per_visit, left)
            wishes = ranking(
                k + 1, self._family, belief, family.n + pending, more, self._params.give_up, self._params.top
            )
        wishes = replicates_first(wishes, self._groups, look, self._controls)
        unconfirmed = confirmations(self._family[hits], self._told.confirmed, look, self._params.confirm)
        if not wishes:
            return unconfirmed
        if self._scarce(unconfirmed, context=look.context):
            return unconfirmed + wishes
        return self._with_chance(k, wishes, look)

    def _scarce(self, unconfirmed: list[Wish], context: Context) -> bool:
        """Return whether the budget holds no more than what the called wells are to be confirmed with."""
        if context.frames_left is None or not unconfirmed:
            return False
        batch = self._setup.batch * self._per_visit
        owed = sum(wish.fields for wish in unconfirmed) + batch
        return context.frames_left <= owed * self._setup.frames_per_field

    def _with_chance(self, k: int, wishes: list[Wish], look: Look) -> list[Wish]:
        """Give some places to controls and to wells drawn at random: insurance against drift and a wrong model."""
        places = min(k, len(wishes))
        lot = look.context.rng.random(places)
        draws = int((lot < self._params.explore).sum())
        again = int((lot >= 1 - self._params.control_again).sum())
        wanted = {wish.well for wish in wishes[: max(0, k - draws - again)]}
        free = (look.left > 0) & (look.sums.n > 0)
        free[list(wanted)] = False
        others = self._family[free[self._family]]
        drawn = [int(i) for i in look.context.rng.permutation(others)[:draws]]
        have = look.sums.n + look.pending
        controls = sorted((int(i) for i in self._controls if look.left[i] > 0), key=lambda i: (have[i], i))[:again]
        extra = [by_chance(i, "explore", "drawn by chance, in case the model is wrong", look.sums) for i in drawn] + [
            by_chance(i, "control again", "a control seen again, to know whether the plate drifts", look.sums)
            for i in controls
        ]
        kept = [wish for wish in wishes if wish.well not in drawn]
        room = max(0, k - len(extra))
        return kept[:room] + extra + kept[room:]
