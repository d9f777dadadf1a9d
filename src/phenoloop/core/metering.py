"""Where exposures are metered before the first decision, and what that may cost in light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phenoloop.model import ExposuresSet, MeteringFailed, Plan, WellPlan

WELLS: Final = 4
"""Wells at which exposures are metered, spread over the controls (over all wells where there are none)."""
WORST: Final = 1.5
"""A metering gives a channel at most this many of its longest exposures: a ladder by four, and half a step more."""


def wells_to_meter(plan: Plan) -> tuple[str, ...]:
    """Return the wells at whose first field exposures are metered, in plate order."""
    names = plan.controls or tuple(well.name for well in plan.wells)
    count = min(WELLS, len(names))
    return tuple(dict.fromkeys(names[round(i * (len(names) - 1) / max(1, count - 1))] for i in range(count)))


def first_field(well: WellPlan) -> str:
    """Return the field of a well that is metered: the one that is chosen first anyway."""
    return well.fields[well.choice[0]].name


def exposures_of(happened: ExposuresSet) -> Mapping[str, Mapping[str, float]]:
    """Return the metered milliseconds by profile and channel."""
    found: dict[str, dict[str, float]] = {}
    for one in happened.channels:
        found.setdefault(one.profile, {})[one.channel] = one.exposure_ms
    return found


def light_of(plan: Plan, happened: ExposuresSet | MeteringFailed | None) -> list[tuple[str, str, float]]:
    """Return (well, field, light) of a metering; of one that was lost with its process, the most it can have been."""
    if happened is not None:
        return [(well, field, s) for well, fields in happened.light_s.items() for field, s in fields.items()]
    worst_ms = sum(
        WORST * channel.exposure_ms * channel.strength
        for profile in plan.profiles.values()
        for channel in profile.channels
        if channel.auto is not None
    )
    return [(name, first_field(plan.well(name)), worst_ms / 1000) for name in wells_to_meter(plan)]
