"""Small time-lapses without pictures: plans, setups, and runs on a simulated clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from phenoloop.model import (
    ChannelPlan,
    CostModel,
    FieldPlace,
    Limits,
    Message,
    Plan,
    ProfilePlan,
    Setup,
    StageBox,
    VisitEnded,
    WellPlan,
)

H2B = ChannelPlan(name="H2B", group="Channel", config="DAPI", exposure_ms=20.0)
GFP = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=80.0, acquire_every=3)


def make_plan(
    *,
    wells: int = 2,
    fields: int = 2,
    every_s: float = 240.0,
    for_s: float = 3600.0,
    fast_s: float | None = 20.0,
    channels: tuple[ChannelPlan, ...] = (H2B,),
    cost: CostModel | None = None,
    limits: Limits | None = None,
    batch: int = 2,
) -> Plan:
    """Wells side by side, 9 mm apart, fields 0.6 mm apart; a profile `fast` of the first channel unless it is None."""
    profiles = {"main": ProfilePlan(name="main", channels=channels, pixel_size_um=0.5, every_s=every_s, for_s=for_s)}
    if fast_s is not None:
        profiles["fast"] = ProfilePlan(name="fast", channels=channels[:1], pixel_size_um=0.5, every_s=fast_s)
    return Plan(
        name="lapse",
        seed=1,
        plate_rows=8,
        plate_columns=12,
        wells=tuple(
            WellPlan(
                name=f"{'ABCDEFGH'[i // 12]}{i % 12 + 1}",
                row=i // 12,
                column=i % 12,
                x_um=9000.0 * (i % 12),
                y_um=-9000.0 * (i // 12),
                fields=tuple(
                    FieldPlace(name=str(n), x_um=9000.0 * (i % 12) + 600.0 * n, y_um=-9000.0 * (i // 12))
                    for n in range(fields)
                ),
                choice=tuple(range(fields)),
            )
            for i in range(wells)
        ),
        profiles=profiles,
        stage=StageBox(),
        limits=limits or Limits(),
        batch=batch,
        in_flight=2 * batch,
        readouts=("dividing", "cells"),
        cost=cost or CostModel(),
    )


def setup_of(plan: Plan, **changes: Any) -> Setup:
    """What a policy is told of a plan, as the protocol layer tells it."""
    values: dict[str, Any] = {
        "wells": tuple(well.name for well in plan.wells),
        "fields": tuple(len(well.fields) for well in plan.wells),
        "field_names": tuple(tuple(well.fields[i].name for i in well.choice) for well in plan.wells),
        "readouts": plan.readouts,
        "profiles": plan.profiles,
        "light_per_field_s": plan.limits.light_per_field_s,
        "batch": plan.batch,
    }
    return Setup(**values | changes)


def looks(messages: Sequence[Message], profile: str | None = None) -> dict[tuple[str, str], list[float]]:
    """Times of the first frame of every look, by well and field."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for message in messages:
        if isinstance(message, VisitEnded):
            seen: dict[tuple[str, str], float] = {}
            for frame in message.frames:
                if profile in (None, frame.address.profile):
                    seen.setdefault((frame.address.well, frame.address.field), frame.at_s)
            for key, at_s in seen.items():
                found[key].append(at_s)
    return dict(found)
