"""What came of one ask: the record, the visits that follow from it, and what the policy is told of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from phenoloop.model import Acquire, Confirm, Decided, FieldResult, FieldVisit, ProposalRecord, Visit, VisitResult

WOULD: Final = "would be accepted"
"""The verdict of a proposal in the shadow that the guards would let pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of one ask.

    Attributes
    ----------
    record : Decided or None
        None when the policy wants to wait for the next result: nothing happened, nothing is written.
    acquires : tuple of Acquire
        In the order of the route, which is the order of their numbers.
    vetoed : tuple of (Visit, VisitResult)
        What the policy is told of the proposals that were refused.
    question : Confirm or None
        What a person is asked first; nothing else has happened then.
    """

    record: Decided | None = None
    acquires: tuple[Acquire, ...] = ()
    vetoed: tuple[tuple[Visit, VisitResult], ...] = ()
    question: Confirm | None = None


def denied(record: Decided, proposal: ProposalRecord, at_s: float) -> tuple[Visit, VisitResult]:
    """Return what the policy is told of a proposal that came to nothing: a visit that never was, and its result."""
    never = Visit(
        number=-1,
        decision=record.decision,
        well=proposal.well,
        profile=proposal.profile,
        fields=tuple(FieldVisit(field=name, t=0, image=0) for name in proposal.fields),
        channels=(),
        by=proposal.why.by,
    )
    denied = FieldResult(field="", status="vetoed", reason=proposal.verdict)
    return never, VisitResult(visit=-1, well=proposal.well, profile=proposal.profile, fields=(denied,), at_s=at_s)
