from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.core import TRANSITIONS, Difference, IllegalInput, Machine, Phase, first_difference, fold
from phenoloop.model import (
    Acquire,
    AutofocusPlan,
    Decided,
    Finish,
    Input,
    Limits,
    Measure,
    Measured,
    MeasurementFailed,
    Paused,
    PolicyTooSlow,
    Resumed,
    RunEnded,
    RunResumed,
    RunStarted,
    StageBox,
    Stop,
    StopRequested,
    Target,
    VisitEnded,
)
from tests.core.worlds import Greedy, Scripted, World, decider, greedy_machine, make_plan, propose

KINDS = ("ok", "ok", "ok", "missing", "failed", "late", "qc_fail")


def choices(world: World) -> list[Any]:
    """What was decided, without the clock: latencies may move that."""
    return [replace(decision, at_s=0.0) for decision in world.decisions()]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), failing=st.lists(st.sampled_from(KINDS), min_size=24, max_size=24))
def test_latencies_failures_and_late_results_do_not_change_a_decision(seed: int, failing: list[str]) -> None:
    plan = make_plan(limits=Limits(frames=20), retries=1)
    places = [(well.name, field.name) for well in plan.wells for field in well.fields]
    failures = dict(zip(places, failing, strict=True))
    calm = World(greedy_machine(plan), np.random.default_rng(0), failures).run()
    wild = World(greedy_machine(plan), np.random.default_rng(seed), failures).run()
    assert calm.machine.phase is wild.machine.phase is Phase.ENDED
    assert choices(calm) == choices(wild)
    assert [(r.visit, r.fields) for r in calm.machine.told] == [(r.visit, r.fields) for r in wild.machine.told]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.floats(0, 1))
def test_a_journal_cut_anywhere_folds_to_what_it_owes(seed: int, cut: float) -> None:
    plan = make_plan(limits=Limits(frames=16), retries=1)
    failures = {("A1", "0"): "missing", ("B1", "1"): "qc_fail", ("A2", "2"): "qc_fail", ("B3", "0"): "qc_fail"}
    log = World(greedy_machine(plan), np.random.default_rng(seed), failures).run().log
    wells = [well.name for well in plan.wells]
    n = max(1, int(cut * len(log)))
    folded = fold(log[:n], plan, decider(plan, Greedy(wells), Greedy(wells)))
    rest = log[n:]
    until = next((i for i, message in enumerate(rest) if isinstance(message, Input)), len(rest))
    assert list(folded.owed) == rest[:until]
    # And from there it goes on as if nothing had happened.
    machine, out = folded.machine, []
    for message in rest[until:]:
        if isinstance(message, Input):
            out += [message, *machine.handle(message)]
    assert out == rest[until:]


def test_every_command_ends_in_exactly_one_input() -> None:
    plan = make_plan()
    log = World(greedy_machine(plan), np.random.default_rng(3), {("B2", "1"): "late", ("A2", "0"): "failed"}).run().log
    acquired = [m.visit.number for m in log if isinstance(m, Acquire)]
    assert acquired == sorted(set(acquired)) == [m.visit for m in log if isinstance(m, VisitEnded)]
    measures = sorted((m.visit, m.field) for m in log if isinstance(m, Measure))
    failed = [(m.visit, m.field) for m in log if isinstance(m, MeasurementFailed)]
    late = {(m.visit, m.field) for m in log if isinstance(m, MeasurementFailed) and m.kind == "late"}
    measured = [(m.visit, m.field) for m in log if isinstance(m, Measured) and (m.visit, m.field) not in late]
    assert measures == sorted(failed + measured)
    assert isinstance(log[-1], RunEnded)


def test_the_address_of_every_frame_is_written_once() -> None:
    plan = make_plan()
    world = World(greedy_machine(plan), np.random.default_rng(0), {}).run()
    frames = [frame for m in world.log if isinstance(m, Acquire) for frame in m.visit.frames()]
    slots = [(f.profile, f.well, f.image, f.t, f.c, f.z) for f in frames]
    assert len(set(slots)) == len(slots) == 24
    for well in plan.wells:
        images = [f.image for f in frames if f.well == well.name]
        assert list(dict.fromkeys(images)) == list(range(len(well.fields)))


