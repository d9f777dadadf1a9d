"""Events: light of a two-rate time-lapse against the fast rate all the time, and how much of the events it has.

The real policy decides in the real machine on a simulated clock; only pictures are left out. World: one field, events
as a Poisson process, each announced by a precursor of 20 s and lasting 10 s; slow 5 s, fast 0.26 s; exposure 20 ms,
analysis 0.1 s. The readout is 0.1 while nothing happens and 0.9 in precursor and event, with Gaussian noise of SD 0.1;
at 0.02 false alarms per frame every frame, slow or fast, shows 0.95 in vain with that chance. An event counts as
covered when no gap between two looks inside it is longer than 1.5 fast intervals, from its beginning to its end.

    python benchmarks/policies.py --rows events
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator

import numpy as np

from benchmarks.policies_rows import Row, mean_interval, share_interval
from benchmarks.policies_rows._stopwatch import WELLS, K, asking_rows, timing
from phenoloop.model import (
    ChannelPlan,
    CostModel,
    FieldPlace,
    Plan,
    ProfilePlan,
    Setup,
    StageBox,
    Visit,
    VisitEnded,
    WellPlan,
)
from phenoloop.policies.events import Events
from phenoloop.testing.clocked import run_clocked

HOURS = 3.0
MOST_SEEDS = 20
"""More runs cost minutes and change no figure."""
PRECURSOR_S, EVENT_S = 20.0, 10.0
SLOW_S, FAST_S = 5.0, 0.26
HOLD_S = 10.0
FIRST_SEED = 1000
"""Tuning was done with seeds below 100."""


def one_field() -> Plan:
    """Return a plan of one well with one field, a slow profile and a fast one of the same channel."""
    channel = ChannelPlan(name="H2B", group="Channel", config="DAPI", exposure_ms=20.0)
    slow = ProfilePlan(name="main", channels=(channel,), pixel_size_um=0.5, every_s=SLOW_S, for_s=HOURS * 3600)
    fast = ProfilePlan(name="fast", channels=(channel,), pixel_size_um=0.5, every_s=FAST_S)
    place = FieldPlace(name="0", x_um=0.0, y_um=0.0)
    well = WellPlan(name="A1", row=0, column=0, x_um=0.0, y_um=0.0, fields=(place,), choice=(0,))
    return Plan(
        name="events",
        seed=1,
        plate_rows=8,
        plate_columns=12,
        wells=(well,),
        profiles={"main": slow, "fast": fast},
        stage=StageBox(),
        batch=2,
        in_flight=4,
        readouts=("event",),
        cost=CostModel(readout_s=0.01),
    )


def setup_of(plan: Plan) -> Setup:
    """Return what a policy is told of a plan."""
    return Setup(
        wells=tuple(well.name for well in plan.wells),
        fields=tuple(len(well.fields) for well in plan.wells),
        field_names=tuple(tuple(well.fields[i].name for i in well.choice) for well in plan.wells),
        readouts=plan.readouts,
        profiles=plan.profiles,
    )


def one_run(seed: int, per_hour: float, false_alarms: float, precursor_s: float) -> tuple[float, int, int]:
    """Return how many times less light than always fast, the events, and those of them that were covered."""
    rng = np.random.default_rng([seed, 4])
    gaps = rng.exponential(3600 / per_hour, size=int(per_hour * HOURS * 4) + 20) + precursor_s + EVENT_S
    starts = np.cumsum(gaps)
    starts = starts[starts + precursor_s + EVENT_S < HOURS * 3600].tolist()

    def readouts(visit: Visit, field: str, at_s: float) -> dict[str, float | None]:
        chance = np.random.default_rng([seed, 5, visit.number])
        last = bisect.bisect_right(starts, at_s) - 1
        going_on = last >= 0 and at_s < starts[last] + precursor_s + EVENT_S
        level = 0.9 if going_on else 0.1
        if not going_on and chance.random() < false_alarms:
            level = 0.95
        return {"event": float(level + 0.1 * chance.standard_normal())}

    plan = one_field()
    fast = {"profile": "fast", "when": "event > 0.7", "until": "event < 0.4", "hold": HOLD_S, "max_share": 0.25}
    policy = Events(Events.Params(fast=fast), setup_of(plan))
    journal = run_clocked(plan, policy, readouts, latency_s=0.1)
    looks = [frame.at_s for message in journal if isinstance(message, VisitEnded) for frame in message.frames]
    covered = 0
    for start in starts:
        begin, end = start + precursor_s, start + precursor_s + EVENT_S
        inside = [begin, *(at_s for at_s in looks if begin < at_s < end), end]
        covered += bool(max(np.diff(inside)) <= 1.5 * FAST_S)
    return HOURS * 3600 / FAST_S / len(looks), len(starts), covered


def largest_plate() -> Plan:
    """Return a plan of 1,536 wells of one field, every half an hour; fast is every 30 s."""
    channel = ChannelPlan(name="H2B", group="Channel", config="DAPI", exposure_ms=20.0)
    slow = ProfilePlan(name="main", channels=(channel,), pixel_size_um=0.5, every_s=1800.0, for_s=2 * 3600.0)
    wells = []
    for i, name in enumerate(WELLS):
        row, column = divmod(i, 48)
        place = FieldPlace(name="0", x_um=2250.0 * column, y_um=2250.0 * row)
        wells.append(
            WellPlan(name=name, row=row, column=column, x_um=place.x_um, y_um=place.y_um, fields=(place,), choice=(0,))
        )
    return dataclasses.replace(
        one_field(),
        plate_rows=32,
        plate_columns=48,
        wells=tuple(wells),
        profiles={"main": slow, "fast": dataclasses.replace(slow, name="fast", every_s=30.0, for_s=None)},
        batch=K,
        in_flight=2 * K,
    )


def asking() -> Iterator[Row]:
    """Yield the time of an ask of 16 on the largest plate, where something happens at one look in fifty."""

    def readouts(visit: Visit, field: str, at_s: float) -> dict[str, float | None]:
        fires = np.random.default_rng([FIRST_SEED, 6, visit.number]).random() < 0.02
        return {"event": 0.95 if fires else 0.05}

    plan = largest_plate()
    fast = {"profile": "fast", "when": "event > 0.7", "until": "event < 0.4", "hold": 60.0, "at_once": K}
    with timing(Events(Events.Params(fast=fast, wells_per_batch=K), setup_of(plan))) as timed:
        run_clocked(plan, timed, readouts, latency_s=0.3)
    yield from asking_rows(timed, f"events, 1536 wells, slow 30 min, fast 30 s in at most {K} fields, 2 h")


def rows(seeds: int) -> Iterator[Row]:
    """Yield light and coverage at some rates of events and of false alarms, and without a precursor."""
    seeds = min(seeds, MOST_SEEDS)
    worlds = (
        (2.0, 0.0, PRECURSOR_S, 10.0),
        (2.0, 0.02, PRECURSOR_S, 4.0),
        (0.5, 0.0, PRECURSOR_S, None),
        (10.0, 0.0, PRECURSOR_S, None),
        (2.0, 0.0, 0.0, None),
    )
    for per_hour, false_alarms, precursor_s, bar in worlds:
        factors, events, covered = [], 0, 0
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            factor, found, seen = one_run(seed, per_hour, false_alarms, precursor_s)
            factors.append(factor)
            events += found
            covered += seen
        world = f"{per_hour:g} events/h, precursor {precursor_s:g} s, {false_alarms:g} false alarms per frame"
        runs = f"{seeds} runs of {HOURS:g} h"
        figure, low, high = mean_interval(factors)
        ok = None if bar is None else figure >= bar
        yield Row("events: times less light than always fast", f"{world}; {runs}", figure, low, high, bar, ok)
        figure, low, high = share_interval(covered, events)
        wanted = None if bar is None else 0.95
        ok = None if wanted is None else bool(figure >= wanted)
        yield Row("events: share covered", f"{world}; {events} events", float(figure), low, high, wanted, ok)
    yield from asking()
