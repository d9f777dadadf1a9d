"""Several policies side by side: each has a share of the fields, and chance may have one too.

A share is kept over the run, not in every batch: the next place goes to the part that is furthest behind its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from pydantic import Field

from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.policies.combining import Combination, PartsParams, Until, joined
from phenoloop.policies.part_batch import Batch, Part, Tally
from phenoloop.policies.told import Told
from phenoloop.protocol.nested import PolicyBlock
from phenoloop.protocol.quantities import Percent

RANDOM: Final = "random"


class WeightedBlock(PolicyBlock):
    """A part of a mixture."""

    weight: Annotated[Percent, Field(gt=0)] = Field(description="share of the fields; shares need not make 100 %")


class AtRandom:
    """Draws wells by chance, each with the same probability, whatever was seen."""

    def __init__(self, setup: Setup, per_visit: int) -> None:
        self._setup = setup
        self._per_visit = per_visit
        self._told = Told(setup, None)

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` wells that were drawn; see `phenoloop.ports.Policy`."""
        left = self._told.left(context, patient=True)
        wells = np.flatnonzero(left > 0)
        if not len(wells):
            return [] if context.pending else Stop(reason="every field was imaged")
        drawn = [int(i) for i in context.rng.permutation(wells)[:k]]
        text = f"drawn by chance among {len(wells)} wells with fields left, whatever was seen"
        why = Why(rule="by chance", text=text, numbers={"wells": float(len(wells))})
        return [
            Proposal(well=self._setup.wells[i], fields=int(min(self._per_visit, left[i])), score=float(-place), why=why)
            for place, i in enumerate(drawn)
        ]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Remember denials; nothing else matters to chance."""
        self._told.tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return nothing: chance believes nothing."""
        return {}


class Mix(Combination):
    """Gives each part its share of the fields.

    Parameters
    ----------
    params : Mix.Params
        As in the protocol.
    setup : Setup
        The plate.
    """

    kind: ClassVar[str] = "mix"

    class Params(PartsParams):
        """Keys of ``policy: {kind: mix}``."""

        of: tuple[WeightedBlock, ...] = Field(min_length=1, description="policies, each with its weight and own keys")
        random: Annotated[Percent, Field(lt=1)] = Field(
            default=0.0, description="share of the fields in wells that are drawn by chance"
        )
        until: Until = Field(default="first", description="it ends when the first part stops, or when all have stopped")

    def __init__(self, params: Params, setup: Setup) -> None:
        super().__init__(params.of, [setup] * len(params.of))
        self._until = params.until
        self._weights = [block.weight for block in params.of]
        if params.random:
            chance = AtRandom(setup, params.fields_per_visit)
            part = Part(RANDOM, RANDOM, {}, chance, params.fields_per_visit, Tally())
            self._parts.append(part)
            self._weights.append(params.random / (1 - params.random) * sum(self._weights))

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        return shared_out(k, context, self._setup, self._parts, self._weights, [None] * len(self._parts), self._until)


def shared_out(
    k: int,
    context: Context,
    setup: Setup,
    parts: Sequence[Part],
    weights: Sequence[float],
    budgets: Sequence[int | None],
    until: Until,
) -> Sequence[Proposal] | Stop:
    """Share a batch out among parts; places that a part does not want go to the others.

    Parameters
    ----------
    k : int
        Visits wanted.
    context : Context
        Of this ask.
    setup : Setup
        The plate.
    parts, weights : sequence
        Who, and how much of the fields each is to have.
    budgets : sequence of int or None
        Frames that each may still spend.
    until : str
        Whose end is the end.
    """
    batch, stops = Batch(k, context, setup, len(parts)), {}
    places = _places(k, context, parts, [0.0 if budget == 0 else w for w, budget in zip(weights, budgets, strict=True)])
    for again in (False, True):
        for i, part in enumerate(parts):
            # The second time round, what is still free is offered to everybody.
            count = batch.room if again else places[i]
            if not count or part.name in stops or budgets[i] == 0:
                continue
            answer = batch.ask(i, part, count, again=again, frames_left=_rest(budgets[i], batch, part, setup))
            if not isinstance(answer, Stop):
                batch.choose(part, answer, count, _rest(budgets[i], batch, part, setup))
                continue
            stops[part.name] = answer.reason
            if i == 0 and until == "first":
                return joined(stops)
    ended = dict(stops)
    ended |= {
        part.name: "its share of the budget is spent" for part, one in zip(parts, budgets, strict=True) if one == 0
    }
    return joined(ended) if len(ended) == len(parts) and not context.pending and not batch.chosen else batch.chosen


def _rest(budget: int | None, batch: Batch, part: Part, setup: Setup) -> int | None:
    """Return the frames that a part may still spend after what was chosen of it in this batch."""
    if budget is None:
        return None
    return budget - sum(batch.frames_of(one) for one in batch.chosen if part.own(one.why.by) is not None)


def _places(k: int, context: Context, parts: Sequence[Part], weights: Sequence[float]) -> list[int]:
    """Return how many visits of a batch each part gets: the next to whom most is lacking, fields under way counted."""
    have = [
        float(part.tally.fields + sum(one.fields for one in context.pending if part.own(one.by) is not None))
        for part in parts
    ]
    found = [0] * len(parts)
    whole = sum(weights)
    for _ in range(k if whole else 0):
        total = sum(have)
        lack = [w / whole * (total + part.per_visit) - n for w, n, part in zip(weights, have, parts, strict=True)]
        best = max((i for i, w in enumerate(weights) if w), key=lambda i: (lack[i], -i))
        found[best] += 1
        have[best] += parts[best].per_visit
    return found
