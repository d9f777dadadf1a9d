"""A policy that acts and one that is only watched: the way to see what a policy would do before it may do it.

The watched one is told every result and asked at every decision; what it would have done stands in the record of the
decision, with what the guards would have said. It cannot change what is imaged, and the run goes on should it fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from phenoloop.core import NamedPolicy
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult
from phenoloop.policies.combining import build
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.nested import PolicyBlock


class Shadow:
    """Does what `acts` says, and brings `shadow` to be watched by the core.

    Parameters
    ----------
    params : Shadow.Params
        As in the protocol.
    setup : Setup
        The plate.
    """

    kind: ClassVar[str] = "shadow"

    class Params(PolicyParams):
        """Keys of ``policy: {kind: shadow}``."""

        acts: PolicyBlock = Field(description="the policy that chooses what is imaged")
        shadow: PolicyBlock = Field(description="the policy that is asked and recorded, and changes nothing")

    def __init__(self, params: Params, setup: Setup) -> None:
        self._acts = build(params.acts, params.acts.name or params.acts.kind, setup, "policy.acts")
        watched = build(params.shadow, params.shadow.name or params.shadow.kind, setup, "policy.shadow")
        self.shadow = NamedPolicy(kind=watched.kind, parameters=watched.parameters, policy=watched.policy)
        """Told and asked by the core, beside this policy."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What the two decide by."""
        both = (self._acts.policy, self.shadow.policy)
        return tuple(dict.fromkeys(need for policy in both for need in getattr(policy, "needs", ())))

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose what the acting policy proposes; see `phenoloop.ports.Policy`."""
        pending = tuple(replace(one, by=self._acts.own(one.by) or "") for one in context.pending)
        answer = self._acts.policy.ask(k, replace(context, pending=pending))
        return answer if isinstance(answer, Stop) else [self._acts.signed(proposal) for proposal in answer]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; the core tells the watched policy itself."""
        self._acts.policy.tell(replace(visit, by=self._acts.own(visit.by) or ""), result)

    def report(self) -> Mapping[str, Any]:
        """Return what the acting policy believes."""
        return {"acts": self._acts.name, "in_shadow": self.shadow.kind, **self._acts.policy.report()}
