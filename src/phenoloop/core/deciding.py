"""Who decides: the policy while it behaves, the fallback from the first time it does not.

With ``autonomy: shadow`` the fallback decides from the start, and the policy is asked only to see what it would do. A
policy may bring another one to be watched in this way: its attribute `shadow`, of type `NamedPolicy`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from phenoloop.model import Context, Plan, Proposal, Stop, Visit, VisitResult
from phenoloop.numerics.rounding import significant
from phenoloop.ports import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPolicy:
    """A policy with the name and parameters that its decisions are signed with."""

    kind: str
    parameters: Mapping[str, Any]
    policy: Policy


class Decider:
    """Asks the policy, checks its answer, and puts the fallback in its place when it fails.

    A policy that raises, is too slow or returns nonsense is not trusted again in this run: its state may be broken. The
    fallback is told everything from the start, so it can take over at any moment.

    Parameters
    ----------
    policy, fallback : NamedPolicy
        The declared two.
    plan : Plan
        For the plate order of ties. With ``autonomy: shadow`` the fallback acts, and the policy is only asked.
    """

    def __init__(self, policy: NamedPolicy, fallback: NamedPolicy, plan: Plan) -> None:
        in_shadow = plan.autonomy.level == "shadow"
        self._line = [fallback] if in_shadow else [policy, fallback]
        self._shadow: NamedPolicy | None = policy if in_shadow else getattr(policy.policy, "shadow", None)
        self._order = {well.name: i for i, well in enumerate(plan.wells)}
        self._errors: list[str] = []

    @property
    def broken(self) -> bool:
        """Whether nobody is left to decide."""
        return not self._line

    @property
    def current(self) -> NamedPolicy | None:
        """Who decides now; None when the fallback failed too."""
        return self._line[0] if self._line else None

    @property
    def shadow(self) -> NamedPolicy | None:
        """Who is asked without acting; None where nobody is, or no more."""
        return self._shadow

    def distrust(self, named: NamedPolicy, reason: str) -> None:
        """Take one of the two out of the line for good."""
        if named is self._shadow:
            self._shadow = None
        else:
            self._line.remove(named)
        self._errors.append(reason)

    def take_errors(self) -> str:
        """Return, once, what went wrong since the last decision; empty when nothing did."""
        errors, self._errors = "; ".join(self._errors), []
        return errors

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Return up to `k` proposals ordered by score (ties in plate order), or the policy's reason to stop."""
        while (named := self.current) is not None:
            try:
                answer = named.policy.ask(k, context)
                return answer if isinstance(answer, Stop) else self._ordered(_checked(answer, k))
            except Exception as error:  # a policy is foreign code: whatever it raises must not end the run
                self.distrust(named, f"policy {named.kind!r} failed to decide: {type(error).__name__}: {error}")
        return ()

    def ask_shadow(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Return what the policy in the shadow would do; nothing when it fails."""
        named = self._shadow
        if named is None:
            return ()
        try:
            answer = named.policy.ask(k, context)
            return answer if isinstance(answer, Stop) else self._ordered(_checked(answer, k))
        except Exception as error:  # as above
            self.distrust(named, f"policy {named.kind!r} failed to decide: {type(error).__name__}: {error}")
        return ()

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Tell both what became of a visit."""
        for named in (*self._line, *((self._shadow,) if self._shadow is not None else ())):
            try:
                named.policy.tell(visit, result)
            except Exception as error:  # as above
                self.distrust(named, f"policy {named.kind!r} failed to learn: {type(error).__name__}: {error}")

    def report(self) -> Mapping[str, Any]:
        """Return what the deciding policy believes."""
        return {} if self.current is None else self.current.policy.report()

    def _ordered(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        rounded = [replace(proposal, score=significant(proposal.score)) for proposal in proposals]
        return sorted(rounded, key=lambda p: (-p.score, self._order.get(p.well, len(self._order))))


def _checked(answer: object, k: int) -> list[Proposal]:
    if not isinstance(answer, Sequence):
        raise TypeError(f"ask must return a list of Proposal or Stop, not {type(answer).__name__}")
    if len(answer) > k:
        raise ValueError(f"{len(answer)} proposals where {k} were asked for")
    for proposal in answer:
        if not isinstance(proposal, Proposal):
            raise TypeError(f"ask must return a list of Proposal, not of {type(proposal).__name__}")
        if not math.isfinite(proposal.score):
            raise ValueError(f"the score for {proposal.well} is {proposal.score}")
        if isinstance(proposal.fields, int):
            if proposal.fields < 1:
                raise ValueError(f"{proposal.fields} fields asked for in {proposal.well}")
        elif not isinstance(proposal.fields, tuple) or not all(isinstance(name, str) for name in proposal.fields):
            raise TypeError(f"fields are a number or a tuple of names, not {proposal.fields!r}, in {proposal.well}")
        if proposal.not_before_s is not None and not math.isfinite(proposal.not_before_s):
            raise ValueError(f"a visit to {proposal.well} cannot wait until {proposal.not_before_s}")
        if any(not math.isfinite(place) for target in proposal.targets for place in (target.x_um, target.y_um)):
            raise ValueError(f"an object in {proposal.well} lies at no place")
    return list(answer)
