"""How long the same list takes on the clock, by `hits` in routed batches and by a grid, for stages and autofocus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from benchmarks.policies_rows import Row
from benchmarks.policies_rows._ranking import RANKING, crossing, grid_curve, ranking_curve, with_interval
from benchmarks.policies_rows._screens import FIRST_SEED, Floats, Record, draw
from benchmarks.policies_rows._stages import STAGES, Condition, grid_seconds, plan_wells, seconds, visit_size
from phenoloop.model import WellPlan

UNDER_WAY = 0.25
"""Share of a batch that is under way when the next is asked for (`in_flight`: a batch and a quarter)."""
CONTROL_FIELDS = {96: 2, 384: 4}
"""Fields of each control: ranking needs their spread only roughly, and on a small plate they are a larger share."""


def wall_clock(plates: int) -> Iterator[Row]:
    """Yield how many times faster than the grid the same list is reached, by condition; `plates` of 384 wells."""
    conditions = [Condition(s, focus, e) for s in STAGES for focus in (False, True) for e in (0.3, 1.0, 3.0)]
    at = np.arange(1.5, 5.6, 0.25)
    for wells, controls, batch, count in ((96, 8, 12, 12 * plates), (384, 16, 32, plates)):
        depth, grid = grid_curve(wells, 0.05, controls, count)
        blank = draw(0, wells=wells, controls=controls)
        laid = plan_wells(blank)
        sizes = {condition: visit_size(blank, condition) for condition in conditions}
        for size in sorted(set(sizes.values())):
            params = RANKING.model_copy(
                update={
                    "fields_per_visit": size,
                    "wells_per_batch": batch,
                    "top": len(blank.hits),
                    "control_fields": CONTROL_FIELDS[wells],
                }
            )
            seen = range(FIRST_SEED, FIRST_SEED + count)
            ran = [ranking_curve(draw(seed, wells=wells, controls=controls), params, at, UNDER_WAY) for seed in seen]
            curves = np.array([curve for curve, _, _ in ran])
            for condition in (one for one, fields in sizes.items() if fields == size):
                clocks = [clock_of(laid, done, condition) for _, _, done in ran[:4]]
                sweeps = [grid_seconds(laid, fields, condition) for fields in range(int(depth[-1]) + 1)]
                figure, low, high = with_interval(partial(faster, depth, at, wells, sweeps, clocks), grid, curves)
                typical = condition.stage == "typical" and not condition.image_focus and condition.exposure_s == 1.0
                bar = 2.0 if typical else 0.95
                world = (
                    f"{wells} wells, {condition}, {size} fields a visit (auto), batches of {batch}, the next asked for "
                    f"with a quarter under way, effect 2 SD, F1 0.95, {count} plates"
                )
                yield Row("wall clock: times faster than the grid", world, figure, low, high, bar, figure >= bar)


def faster(
    depth: Floats,
    at: Floats,
    wells: int,
    sweeps: Sequence[float],
    clocks: Sequence[tuple[Floats, Floats]],
    grid: Floats,
    curves: Floats,
) -> float:
    """Return the clock of the smallest grid that reaches the bar over that of the policy when it does."""
    fields, images = crossing(depth, grid), crossing(at, curves) * wells
    if not (math.isfinite(fields) and math.isfinite(images)):
        return math.nan
    took = [float(np.interp(images, taken, clock)) for taken, clock in clocks]
    return sweeps[math.ceil(fields)] / float(np.mean(took))


def clock_of(laid: Sequence[WellPlan], done: Record, condition: Condition) -> tuple[Floats, Floats]:
    """Return the images taken after each batch of a run, and the clock at that moment."""
    taken = np.cumsum([sum(fields for _, fields in batch) for batch in done.batches])
    return taken.astype(float), np.array(seconds(laid, done.batches, condition))
