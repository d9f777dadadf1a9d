"""Each guard by itself, each limit against anything a policy may propose, and the account of light by place."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.core import Machine, Phase, first_difference
from phenoloop.core.light import Frame, LightMap
from phenoloop.core.quota import RULE
from phenoloop.core.turret import HOUR_S, Turret
from phenoloop.model import Decided, Limits, Plan, RunStarted, Stop, VisitEnded
from tests.core.people import Anything, PeopleWorld, two_objectives, visits_of
from tests.core.worlds import Greedy, Scripted, decider, make_plan, propose

# -- one guard, one row --------------------------------------------------------------------------------------------


def verdicts(plan: Plan, *asks: Any) -> list[str]:
    """Run a script of asks, one visit at a time, and return every verdict."""
    machine = Machine(plan, decider(plan, Scripted(*asks)))
    world = PeopleWorld(machine, np.random.default_rng(1), {})
    world.run()
    return [made.verdict for decided in world.decisions() for made in decided.proposals]


def closeup(well: str, fields: tuple[str, ...]) -> Any:
    return replace(propose(well, fields), profile="closeup")


GUARDED = [
    pytest.param(
        {"revisits_per_field": 1},
        [[propose("A1", ("0",))]] * 3,
        ["accepted", "accepted", "every field asked for in A1 was visited 2 times, which is the limit"],
        id="revisits",
    ),
    pytest.param(
        {"revisits_per_field": 0},
        [[propose("A1", ("0",))], [closeup("A1", ("0",))], [propose("A1", ("0", "1"))]],
        ["accepted", "every field asked for in A1 was visited 1 times, which is the limit", "accepted"],
        id="revisits count every profile, and only the field that had its share is left out",
    ),
    pytest.param(
        {"light_per_field_s": 0.025},
        [[propose("A1", ("0",))]] * 3,
        ["accepted", "accepted", "every field asked for in A1 would get more than 0.025 s of light"],
        id="light per field",
    ),
    pytest.param(
        {"light_per_object_s": 0.015},
        [[propose("A1", ("0",))], [propose("A1", ("1",))], [propose("A1", ("2",))]],
        ["accepted", "every field asked for in A1 shows objects that would get more than 0.015 s of light", "accepted"],
        id="light per object: fields 0 and 1 overlap, 0 and 2 do not",
    ),
    pytest.param(
        {"light_per_object_s": 0.025},
        [[closeup("A1", ("0",))], [propose("A1", ("0",))], [propose("A1", ("1",))]],
        ["accepted", "accepted", "accepted"],
        id="a close-up adds to the middle of its field only",
    ),
    pytest.param(
        {"frames": 20, "share_per_well": 0.1},
        [[propose("A1", 4)], [propose("A1", ("3",))], [propose("A2", 1)]],
        ["accepted", "A1 has had its share of the frames (2 of 2)", "accepted"],
        id="share of the budget",
    ),
    pytest.param(
        {"objective_changes_per_hour": 1},
        [[closeup("A1", ("0",)), propose("A2", 1)], [closeup("A3", ("0",))], [propose("A1", 1), closeup("B1", ("0",))]],
        [
            "accepted",
            "accepted",
            "accepted",
            "the objective was changed 1 times within an hour, and 1 are allowed",
            "accepted",
        ],
        id="objective changes",
    ),
    pytest.param(
        {"duration_s": 50.0},
        [[replace(propose("A1", 1), not_before_s=60.0), propose("A2", 1)]],
        ["A1 would be imaged after the end of the run (50 s)", "accepted"],
        id="a visit that would only begin after the end",
    ),
]


@pytest.mark.parametrize(("limits", "asks", "expected"), GUARDED)
def test_a_guard_says_no_and_why(limits: dict[str, Any], asks: list[Any], expected: list[str]) -> None:
    plan = two_objectives(make_plan(batch=2, in_flight=2, limits=Limits(**limits)))
    assert verdicts(plan, *asks)[: len(expected)] == expected


def test_light_is_exposure_times_power() -> None:
    plan = make_plan(limits=Limits(light_per_field_s=0.01))
    main = plan.profiles["main"]
    dim = replace(main, channels=(replace(main.channels[0], exposure_ms=40.0, power=0.25),))
    assert verdicts(replace(plan, profiles={"main": dim}), [propose("A1", ("0",))])[0] == "accepted"
    bright = replace(main, channels=(replace(main.channels[0], exposure_ms=40.0),))
    assert "more than 0.01 s" in verdicts(replace(plan, profiles={"main": bright}), [propose("A1", ("0",))])[0]


def test_fields_of_one_visit_that_overlap_add_up() -> None:
    plan = two_objectives(make_plan(limits=Limits(light_per_object_s=0.015)))
    machine = Machine(plan, decider(plan, Scripted([propose("A1", ("0", "1", "2", "3"))])))
    decided = machine.handle(RunStarted(at_s=0.0))[0]
    assert isinstance(decided, Decided)
    assert decided.proposals[0].fields == ("0", "2")


# -- waiting -------------------------------------------------------------------------------------------------------


def test_a_field_that_must_rest_is_waited_for_when_nothing_else_can_be_done() -> None:
    plan = make_plan(batch=1, in_flight=1, limits=Limits(revisit_interval_s=600.0))
    policy = Scripted([propose("A1", ("0",))], [propose("A1", ("0",))], Stop(reason="enough"))
    world = PeopleWorld(Machine(plan, decider(plan, policy)), np.random.default_rng(0), {}).run()
    first, second = visits_of(world)
    ended = next(message for message in world.log if isinstance(message, VisitEnded))
    assert first.not_before_s is None
    assert second.not_before_s == ended.at_s + 600.0
    assert world.decisions()[1].proposals[0].verdict == "accepted"


def test_with_something_else_to_do_nobody_waits() -> None:
    plan = make_plan(batch=2, in_flight=2, limits=Limits(revisit_interval_s=600.0))
    policy = Scripted([propose("A1", ("0",))], [propose("A1", ("0",)), propose("B1", 1)], Stop(reason="enough"))
    world = PeopleWorld(Machine(plan, decider(plan, policy)), np.random.default_rng(0), {}).run()
    said = {made.well: made.verdict for made in world.decisions()[1].proposals}
    assert said["B1"] == "accepted"
    assert said["A1"] == "every field asked for in A1 was visited less than 600 s ago"


def test_the_turret_waits_for_its_hour() -> None:
    plan = two_objectives(make_plan(batch=1, in_flight=1, limits=Limits(objective_changes_per_hour=2)))
    asks = [[closeup("A1", ("0",))], [propose("A1", ("1",))], [closeup("A1", ("2",))], Stop(reason="enough")]
    world = PeopleWorld(Machine(plan, decider(plan, Scripted(*asks))), np.random.default_rng(0), {}).run()
    ends = [message.at_s for message in world.log if isinstance(message, VisitEnded)]
    assert [visit.not_before_s for visit in visits_of(world)] == [None, None, ends[0] + HOUR_S]


# -- controls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "once"),
    [
        pytest.param({"controls_every_visits": 10}, False, id="every so many visits"),
        pytest.param({"controls_every_s": 20.0}, False, id="every so often"),
        pytest.param({"controls_every_visits": 10}, True, id="on a recorded plate"),
    ],
)
def test_controls_are_imaged_on_their_quota(limits: dict[str, Any], once: bool) -> None:
    plan = make_plan(
        rows=4,
        columns=6,
        fields=6,
        batch=3,
        in_flight=6,
        limits=Limits(frames=60, **limits),
        controls=("A1", "B2"),
        once=once,
    )
    wells = [well.name for well in plan.wells]
    world = PeopleWorld(Machine(plan, decider(plan, Greedy(wells))), np.random.default_rng(2), {}).run()
    assert world.machine.exit[0] == "budget"
    seen: dict[str, list[int]] = {name: [0] for name in plan.controls}
    fields: dict[str, list[str]] = {name: [] for name in plan.controls}
    for visit in visits_of(world):
        if visit.well in seen:
            seen[visit.well].append(visit.number)
            fields[visit.well] += [place.field for place in visit.fields]
    for name, numbers in seen.items():
        assert len(numbers) > 2, name
        if "controls_every_visits" in limits:
            assert max(np.diff(numbers)) <= 10
        assert len(set(fields[name][:6])) == len(fields[name][:6]), "a new field while there is one"
        assert not once or len(set(fields[name])) == len(fields[name])
    rules = Counter(made.why.rule for decided in world.decisions() for made in decided.proposals)
    assert rules[RULE] >= 4
    assert first_difference(world.log, plan, decider(plan, Greedy(wells))) is None


def test_controls_alone_do_not_keep_a_run_alive() -> None:
    plan = make_plan(limits=Limits(controls_every_s=0.1), controls=("A1", "A2"))
    world = PeopleWorld(
        Machine(plan, decider(plan, Scripted([propose("B1")], [propose("B2")], []))), np.random.default_rng(0), {}
    ).run()
    assert world.machine.phase is Phase.ENDED
    assert len(visits_of(world)) < 8


def test_a_control_that_may_not_be_imaged_is_refused_once() -> None:
    plan = make_plan(
        fields=2, limits=Limits(controls_every_visits=6, revisits_per_field=0, frames=40), controls=("A1",), batch=2
    )
    wells = [well.name for well in plan.wells]
    world = PeopleWorld(Machine(plan, decider(plan, Greedy(wells))), np.random.default_rng(0), {}).run()
    refused = [
        made for decided in world.decisions() for made in decided.proposals if made.why.rule == RULE and made.visit < 0
    ]
    assert len(refused) <= 1


# -- no sequence of proposals passes a limit -----------------------------------------------------------------------

LIMITS = st.builds(
    Limits,
    frames=st.none() | st.integers(4, 60),
    duration_s=st.floats(20.0, 20_000.0),
    disk_bytes=st.none() | st.integers(1_000_000, 20_000_000),
    light_per_field_s=st.none() | st.floats(0.01, 0.06),
    light_per_object_s=st.none() | st.floats(0.01, 0.06),
    revisits_per_field=st.none() | st.integers(0, 3),
    revisit_interval_s=st.none() | st.floats(1.0, 400.0),
    objective_changes_per_hour=st.none() | st.integers(0, 4),
    share_per_well=st.none() | st.floats(0.05, 0.5),
    controls_every_visits=st.none() | st.integers(8, 20),
)
KINDS = ("ok", "ok", "ok", "missing", "failed", "late", "qc_fail")


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    limits=LIMITS,
    failing=st.lists(st.sampled_from(KINDS), min_size=24, max_size=24),
    size=st.sampled_from((200.0, 320.0, 700.0)),
)
def test_no_sequence_of_proposals_passes_a_limit(seed: int, limits: Limits, failing: list[str], size: float) -> None:
    """Random proposals, failures and latencies; every limit is checked from what the microscope did, not the ledger."""
    plan = make_plan(rows=2, columns=3, limits=limits, batch=3, in_flight=6, retries=1, controls=("A1", "B2"))
    plan = two_objectives(plan, frame_um=size)
    places = [(well.name, field.name) for well in plan.wells for field in well.fields]
    failures = dict(zip(places, failing, strict=True))
    machine = Machine(plan, decider(plan, Anything(plan, seed), Scripted()))
    world = PeopleWorld(machine, np.random.default_rng(seed), failures).run(steps=300)
    visits = visits_of(world)
    ends = {message.visit: message for message in world.log if isinstance(message, VisitEnded)}
    taken = [frame for visit in visits for frame in visit.frames()]
    lost = {frame.address for end in ends.values() for frame in end.missing}
    exposed = [frame for frame in taken if frame not in lost]
    if limits.frames is not None:
        assert len(exposed) <= limits.frames
        if limits.frames_per_well is not None:
            assert max(Counter(frame.well for frame in exposed).values(), default=0) <= limits.frames_per_well
    if limits.disk_bytes is not None:
        assert len(exposed) * plan.frame_bytes <= limits.disk_bytes
    light: Counter[tuple[str, str]] = Counter()
    lit: list[tuple[Frame, float]] = []
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for visit in visits:
        end = ends.get(visit.number)
        for place in visit.fields:
            seconds = 0.01 if end is None else end.light_s.get(place.field, 0.0)
            at = plan.place(visit.well, place)
            lit.append((Frame(at.x_um, at.y_um, *(plan.profiles[visit.profile].frame_um or (0, 0))), seconds))
            light[visit.well, place.field] += seconds
            if end is not None and seconds:
                began = max(
                    visit.not_before_s or 0.0, next(m.at_s for m in world.decisions() if m.decision == visit.decision)
                )
                times.setdefault((visit.well, place.field), []).append((began, end.at_s))
    if limits.light_per_field_s is not None:
        assert max(light.values(), default=0.0) <= limits.light_per_field_s + 1e-9
    if limits.light_per_object_s is not None:
        assert _brightest(lit) <= limits.light_per_object_s + 1e-9
    for visited in times.values():
        if limits.revisits_per_field is not None:
            assert len(visited) <= limits.revisits_per_field + 1
        if limits.revisit_interval_s is not None:
            for (_, ended), (began, _) in pairwise(visited):
                assert began >= ended + limits.revisit_interval_s - 1e-9
    if limits.objective_changes_per_hour is not None:
        # In the order of the visits; a change lies between the decision and the end of its visit.
        objectives = ["20x", *(plan.profiles[visit.profile].objective_config for visit in visits)]
        changed = [v for v, before, now in zip(visits, objectives, objectives[1:], strict=False) if before != now]
        assert _most_in_an_hour([ends[v.number].at_s for v in changed if v.number in ends]) <= (
            limits.objective_changes_per_hour
        )
    assert all(visit.well != "H12" for visit in visits)


def _most_in_an_hour(times: list[float]) -> int:
    return max((sum(at - HOUR_S < other <= at for other in times) for at in times), default=0)


def _brightest(lit: list[tuple[Frame, float]]) -> float:
    """The most exposed of 9 x 9 places in every frame: an account of its own, by trial."""
    if not lit:
        return 0.0
    frames, seconds = np.array([frame for frame, _ in lit]), np.array([s for _, s in lit])
    u, v = np.meshgrid(np.linspace(-0.499, 0.499, 9), np.linspace(-0.499, 0.499, 9))
    x = (frames[:, :1] + frames[:, 2:3] * u.ravel()).ravel()
    y = (frames[:, 1:2] + frames[:, 3:4] * v.ravel()).ravel()
    across = np.abs(x[:, None] - frames[:, 0]) < frames[:, 2] / 2
    along = np.abs(y[:, None] - frames[:, 1]) < frames[:, 3] / 2
    return float(((across & along) * seconds).sum(axis=1).max())


# -- the two accounts ----------------------------------------------------------------------------------------------

FRAMES = st.lists(
    st.tuples(
        st.integers(-300, 300),
        st.integers(-300, 300),
        st.sampled_from((40, 100, 110)),
        st.sampled_from((40, 90)),
        st.floats(0.001, 1.0),
    ),
    min_size=1,
    max_size=9,
)


@settings(deadline=None)
@given(given_light=FRAMES, cell=st.sampled_from((30.0, 110.0, 1000.0)))
def test_light_by_place_is_the_sum_over_the_frames_that_show_it(given_light: list[Any], cell: float) -> None:
    found = LightMap(cell)
    frames = [(Frame(float(x), float(y), float(w), float(h)), s) for x, y, w, h, s in given_light]
    for frame, seconds in frames:
        found.add(frame, seconds)
    for asked, _ in frames:
        # Whole numbers and sides: in each unit square the sum is constant, so its centres are all there is.
        xs = np.arange(np.floor(asked.x_um - asked.width_um / 2), asked.x_um + asked.width_um / 2) + 0.5
        ys = np.arange(np.floor(asked.y_um - asked.height_um / 2), asked.y_um + asked.height_um / 2) + 0.5
        total = np.zeros((len(ys), len(xs)))
        for frame, seconds in frames:
            inside_x = np.abs(xs - frame.x_um) < frame.width_um / 2
            inside_y = np.abs(ys - frame.y_um) < frame.height_um / 2
            total += seconds * np.outer(inside_y, inside_x)
        assert found.most(asked) == pytest.approx(total.max())
    copied = found.copy()
    copied.add(frames[0][0], 5.0)
    assert found.most(frames[0][0]) < copied.most(frames[0][0])


def test_light_that_is_taken_back_is_gone() -> None:
    found = LightMap(100.0)
    frame = Frame(0.0, 0.0, 100.0, 100.0)
    found.add(frame, 1.0)
    found.add(frame, -1.0)
    assert found.most(frame) == 0.0


def test_the_turret_counts_what_is_on_its_way() -> None:
    turret = Turret("20x")
    turret.begin_batch()
    assert turret.changes_with("20x") == 0
    assert turret.changes_with(None) == 0
    turret.promise("60x")
    assert turret.changes_with("60x") == 1
    assert turret.changes_with("10x") == 2
    turret.sent(1, "60x")
    assert turret.in_hour_before(10_000.0) == 1
    assert turret.free_at_s(0) is None
    turret.settle(1, 100.0)
    assert turret.in_hour_before(100.0 + HOUR_S - 1) == 1
    assert turret.in_hour_before(100.0 + HOUR_S) == 0
    assert turret.free_at_s(0) == 100.0 + HOUR_S
    turret.reopen(200.0)
    assert (turret.objective, turret.total) == ("20x", 2)
