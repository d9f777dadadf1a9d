"""One policy after the other: the next begins when the one before has stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult
from phenoloop.policies.combining import Combination, PartsParams, joined
from phenoloop.policies.part_batch import Batch


class InSequence(Combination):
    """Follows its parts one after the other, and never goes back.

    All parts are told everything, so the next one knows what the one before has seen.

    Parameters
    ----------
    params : InSequence.Params
        As in the protocol.
    setup : Setup
        The plate.
    """

    kind: ClassVar[str] = "sequence"

    class Params(PartsParams):
        """Keys of ``policy: {kind: sequence}``."""

    def __init__(self, params: Params, setup: Setup) -> None:
        super().__init__(params.of, [setup] * len(params.of))
        self._reached = 0

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits of the part whose turn it is; see `phenoloop.ports.Policy`."""
        stops: dict[str, str] = {}
        for place in range(self._turn([one.by for one in context.pending]), len(self._parts)):
            part, batch = self._parts[place], Batch(k, context, self._setup, len(self._parts))
            answer = batch.ask(place, part, k)
            if not isinstance(answer, Stop):
                batch.choose(part, answer, k)
                return batch.chosen
            stops[part.name] = answer.reason
        return joined(stops)

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        self._reached = self._turn([visit.by])
        super().tell(visit, result)

    def report(self) -> Mapping[str, Any]:
        """Return whose turn it is, and what each part says."""
        return {"turn": self._parts[self._reached].name, **super().report()}

    def _turn(self, origins: Sequence[str]) -> int:
        """Return the place of the part whose turn it is: none before one that has asked for a visit already."""
        found = [place for place, part in enumerate(self._parts) if any(part.own(by) is not None for by in origins)]
        return max([self._reached, *found])