def test_asks_exactly_when_untold_visits_have_fallen_to_in_flight_minus_batch() -> None:
    plan = make_plan(batch=2, in_flight=4)
    machine = greedy_machine(plan)
    out = machine.handle(RunStarted(at_s=0.0))
    assert [type(m).__name__ for m in out] == ["Decided", "Acquire", "Acquire"] * 2
    for visit in (2, 1):  # told in the order of numbers: 2 waits for 1
        (measure,) = machine.handle(VisitEnded(at_s=1.0, visit=visit))
        assert isinstance(measure, Measure)
    out = machine.handle(Measured(at_s=2.0, visit=2, field=machine.visit(2).fields[0].field, readouts={"x": 1.0}))
    assert out == []
    out = machine.handle(Measured(at_s=3.0, visit=1, field=machine.visit(1).fields[0].field, readouts={"x": 1.0}))
    assert [type(m).__name__ for m in out] == ["Decided", "Acquire", "Acquire"]


def test_paused_results_wait_and_decisions_stay_the_same() -> None:
    plan = make_plan()
    plain = World(greedy_machine(plan), np.random.default_rng(5), {}).run()
    held = World(greedy_machine(plan), np.random.default_rng(5), {})
    held.later(1.5, Paused(at_s=0))
    held.later(6.0, Resumed(at_s=0))
    held.run()
    assert choices(plain) == choices(held)


def test_a_pause_while_draining_goes_on_draining() -> None:
    plan = make_plan()
    machine = Machine(plan, decider(plan, Scripted([propose("A1")], Stop(reason="enough"))))
    machine.handle(RunStarted(at_s=0.0))
    assert machine.phase is Phase.DRAINING
    machine.handle(Paused(at_s=1.0))
    (measure,) = machine.handle(VisitEnded(at_s=2.0, visit=1))
    assert isinstance(measure, Measure)
    assert machine.handle(Measured(at_s=3.0, visit=1, field=measure.field)) == []
    assert [type(m) for m in machine.handle(Resumed(at_s=4.0))] == [Finish]


@pytest.mark.parametrize(
    ("script", "exit", "reason"),
    [
        pytest.param([Stop(reason="enough")], "completed", "enough", id="policy stops"),
        pytest.param([[]], "completed", "nothing more to propose", id="policy is idle"),
        pytest.param(
            [[propose("H12")]] * 3, "completed", "'H12' is not among the selected wells", id="only denied wells"
        ),
        pytest.param([[propose("A1", ("9",))]] * 3, "completed", "A1 has no field '9'", id="no such field"),
    ],
)
def test_how_a_run_ends(script: list[Any], exit: str, reason: str) -> None:
    plan = make_plan()
    machine = Machine(plan, decider(plan, Scripted(*script)))
    finish = machine.handle(RunStarted(at_s=0.0))[-1]
    assert isinstance(finish, Finish)
    assert finish.exit == exit
    assert reason in finish.reason


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(ValueError("boom"), "ValueError: boom", id="raises"),
        pytest.param("A1", "not of str", id="text"),
        pytest.param(None, "NoneType", id="nothing"),
        pytest.param([propose("A1", score=float("nan"))], "score for A1 is nan", id="score not a number"),
        pytest.param([propose("A1", 0)], "0 fields", id="no fields"),
        pytest.param([propose("A1", 1.5)], "fields are a number or a tuple of names, not 1.5", id="half a field"),
        pytest.param([propose("A1", (0, 1))], "not (0, 1), in A1", id="fields by index"),
        pytest.param(
            [replace(propose("A1"), not_before_s=math.inf)], "cannot wait until inf", id="waits until the end of time"
        ),
        pytest.param(
            [replace(propose("A1"), targets=(Target(name="o", x_um=math.nan, y_um=0.0),))],
            "an object in A1 lies at no place",
            id="an object nowhere",
        ),
        pytest.param([propose("A1")] * 3, "3 proposals where 2", id="too many"),
    ],
)
def test_a_policy_that_misbehaves_is_replaced_by_the_fallback(answer: Any, error: str) -> None:
    plan = make_plan()
    fallback = Greedy([well.name for well in plan.wells])
    machine = Machine(plan, decider(plan, Scripted(answer), fallback))
    decided = machine.handle(RunStarted(at_s=0.0))[0]
    assert isinstance(decided, Decided)
    assert decided.policy == "fallback"
    assert error in decided.error
    assert [p.verdict for p in decided.proposals] == ["accepted", "accepted"]


def test_when_the_fallback_fails_too_the_run_ends_as_failed() -> None:
    plan = make_plan()
    machine = Machine(plan, decider(plan, Scripted(ValueError("a")), Scripted(ValueError("b"))))
    decided, finish = machine.handle(RunStarted(at_s=0.0))
    assert isinstance(decided, Decided)
    assert isinstance(finish, Finish)
    assert finish.exit == "failed"
    assert "ValueError: a" in finish.reason
    assert "ValueError: b" in finish.reason


