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
from phenoloop.policies.hits import Hits

SHIPPED = Hits.Params(aim="rank", fields_per_visit="auto")
"""All else as it is where a protocol says nothing of it."""
BARE = RANKING.model_copy(update={name: getattr(SHIPPED, name) for name in ("wells_per_batch", "control_fields")})
"""The same without what insures against drift and a wrong model, which this world has not."""
TYPICAL = Condition("typical", image_focus=False, exposure_s=1.0)
AT = np.arange(1.5, 5.6, 0.25)


def wall_clock(plates: int) -> Iterator[Row]:
    """Yield how many times faster than the grid the same list is reached, by condition; `plates` of 384 wells."""
    conditions = [Condition(s, focus, e) for s in STAGES for focus in (False, True) for e in (0.3, 1.0, 3.0)]
    for wells, controls, count in ((96, 8, 12 * plates), (384, 16, plates)):
        blank = draw(0, wells=wells, controls=controls)
        sizes = {condition: visit_size(blank, condition) for condition in conditions}
        bare = BARE.model_copy(update={"top": len(blank.hits)})
        for size in sorted(set(sizes.values())):
            same = [condition for condition, fields in sizes.items() if fields == size]
            yield from _by_condition(wells, controls, count, bare, size, same, "")
        yield from _by_condition(wells, controls, count, SHIPPED, sizes[TYPICAL], [TYPICAL], ", 15 % insurance")


def _by_condition(
    wells: int, controls: int, count: int, params: Hits.Params, size: int, conditions: Sequence[Condition], name: str
) -> Iterator[Row]:
    depth, grid = grid_curve(wells, 0.05, controls, count)
    laid = plan_wells(draw(0, wells=wells, controls=controls))
    chosen = params.model_copy(update={"fields_per_visit": size})
    screens = (draw(seed, wells=wells, controls=controls) for seed in range(FIRST_SEED, FIRST_SEED + count))
    ran = [ranking_curve(screen, chosen, AT, Hits.Params.ahead) for screen in screens]
    curves = np.array([curve for curve, _, _ in ran])
    for condition in conditions:
        clocks = [clock_of(laid, done, condition) for _, _, done in ran[:4]]
        sweeps = [grid_seconds(laid, fields, condition) for fields in range(int(depth[-1]) + 1)]
        figure, low, high = with_interval(partial(faster, depth, AT, wells, sweeps, clocks), grid, curves)
        bar = None if name else 2.0 if condition == TYPICAL else 0.95
        world = (
            f"{wells} wells, {condition}, {size} fields a visit (auto), batches of {params.wells_per_batch}, the next "
            f"asked for with {Hits.Params.ahead:g} of one under way, effect 2 SD, F1 0.95, {count} plates"
        )
        ok = None if bar is None else figure >= bar
        yield Row(f"wall clock: times faster than the grid{name}", world, figure, low, high, bar, ok)


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
