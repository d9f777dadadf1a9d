"""Time-lapses of the virtual plate: policies film them through the whole stack, fixed rates by the clock alone.

What a field shows decides where a policy looks, so its runs are whole. A fixed rate looks whatever it sees, so when its
looks come follows from the cost model, and whether an event falls between two of them from the specimen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from phenoloop.api.contestants import Contestant
from phenoloop.api.resolved import Built, Resolved
from phenoloop.api.whole import unattended, walked_through
from phenoloop.api.worlds import with_seed
from phenoloop.errors import UsageError
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Measured, MeasurementFailed, Plan, ProfilePlan, Setup
from phenoloop.ports import View
from phenoloop.studies.baselines import FixedRates, unlimited
from phenoloop.studies.coverage import Coverage, CoverageJudge, TrueEvent
from phenoloop.studies.simulator import simulate
from phenoloop.studies.study import Record


class FilmedPlates:
    """The virtual plate of a time-lapse, other events per seed (a `Ground`).

    Parameters
    ----------
    resolved : Resolved
        With a synthetic specimen that has events, and a question about events.
    text : str
        The protocol as given.
    scratch : Path
        Folder for the runs; each is removed when it was read.

    Raises
    ------
    UsageError
        If the question is about something else, or nothing happens on the plate.
    """

    def __init__(self, resolved: Resolved, text: str, scratch: Path) -> None:
        _require_events(resolved)
        self.resolved = unattended(resolved)
        self.words = "whole runs on the virtual plate; fixed rates by the cost model"
        self._text, self._scratch = text, scratch
        profiles = resolved.plan.profiles
        self._slow_s = profiles["main"].every_s or 0.0
        self._for_s = profiles["main"].for_s or 0.0
        # Of several the one with the fewest channels: the others have their own beat.
        fast = min(
            (one for one in profiles.values() if one.every_s is not None),
            key=lambda one: (one.every_s or 0.0, len(one.channels)),
        )
        self._fast_s = fast.every_s or 0.0
        self._fast_channels = {channel.name for channel in fast.channels}
        self.quality = Coverage(self._fast_s)
        self._fixed = {_looks(self._for_s, every_s): every_s for every_s in rates(self._fast_s, self._slow_s)}
        self.baseline = FixedRates(self._fixed)

    def play(self, contestant: Contestant, seed: int) -> Record:
        """Let a policy run under the limits of the protocol."""
        plate = contestant.apply(with_seed(self.resolved, seed))
        return walked_through(plate, self._text, self._scratch, self._judge(plate), seed)[0]

    def grids(self, seed: int) -> dict[int, Record]:
        """Look at every field at fixed rates; by looks at each field."""
        plate = with_seed(self.resolved, seed)
        found = {}
        for looks, every_s in self._fixed.items():
            fixed = at_rate(plate, every_s, self._fast_channels)
            judge = self._judge(plate)
            course = simulate(fixed.plan, fixed.decider(), _Unread(), look=judge.look)
            found[looks] = Record(seed=seed, looks=tuple(judge.looks), exit=course.exit, reason=course.reason)
        return found

    def _judge(self, plate: Resolved) -> CoverageJudge:
        return CoverageJudge(self.quality, true_events(plate, self._slow_s, self._for_s))


def _looks(for_s: float, every_s: float) -> int:
    return math.floor(for_s / every_s + 1e-9) + 1


def rates(fast_s: float, slow_s: float) -> list[float]:
    """Return the intervals of the fixed rates that are tried, from the slow one of the protocol to its fast one."""
    between = [fast_s * factor for factor in (1.0, 1.4, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)]
    return [slow_s, *(every_s for every_s in reversed(between) if every_s < slow_s)]


def at_rate(resolved: Resolved, every_s: float, fast: set[str]) -> Resolved:
    """Return a protocol that looks at every field at one rate; channels that are not `fast` keep their own beat."""
    main = resolved.plan.profiles["main"]
    factor = max(1, round((main.every_s or every_s) / every_s))
    channels = tuple(
        channel if channel.name in fast else dataclasses.replace(channel, acquire_every=channel.acquire_every * factor)
        for channel in main.channels
    )
    profiles: dict[str, ProfilePlan] = {"main": dataclasses.replace(main, every_s=every_s, channels=channels)}
    limits = unlimited(resolved.plan.limits)
    plan: Plan = dataclasses.replace(resolved.plan, profiles=profiles, limits=limits)
    setup: Setup = dataclasses.replace(resolved.setup, profiles=profiles, limits=limits)
    parameters = {"fields_per_visit": resolved.setup.fields_per_visit, "wells_per_batch": plan.batch}
    sweep = Built(kind="sweep", target="phenoloop.policies.sweep:Sweep", parameters=parameters)
    return dataclasses.replace(resolved, plan=plan, setup=setup, policy=sweep)


def true_events(resolved: Resolved, from_s: float, until_s: float) -> Sequence[TrueEvent]:
    """Return what happens in the fields of a plate, from its beginning to its end within a stretch of the run."""
    specimen = resolved.build_specimen()
    assert isinstance(specimen, Synthetic)
    assert resolved.simulation is not None
    lasts_s = float(resolved.simulation.parameters["events"]["lasts"])
    main = resolved.plan.profiles["main"]
    channel = main.channels[0]
    found = []
    for well in resolved.plan.wells:
        for place in well.fields:
            view = View(
                address=None,
                x_um=place.x_um,
                y_um=place.y_um,
                z_um=0.0,
                config=channel.config,
                channel=channel.name,
                exposure_ms=channel.exposure_ms,
                pixel_size_um=main.pixel_size_um,
                at_s=from_s,
            )
            found += [
                TrueEvent(well=well.name, field=place.name, start_s=start_s, end_s=start_s + lasts_s)
                for start_s in specimen.event_times(view, until_s - lasts_s)
            ]
    return found


class _Unread:
    """Fields that are looked at and not read (a `FieldSource`): a fixed rate does not care."""

    def measured(self, well: str, field: str) -> Measured | MeasurementFailed:
        """Return a look without readouts."""
        return Measured(at_s=0.0, visit=0, field=field, status="ok", readouts={})


def _require_events(resolved: Resolved) -> None:
    simulation, question = resolved.simulation, resolved.question
    if question is None or question.kind != "events":
        raise UsageError(
            "of a time-lapse, a comparison tells how much of the events is covered: ask for them, `question: {kind: "
            "events, ...}`, or look at its runs one by one with `phenoloop report RUN --json`."
        )
    if simulation is None or not simulation.parameters.get("events"):
        raise UsageError(
            "nothing happens on this virtual plate, so there is nothing to cover: give it events, simulation: {kind: "
            "synthetic, events: {per_cell_and_hour: 0.06}}."
        )
    if resolved.plan.profiles["main"].for_s is None:
        raise UsageError("a time-lapse without an end cannot be compared: give it one, imaging: {for: 1 h}.")