def test_a_slow_policy_is_replaced() -> None:
    plan = make_plan()
    slow = Scripted([propose("A1")], [propose("A2")], [propose("A3")])
    machine = Machine(plan, decider(plan, slow, Greedy([w.name for w in plan.wells])))
    machine.handle(RunStarted(at_s=0.0))
    machine.handle(PolicyTooSlow(at_s=0.5, decision=1, limit_s=1.0))
    (measure,) = machine.handle(VisitEnded(at_s=1.0, visit=1))
    assert isinstance(measure, Measure)
    out = machine.handle(Measured(at_s=2.0, visit=1, field=measure.field))
    assert isinstance(out[0], Decided)
    assert "took more than 1 s" in out[0].error
    assert out[0].policy == "fallback"


LIMITS = [
    pytest.param({"limits": Limits(frames=5)}, 5, "budget", id="frames"),
    pytest.param({"limits": Limits(disk_bytes=3 * 512 * 512 * 2)}, 3, "budget", id="disk"),
    pytest.param({"limits": Limits(light_per_field_s=0.005)}, 0, "completed", id="light"),
    pytest.param({"limits": Limits(duration_s=3.0)}, None, "budget", id="duration"),
]


@pytest.mark.parametrize(("changes", "frames", "exit"), LIMITS)
def test_guards_hold(changes: dict[str, Any], frames: int | None, exit: str) -> None:
    plan = make_plan(**changes)
    world = World(greedy_machine(plan), np.random.default_rng(0), {}).run()
    assert world.machine.exit[0] == exit
    assert world.machine.exit[1]
    if frames is not None:
        assert world.machine.ledger.frames == frames
    else:
        assert 0 < world.machine.ledger.frames < 24


@settings(max_examples=100, deadline=None)
@given(
    wells=st.lists(st.sampled_from(["A1", "A2", "B3", "Z9", ""]), min_size=100, max_size=100),
    bound=st.floats(-9000, 27000, allow_nan=False),
)
def test_no_frame_outside_the_stage_box(wells: list[str], bound: float) -> None:
    """100 x 100 random proposals against a random box: 10,000 in all."""
    plan = make_plan(
        batch=100, in_flight=100, fields=3, stage=StageBox(x_um=(bound, bound + 9100.0), y_um=(-9000.0, 0.0))
    )
    machine = Machine(plan, decider(plan, Scripted([propose(w, 2, score=i) for i, w in enumerate(wells)])))
    places = {(w.name, f.name): f for w in plan.wells for f in w.fields}
    for message in machine.handle(RunStarted(at_s=0.0)):
        if isinstance(message, Acquire):
            for frame in message.visit.frames():
                place = places[frame.well, frame.field]
                assert plan.stage.holds(place.x_um, place.y_um)


def test_a_denial_is_told() -> None:
    plan = make_plan()
    policy = Scripted([propose("H12"), propose("A1")])
    machine = Machine(plan, decider(plan, policy))
    decided = machine.handle(RunStarted(at_s=0.0))[0]
    assert isinstance(decided, Decided)
    assert [p.visit for p in decided.proposals] == [1, -1]
    (veto,) = policy.heard
    assert (veto.visit, veto.well, veto.fields[0].status) == (-1, "H12", "vetoed")


def test_stop_in_every_phase_finishes_when_nothing_is_under_way() -> None:
    plan = make_plan()
    machine = greedy_machine(plan)
    assert isinstance(machine.handle(StopRequested(at_s=0.0, reason="q"))[0], Finish)
    machine = greedy_machine(plan)
    machine.handle(RunStarted(at_s=0.0))
    machine.handle(Paused(at_s=0.0))
    assert machine.handle(StopRequested(at_s=1.0, reason="q")) == []
    visits = machine.outstanding_acquires()
    out: list[Any] = []
    for visit in visits:
        out += machine.handle(VisitEnded(at_s=2.0, visit=visit.number))
    assert [type(m) for m in out] == [Finish]
    assert out[0].exit == "stopped"


def test_a_stopped_run_is_taken_up_and_measures_what_was_left() -> None:
    plan = make_plan()
    machine = greedy_machine(plan)
    machine.handle(RunStarted(at_s=0.0))
    machine.handle(StopRequested(at_s=1.0, reason="q"))
    for visit in machine.outstanding_acquires():
        machine.handle(VisitEnded(at_s=2.0, visit=visit.number))
    machine.handle(RunEnded(at_s=2.0, exit="stopped"))
    out = machine.handle(RunResumed(at_s=3.0))
    assert [(m.visit) for m in out if isinstance(m, Measure)] == [1, 2, 3, 4]


