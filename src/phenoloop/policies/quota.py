"""Several policies with a purse each: none can spend more than its share of the frames, whatever the others leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from phenoloop.model import Context, Proposal, Setup, Stop
from phenoloop.policies.combining import Combination, PartsParams, Until
from phenoloop.policies.mix import shared_out
from phenoloop.protocol.nested import PolicyBlock
from phenoloop.protocol.quantities import Percent


class ShareBlock(PolicyBlock):
    """A part with a budget of its own."""

    share: Annotated[Percent, Field(gt=0, le=1)] = Field(description="share of `limits.frames`, or of all fields")


class Quota(Combination):
    """Gives each part a share of the frame budget, to be spent by it alone.

    Parameters
    ----------
    params : Quota.Params
        As in the protocol.
    setup : Setup
        The plate; a share is of its frame budget, or of the frames of all fields where there is none.
    """

    kind: ClassVar[str] = "quota"

    class Params(PartsParams):
        """Keys of ``policy: {kind: quota}``."""

        of: tuple[ShareBlock, ...] = Field(min_length=1, description="policies, each with its share and own keys")
        until: Until = Field(default="all", description="it ends when the first part stops, or when all have stopped")

        @model_validator(mode="after")
        def _not_more_than_all(self) -> Quota.Params:
            total = sum(block.share for block in self.of)
            if total > 1 + 1e-9:
                raise PydanticCustomError("share", "the shares make {given} of the budget", {"given": f"{total:.0%}"})
            return self

    def __init__(self, params: Params, setup: Setup) -> None:
        frames = setup.limits.frames
        whole = frames if frames is not None else sum(setup.fields) * setup.frames_per_field
        self._shares = [int(whole * block.share + 1e-9) for block in params.of]
        setups = [replace(setup, limits=replace(setup.limits, frames=share)) for share in self._shares]
        super().__init__(params.of, setups)
        self._until = params.until
        self._weights = [block.share for block in params.of]

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        left = [self._left(i, context) for i in range(len(self._parts))]
        return shared_out(k, context, self._setup, self._parts, self._weights, left, self._until)

    def _left(self, i: int, context: Context) -> int:
        """Return the frames that a part may still spend; 0 where they are not enough for a field."""
        part = self._parts[i]
        coming = (one for one in context.pending if part.own(one.by) is not None)
        spent = part.tally.frames + sum(one.fields * self._frames(one.profile) for one in coming)
        left = self._shares[i] - spent
        profiles = self._setup.profiles.values()
        least = min((one.frames_per_field for one in profiles), default=self._setup.frames_per_field)
        return left if left >= least else 0

    def report(self) -> Mapping[str, Any]:
        """Return what each part has spent of its share, and what it says."""
        frames = {
            part.name: {"spent": part.tally.frames, "share": share}
            for part, share in zip(self._parts, self._shares, strict=True)
        }
        return {"frames": frames, **super().report()}
