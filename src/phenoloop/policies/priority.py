"""Several policies of unequal rank: each gets the places that those before it leave free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from phenoloop.model import Context, Proposal, Setup, Stop
from phenoloop.policies.combining import Combination, PartsParams, Until, joined
from phenoloop.policies.part_batch import Batch


class Priority(Combination):
    """Asks its parts in order until the batch is full.

    Parameters
    ----------
    params : Priority.Params
        As in the protocol.
    setup : Setup
        The plate.
    """

    kind: ClassVar[str] = "priority"

    class Params(PartsParams):
        """Keys of ``policy: {kind: priority}``."""

        until: Until = Field(default="all", description="it ends when the first part stops, or when all have stopped")

    def __init__(self, params: Params, setup: Setup) -> None:
        super().__init__(params.of, [setup] * len(params.of))
        self._until = params.until

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        batch, stops = Batch(k, context, self._setup, len(self._parts)), {}
        for place, part in enumerate(self._parts):
            if not batch.room:
                break
            answer = batch.ask(place, part, batch.room)
            if not isinstance(answer, Stop):
                batch.choose(part, answer, batch.room)
                continue
            stops[part.name] = answer.reason
            if place == 0 and self._until == "first":
                return joined(stops)
        return joined(stops) if len(stops) == len(self._parts) else batch.chosen
