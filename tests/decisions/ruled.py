"""A plate with three profiles, rules on it, and what they are told and asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phenoloop.model import (
    ChannelPlan,
    Context,
    FieldResult,
    FieldVisit,
    Limits,
    Pending,
    ProfilePlan,
    Proposal,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.policies.rules import Rules
from tests.decisions.plates import READOUT, WELLS, setup

CHANNEL = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=10)
PROFILES = {
    name: ProfilePlan(name=name, channels=(CHANNEL,), pixel_size_um=0.5) for name in ("main", "closeup", "fast")
}
PLATE = setup(profiles=PROFILES, limits=Limits(frames=1000))
FIRST: dict[str, Any] = {"name": "first", "when": "n_fields < 1", "do": {"image": {"fields": 1}}, "because": "new"}


def rule(name: str, when: str, do: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "do": do, "because": more.pop("because", name), **more}


def rules(*given_rules: Mapping[str, Any], plate: Setup = PLATE, **params: Any) -> Rules:
    return Rules(Rules.Params(rules=given_rules, **params), plate)


def context(at_s: float = 0.0, *, left: int = 6, pending: Sequence[Pending] = ()) -> Context:
    return Context(
        decision=1,
        at_s=at_s,
        pending=tuple(pending),
        fields_left=dict.fromkeys(WELLS, left),
        frames_left=None,
        last_well=None,
        rng=np.random.default_rng(1),
    )


def tell(
    policy: Rules,
    well: str,
    values: Mapping[str, float | None],
    at_s: float = 0.0,
    *,
    by: str = "",
    profile: str = "main",
    status: str = "ok",
) -> None:
    """One visit: a value of the readout by field."""
    fields = tuple(FieldVisit(field=name, t=0, image=0) for name in values)
    visit = Visit(number=1, decision=1, well=well, profile=profile, fields=fields, channels=("GFP",), by=by)
    results = tuple(
        FieldResult(field=name, status=status, readouts={READOUT: value}, at_s=at_s) for name, value in values.items()
    )
    policy.tell(visit, VisitResult(visit=1, well=well, profile=profile, fields=results, at_s=at_s))


def asked(policy: Rules, context_: Context, k: int = 100) -> dict[str, list[Proposal]]:
    """What is proposed, by rule."""
    answer = policy.ask(k, context_)
    assert not isinstance(answer, Stop), answer
    found: dict[str, list[Proposal]] = {}
    for proposal in answer:
        found.setdefault(proposal.why.rule, []).append(proposal)
    return found


def wells(found: Mapping[str, Sequence[Proposal]], name: str) -> list[str]:
    return [proposal.well for proposal in found.get(name, ())]