@pytest.mark.parametrize("phase", list(Phase))
def test_what_is_not_in_the_table_is_refused(phase: Phase) -> None:
    inputs: list[Input] = [
        RunStarted(at_s=0.0),
        VisitEnded(at_s=0.0, visit=99),
        Measured(at_s=0.0, visit=99, field="0"),
        Paused(at_s=0.0),
        Resumed(at_s=0.0),
        RunEnded(at_s=0.0, exit="completed"),
    ]
    for happened in inputs:
        if (phase, type(happened)) in TRANSITIONS:
            continue
        machine = greedy_machine(make_plan())
        machine.phase = phase
        with pytest.raises(IllegalInput, match=phase.value):
            machine.handle(happened)
        assert machine.phase is phase


def test_replay_is_equal_and_names_the_first_difference() -> None:
    plan = make_plan(limits=Limits(frames=12))
    log = World(greedy_machine(plan), np.random.default_rng(1), {}).run().log
    wells = [well.name for well in plan.wells]
    again = decider(plan, Greedy(wells), Greedy(wells))
    assert first_difference(log, plan, again) is None
    other = decider(plan, Greedy(wells, fields=2), Greedy(wells))
    difference = first_difference(log, plan, other)
    assert isinstance(difference, Difference)
    assert difference.decision == 1
    assert difference.line == 3
    assert "the replay goes to" in difference.what


def test_a_rejected_field_is_replaced_by_its_nearest_neighbour() -> None:
    plan = make_plan(rows=1, columns=1, fields=4, batch=1, in_flight=1, retries=1)
    policy = Scripted([propose("A1", ("1",))], Stop(reason="enough"))
    world = World(Machine(plan, decider(plan, policy)), np.random.default_rng(0), {("A1", "1"): "qc_fail"}).run()
    first, second = world.decisions()[:2]
    (replacement,) = second.proposals
    assert first.proposals[0].fields == ("1",)
    assert replacement.fields in (("0",), ("2",))  # 300 um away, both
    assert replacement.why.rule == "replace a rejected field"
    assert "field 1 of A1 was rejected" in replacement.why.text
    assert [(r.visit, r.fields[0].status) for r in policy.heard] == [(1, "qc_fail"), (2, "ok")]
    assert [readout.field for readout in world.machine.accepted()] == list(replacement.fields)


def test_with_autofocus_the_same_place_is_tried_first() -> None:
    profile = make_plan().profiles["main"]
    focused = replace(profile, autofocus=AutofocusPlan(channel="DNA", range_um=10, step_um=1))
    plan = make_plan(rows=1, columns=1, batch=1, in_flight=1, retries=2, profiles={"main": focused})
    policy = Scripted([propose("A1", ("1",))], [], Stop(reason="enough"))
    failing = {("A1", str(i)): "qc_fail" for i in range(4)}
    world = World(Machine(plan, decider(plan, policy)), np.random.default_rng(0), failing).run()
    fields = [proposal.fields for decision in world.decisions() for proposal in decision.proposals]
    assert fields[:2] == [("1",), ("1",)]
    assert len(fields) == 3  # two replacements for the one rejected field, and no more
    assert fields[2] != ("1",)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    failing=st.lists(st.sampled_from(("ok", "qc_fail", "qc_fail", "missing")), min_size=24, max_size=24),
    retries=st.integers(1, 3),
    per_visit=st.integers(1, 4),
    quota=st.none() | st.integers(5, 8),
)
def test_no_replacement_is_a_field_that_has_light_already(
    seed: int, failing: list[str], retries: int, per_visit: int, quota: int | None
) -> None:
    """Nobody asks for a field by name here, so none may be imaged twice: two replacements are two fields."""
    plan = make_plan(retries=retries, limits=Limits(controls_every_visits=quota), controls=("B2",))
    wells = [well.name for well in plan.wells]
    places = [(well.name, field.name) for well in plan.wells for field in well.fields]
    failures = dict(zip(places, failing, strict=True))
    policy = Greedy(wells, fields=per_visit)
    world = World(Machine(plan, decider(plan, policy)), np.random.default_rng(seed), failures).run(steps=400)
    visits = [message.visit for message in world.log if isinstance(message, Acquire)]
    given_light = Counter((visit.well, place.field) for visit in visits for place in visit.fields)
    twice = {place for place, times in given_light.items() if times > 1}
    assert {well for well, _ in twice} <= ({"B2"} if quota else set())  # a control is seen again by its quota


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_replacements_end(retries: int) -> None:
    plan = make_plan(retries=retries, limits=Limits(frames=24))
    failing = {(well.name, field.name): "qc_fail" for well in plan.wells for field in well.fields}
    log = World(greedy_machine(plan), np.random.default_rng(0), failing).run().log
    assert isinstance(log[-1], RunEnded)
    wells = [well.name for well in plan.wells]
    assert first_difference(log, plan, decider(plan, Greedy(wells), Greedy(wells))) is None
