"""Hard caps on light: whatever the camera refuses, whatever is lost with a process, nothing passes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.core import Machine, fold
from phenoloop.core.allowance import CAP, Allowance
from phenoloop.core.light import Frame, LightMap
from phenoloop.core.metering import WORST
from phenoloop.model import (
    Acquire,
    AutofocusPlan,
    ChannelPlan,
    FieldVisit,
    Finish,
    Limits,
    Measure,
    MissingFrame,
    Plan,
    RunResumed,
    StoredFrame,
    Visit,
    VisitEnded,
)
from tests.core.people import Anything, PeopleWorld, two_objectives
from tests.core.worlds import Greedy, decider, make_plan

CAP_S = 0.035
"""Three exposures of 10 ms and a half."""


def plan_with(**limits: float) -> Plan:
    """One channel of 10 ms; frames of 320 um, fields 300 um apart."""
    return two_objectives(make_plan(limits=Limits(**limits)))


def visit_of(*fields: str, number: int = 1, well: str = "A1", profile: str = "main", t: int = 0) -> Visit:
    places = tuple(FieldVisit(field=name, t=t, image=int(name)) for name in fields)
    return Visit(number=number, decision=1, well=well, profile=profile, fields=places, channels=("DNA",))


def exposed(allowance: Allowance, field: str, seconds: float = 0.01, *, again: bool = False) -> str:
    """Ask, and expose if nothing is said against it."""
    said = allowance.refusal("A1", [(field, seconds)], again=again)
    if not said:
        allowance.expose("A1", field, seconds, again=again)
    return said


FIELD_FULL = "light cap: not repeated, the field would get more than 0.035 s of light"
OBJECT_FULL = "light cap: not repeated, an object could get more than 0.035 s of light"


@pytest.mark.parametrize(
    ("limits", "visits", "asked", "said"),
    [
        pytest.param({}, ["0"], ["0"] + ["0 again"] * 3, ["", "", "", ""], id="no cap, no refusal"),
        pytest.param(
            {"light_per_field_s": CAP_S},
            ["0"],
            ["0"] + ["0 again"] * 3,
            ["", "", "", FIELD_FULL],
            id="as many repetitions as the field holds",
        ),
        pytest.param(
            {"light_per_object_s": CAP_S},
            ["0"],
            ["0"] + ["0 again"] * 3,
            ["", "", "", OBJECT_FULL],
            id="as many repetitions as an object holds",
        ),
        pytest.param(
            {"light_per_object_s": CAP_S},
            ["01"],
            ["0", "0 again", "0 again", "1"],
            ["", "", OBJECT_FULL, ""],
            id="what the neighbour in the same visit has claimed is not taken from it",
        ),
        pytest.param(
            {"light_per_object_s": CAP_S},
            ["02"],
            ["0", "0 again", "0 again", "0 again", "2"],
            ["", "", "", OBJECT_FULL, ""],
            id="a field that shows other objects claims nothing here",
        ),
        pytest.param(
            {"light_per_field_s": CAP_S},
            ["0", "0"],
            ["0", "0 again", "next", "0", "0 again"],
            ["", "", "", "", FIELD_FULL],
            id="the next visit has what is left",
        ),
        pytest.param(
            {"light_per_field_s": 0.025},
            ["0", "0"],
            ["0", "0 again", "next"],
            ["", "", "light cap: not taken, the field would get more than 0.025 s of light"],
            id="a visit whose light was used for a repetition is refused before it begins",
        ),
    ],
)
def test_what_is_left(limits: dict[str, float], visits: list[str], asked: list[str], said: list[str]) -> None:
    allowance = Allowance(plan_with(**limits))
    waiting = [visit_of(*fields, number=n) for n, fields in enumerate(visits, start=1)]
    assert allowance.begin(waiting.pop(0)) == {}
    found = []
    for entry in asked:
        if entry == "next":
            found.append(allowance.begin(waiting.pop(0)).get("0", ""))
        else:
            found.append(exposed(allowance, entry[0], again=entry.endswith("again")))
    assert found == said


def test_what_was_claimed_and_not_given_is_free_again() -> None:
    allowance = Allowance(plan_with(light_per_field_s=0.025))
    assert allowance.begin(visit_of("0")) == {}  # nothing was exposed: the stage refused
    assert allowance.begin(visit_of("0", number=2)) == {}
    assert exposed(allowance, "0") == ""
    assert allowance.begin(visit_of("0", number=3)) == {}


def test_a_burst_is_asked_for_as_a_whole() -> None:
    allowance = Allowance(plan_with(light_per_object_s=CAP_S))
    allowance.begin(visit_of("0", "1"))
    burst = [("0", 0.01), ("1", 0.01)]
    assert allowance.refusal("A1", burst, again=False) == ""
    for field, seconds in burst:
        allowance.expose("A1", field, seconds, again=False)
    # Each alone could be repeated, the two overlap: together they could not.
    assert allowance.refusal("A1", burst[:1], again=True) == ""
    assert allowance.refusal("A1", burst, again=True) == OBJECT_FULL


def test_planes_of_autofocus_are_claimed_with_the_frames() -> None:
    plan = plan_with(light_per_field_s=0.05)
    main = replace(plan.profiles["main"], autofocus=AutofocusPlan(channel="DNA", range_um=2.0, step_um=1.0))
    allowance = Allowance(replace(plan, profiles={"main": main}))
    assert allowance.begin(visit_of("0")) == {}
    assert [exposed(allowance, "0") for _ in range(3)] == ["", "", ""], "the sweep"
    assert exposed(allowance, "0", again=True) == "", "one plane was lost"
    assert exposed(allowance, "0", again=True).startswith(CAP), "the frame itself is not given away"
    assert exposed(allowance, "0") == ""


def test_an_object_of_its_own_place_is_lit_by_the_pre_scan_too() -> None:
    allowance = Allowance(plan_with(light_per_object_s=CAP_S))
    allowance.begin(visit_of("0"))
    exposed(allowance, "0")
    exposed(allowance, "0", again=True)
    place = FieldVisit(field="0-1", t=0, image=9, x_um=20.0, y_um=10.0)
    look = replace(visit_of("0", number=2, profile="closeup"), fields=(place,))
    assert allowance.begin(look) == {}
    assert exposed(allowance, "0-1") == ""
    assert exposed(allowance, "0-1", again=True) == OBJECT_FULL


@pytest.mark.parametrize(
    ("cap_s", "looks"),
    [
        pytest.param(1.0, 6, id="what a metering counts at that is lost"),
        pytest.param(0.025, 2, id="the cap"),
    ],
)
def test_looks_of_metering_are_bounded(cap_s: float, looks: int) -> None:
    plan = plan_with(light_per_field_s=cap_s)
    channel = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=40.0, auto=0.6)
    main = replace(plan.profiles["main"], channels=(channel,))
    plan = replace(plan, profiles={"main": main}, controls=("A1",))
    field = plan.wells[0].fields[plan.wells[0].choice[0]].name
    allowance = Allowance(plan)
    allowance.begin_metering()
    said = [exposed(allowance, field, again=n > 0) for n in range(8)]
    assert said.count("") == looks
    assert all(one.startswith(CAP) for one in said[looks:])
    assert looks * 0.01 <= WORST * 0.04


# -- any history ------------------------------------------------------------------------------------------------------

HISTORY = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "refuses": st.floats(0.0, 0.9),
        "field_cap_s": st.none() | st.floats(0.04, 0.2),
        "object_cap_s": st.none() | st.floats(0.04, 0.2),
        "dies_at": st.lists(st.tuples(st.integers(1, 80), st.integers(0, 3)), max_size=3),
        "attempts": st.integers(1, 4),
    }
)


class Faulty(PeopleWorld):
    """Exposes as the engine does, with a camera that refuses by chance, and notes what light really fell."""

    def __init__(
        self, machine: Machine, rng: np.random.Generator, fallen: Fallen, refuses: float, attempts: int
    ) -> None:
        super().__init__(machine, rng, {})
        self.refuses, self.attempts, self.fallen = refuses, attempts, fallen
        self.allowance = machine.allowance(attempts)

    def die_writing(self, lines: int) -> None:
        """Take one more input, of which only some of the lines that follow reach the journal: none is carried out."""
        if self.waiting:
            happened = self.next()
            self.log += [happened, *self.machine.handle(happened)[:lines]]

    def end(self, visit: Visit) -> VisitEnded:
        plan = self.machine.plan
        profile = plan.profiles[visit.profile]
        refused = self.allowance.begin(visit)
        light_s: dict[str, float] = {}
        frames, missing = [], []
        for address in visit.frames():
            reason, lost = refused.get(address.field, ""), False
            ms = next(one.light_ms(visit.well) for one in profile.channels if one.name == address.channel)
            for _ in range(0 if reason else self.attempts):
                reason = self.allowance.refusal(visit.well, [(address.field, ms / 1000)], again=lost)
                if reason:
                    break
                self.allowance.expose(visit.well, address.field, ms / 1000, again=lost)
                light_s[address.field] = light_s.get(address.field, 0.0) + ms / 1000
                self.fallen.add(plan, visit, address.field, ms / 1000)
                lost, reason = self.latency.random() < self.refuses, "the camera refused"
                if not lost:
                    reason = ""
                    break
            if reason:
                missing.append(MissingFrame(address=address, reason=reason, exposed=address.field in light_s))
            else:
                frames.append(StoredFrame(address=address, exposure_ms=ms, x_um=0.0, y_um=0.0, z_um=None, at_s=0.0))
        rounded = {field: round(seconds, 9) for field, seconds in light_s.items()}
        return VisitEnded(at_s=0, visit=visit.number, frames=tuple(frames), missing=tuple(missing), light_s=rounded)


class Fallen:
    """What light really fell, by field and by place."""

    def __init__(self) -> None:
        self.of_field: Counter[tuple[str, str]] = Counter()
        self.by_place = LightMap(400.0)
        self.frames: dict[Frame, None] = {}

    def add(self, plan: Plan, visit: Visit, field: str, seconds: float) -> None:
        visited = next(one for one in visit.fields if one.field == field)
        place, frame_um = plan.place(visit.well, visited), plan.profiles[visit.profile].frame_um
        assert frame_um is not None
        self.of_field[visit.well, field] += seconds
        frame = Frame(place.x_um, place.y_um, *frame_um)
        self.frames[frame] = None
        self.by_place.add(frame, seconds)


@settings(deadline=None)
@given(history=HISTORY)
def test_no_history_of_faults_passes_a_cap(history: dict[str, Any]) -> None:
    """Batches in flight, revisits, two objectives, refusals, crashes after which what was under way is unknown."""
    limits = Limits(frames=40, light_per_field_s=history["field_cap_s"], light_per_object_s=history["object_cap_s"])
    plan = two_objectives(make_plan(rows=1, columns=2, limits=limits, batch=2, in_flight=4))
    second = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=10.0, power=0.7)
    profiles = {name: replace(one, channels=(*one.channels, second)) for name, one in plan.profiles.items()}
    plan = replace(plan, profiles=profiles)
    rng, fallen = np.random.default_rng(history["seed"]), Fallen()
    wells = [well.name for well in plan.wells]

    def fresh() -> Any:
        return decider(plan, Anything(plan, history["seed"]), Greedy(wells))

    attempts = history["attempts"]
    world = Faulty(Machine(plan, fresh()), rng, fallen, history["refuses"], attempts)
    lives = [*history["dies_at"], (400, 0)]
    world.run(steps=lives[0][0])
    for (_, written), (steps, _) in pairwise(lives):
        world.die_writing(written)
        folded = fold(world.log, plan, fresh())
        machine = folded.machine
        promised = {message.visit.number for message in folded.owed if isinstance(message, Acquire)}
        lost = [visit for visit in machine.outstanding_acquires() if visit.number not in promised]
        ends = [_lost(visit, machine.most_light_s(visit, attempts)) for visit in lost]
        asked = {(message.visit, message.field) for message in folded.owed if isinstance(message, Measure)}
        again = [
            Measure(at_s=0, visit=visit, field=field)
            for visit, field in machine.outstanding_measures()
            if (visit, field) not in asked
        ]
        log, world = world.log, Faulty(machine, rng, fallen, history["refuses"], attempts)
        world.log = [*log, *folded.owed]
        for message in (*folded.owed, *again):
            if not isinstance(message, Finish):  # the run goes on
                world.carry_out(message, machine.at_s)
        for happened in (RunResumed(at_s=machine.at_s), *ends):
            world.take(happened)
        world.go_on(steps=steps)
    slack = 1e-6
    if limits.light_per_field_s is not None:
        assert max(fallen.of_field.values(), default=0.0) <= limits.light_per_field_s + slack
    if limits.light_per_object_s is not None:
        assert max(map(fallen.by_place.most, fallen.frames), default=0.0) <= limits.light_per_object_s + slack


def _lost(visit: Visit, light_s: Mapping[str, float]) -> VisitEnded:
    missing = tuple(MissingFrame(address=address, reason="interrupted") for address in visit.frames())
    return VisitEnded(at_s=0, visit=visit.number, missing=missing, light_s=dict(light_s))
