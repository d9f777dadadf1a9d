"""What a run takes on the clock: costs of the hardware, the shipped router, the shipped choice of visit size."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.policies_rows._screens import Screen, setup_of
from phenoloop.core.router import Trip, route
from phenoloop.model import AutofocusPlan, ChannelPlan, CostModel, FieldPlace, ProfilePlan, WellPlan
from phenoloop.numerics.pace import fields_of_a_visit

STAGES = {
    "fast": CostModel(stage_um_per_s=50_000, stage_um_per_s2=500_000, settle_s=0.04),
    "typical": CostModel(),
    "slow": CostModel(stage_um_per_s=7_000, stage_um_per_s2=40_000, settle_s=0.15),
}
SPACING_UM = 600.0


@dataclass(frozen=True)
class Condition:
    """One row of the table: stage, kind of autofocus, exposure of the measuring channel."""

    stage: str
    image_focus: bool
    exposure_s: float

    @property
    def cost(self) -> CostModel:
        return STAGES[self.stage]

    @property
    def profile(self) -> ProfilePlan:
        """A focus channel of 100 ms, which the sweep of 13 planes (2 s) uses too, and the measuring channel."""
        channels = (
            ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=100),
            ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=1000 * self.exposure_s - 100),
        )
        focus = AutofocusPlan(channel="DNA", range_um=24, step_um=2) if self.image_focus else None
        return ProfilePlan(name="main", channels=channels, pixel_size_um=0.65, autofocus=focus)

    def __str__(self) -> str:
        return f"{self.stage} stage, {'image' if self.image_focus else 'hardware'} AF, {self.exposure_s:g} s"


def plan_wells(screen: Screen) -> tuple[WellPlan, ...]:
    """Return where the wells and their fields lie."""
    pitch = {96: 9000.0, 384: 4500.0}[len(screen.wells)]
    plans = []
    for i, name in enumerate(screen.wells):
        row, column = divmod(i, screen.columns)
        x, y = pitch * column, pitch * row
        places = tuple(
            FieldPlace(name=str(f), x_um=x + SPACING_UM * (f % 5), y_um=y + SPACING_UM * (f // 5))
            for f in range(screen.noise.shape[1])
        )
        plans.append(
            WellPlan(name=name, row=row, column=column, x_um=x, y_um=y, fields=places, choice=tuple(range(len(places))))
        )
    return tuple(plans)


def visit_size(screen: Screen, condition: Condition) -> int:
    """Return the fields per visit that ``fields_per_visit: auto`` chooses."""
    places = tuple(well.fields for well in plan_wells(screen))
    return fields_of_a_visit(
        replace(setup_of(screen, batch=16), places=places, cost=condition.cost, profiles={"main": condition.profile})
    )


def field_s(condition: Condition) -> float:
    """Return the seconds of one field, the step to it left out."""
    channels = condition.profile.channels
    return sum(c.exposure_ms / 1000 + condition.cost.readout_s + condition.cost.channel_s for c in channels)


def visit_s(condition: Condition, fields: int) -> float:
    """Return the seconds of a visit once the stage has come to rest in the well."""
    step = condition.cost.move_s(SPACING_UM, 0)
    focus = condition.profile.autofocus
    sweep = 0.0 if focus is None else focus.planes * (0.1 + condition.cost.readout_s + condition.cost.z_s)
    return sweep + fields * field_s(condition) + (fields - 1) * step


def seconds(
    wells: Sequence[WellPlan], batches: Sequence[Sequence[tuple[int, int]]], condition: Condition
) -> list[float]:
    """Return the clock after each batch of (well, fields), routed as the loop routes them."""
    here: Trip | None = None
    clock, now = [], 0.0
    for batch in batches:
        stops = [Trip(wells[i]) for i, _ in batch]
        for at in route(stops, here, condition.cost):
            if here is not None:
                now += here.way_s(stops[at], condition.cost)
            now += visit_s(condition, batch[at][1])
            here = stops[at]
        clock.append(now)
    return clock


def grid_seconds(wells: Sequence[WellPlan], fields: int, condition: Condition) -> float:
    """Return the clock of a grid that takes all fields of a well before the next, rows walked to and fro."""
    path = sorted(wells, key=lambda w: (w.row, w.column if w.row % 2 == 0 else -w.column))
    moves = sum(Trip(a).way_s(Trip(b), condition.cost) for a, b in itertools.pairwise(path))
    return moves + len(wells) * visit_s(condition, fields)
