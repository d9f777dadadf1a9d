"""Places of their own in the core: where an object lies, which targets are granted, in which order, at what cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from phenoloop.core import Machine, first_difference, fold
from phenoloop.core.guards import Denial, grant
from phenoloop.core.ledger import Ledger
from phenoloop.core.locating import locate
from phenoloop.core.router import Trip, route, walk
from phenoloop.core.visiting import VisitState
from phenoloop.model import (
    Candidate,
    CostModel,
    Decided,
    FrameAddress,
    Limits,
    Measured,
    Plan,
    Proposal,
    StageBox,
    StoredFrame,
    Target,
    VisitEnded,
    WellShape,
    Why,
)
from phenoloop.storage.journal import Journal, read
from tests.core.worlds import Scripted, World, decider, make_plan

COST = CostModel()


def two_ways(**changes: object) -> Plan:
    """Six wells of 6 mm, 9 mm apart; ``main`` at 10X, ``closeup`` at 60X looking 40 um beside the axis."""
    plan = make_plan()
    main = dataclasses.replace(plan.profiles["main"], objective_config="10X")
    closeup = dataclasses.replace(
        main, name="closeup", objective_config="60X", pixel_size_um=0.1, offset_um=(40.0, -20.0, 0.0)
    )
    values = {"profiles": {"main": main, "closeup": closeup}, "well_shape": WellShape(width_um=6000, height_um=6000)}
    return dataclasses.replace(plan, **{**values, **changes})


def look(well: str, *targets: Target, profile: str = "closeup") -> Proposal:
    return Proposal(well=well, fields=1, score=1.0, why=Why(rule="r", text="because"), profile=profile, targets=targets)


def at(x: float, y: float, name: str = "0-1") -> Target:
    return Target(name=name, x_um=x, y_um=y)


# -- where an object lies ---------------------------------------------------------------------------------------------


def frame(x: float, y: float, z: float | None = None, plane: int = 0) -> StoredFrame:
    address = FrameAddress(visit=1, profile="main", well="A1", field="0", channel="DNA", t=0, z=plane, image=0, c=0)
    return StoredFrame(address=address, exposure_ms=1, x_um=x, y_um=y, z_um=z, at_s=0)


@pytest.mark.parametrize(
    ("changes", "pixel", "expected"),
    [
        pytest.param({}, (10.0, 0.0), (105.0, 200.0), id="columns along x"),
        pytest.param({}, (0.0, 10.0), (100.0, 195.0), id="rows against y"),
        pytest.param({"pixel_size_um": 1.0}, (10.0, 4.0), (110.0, 196.0), id="binned: larger pixels"),
        pytest.param({"offset_um": (40.0, -20.0, 0.0)}, (0.0, 0.0), (60.0, 220.0), id="beside the axis"),
        pytest.param(
            {"image_axes": (0.0, 1.0, 1.0, 0.0)}, (10.0, 4.0), (102.0, 205.0), id="camera turned by 90 degrees"
        ),
        pytest.param({"image_axes": (-1.0, 0.0, 0.0, -1.0)}, (10.0, 4.0), (95.0, 198.0), id="mirrored"),
    ],
)
def test_pixel_to_stage(changes: dict[str, object], pixel: tuple[float, float], expected: tuple[float, float]) -> None:
    profile = dataclasses.replace(make_plan().profiles["main"], **changes)
    found = locate(Candidate(label=1, x_px=pixel[0], y_px=pixel[1]), [frame(100.0, 200.0)], profile)
    assert (found.x_um, found.y_um) == expected


def test_there_and_back_under_any_optics() -> None:
    """Sent to where an object was found, the stage has it in the middle: whatever turn, mirror, size and offset."""
    chance = np.random.default_rng(5)
    for _ in range(200):
        turn = chance.uniform(0, 2 * np.pi)
        cos, sin, right = float(np.cos(turn)), float(np.sin(turn)), float(chance.choice([-1, 1]))
        a, b, c, d = right * cos, sin, right * sin, -cos
        size = float(chance.uniform(0.05, 3))
        offset = (*(float(v) for v in chance.uniform(-100, 100, 2)), 0.0)
        profile = dataclasses.replace(
            make_plan().profiles["main"], pixel_size_um=size, offset_um=offset, image_axes=(a, b, c, d)
        )
        truth, stage = chance.uniform(-500, 500, 2), chance.uniform(-500, 500, 2)
        away = truth - (stage - offset[:2])
        pixel = np.linalg.solve([[a, b], [c, d]], away) / size
        found = locate(
            Candidate(label=1, x_px=float(pixel[0]), y_px=float(pixel[1])), [frame(*map(float, stage))], profile
        )
        assert (found.x_um, found.y_um) == pytest.approx(tuple(truth), abs=2e-3)


@pytest.mark.parametrize(
    ("offsets", "expected"), [pytest.param((), None, id="no stack"), pytest.param((-2.0, 2.0), 5.0, id="middle of it")]
)
def test_the_focus_is_told_where_it_is_commanded(offsets: tuple[float, ...], expected: float | None) -> None:
    profile = dataclasses.replace(make_plan().profiles["main"], z_offsets_um=offsets, offset_um=(0.0, 0.0, 1.0))
    frames = [frame(0, 0, 4.0), frame(0, 0, 8.0, plane=1)]
    assert locate(Candidate(label=1, x_px=0, y_px=0), frames, profile).z_um == expected


def test_a_result_carries_stage_positions_from_where_the_frame_was_really_taken() -> None:
    plan = two_ways()
    visit = Ledger(plan).dispatch(1, 1, plan.wells[0], plan.profiles["main"], ("0",))
    state = VisitState(visit, plan.profiles["main"])
    (address,) = visit.frames()
    taken = StoredFrame(address=address, exposure_ms=10, x_um=3.0, y_um=-1.0, z_um=None, at_s=1.0)
    state.end(VisitEnded(at_s=1.0, visit=1, frames=(taken,)))
    state.measure(1.0)
    state.take(Measured(at_s=2.0, visit=1, field="0", candidates=(Candidate(label=4, x_px=2.0, y_px=2.0),)))
    (told,) = state.result(2.0).fields[0].candidates
    assert (told.label, told.x_um, told.y_um) == (4, 4.0, -2.0)
    (accepted,) = state.accepted()
    assert accepted.candidates == (told,)
    assert accepted.target is None


# -- what is granted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "kept"),
    [
        pytest.param((at(100, 50),), ["0-1"], id="inside"),
        pytest.param((at(2999, 0),), ["0-1"], id="just inside the wall"),
        pytest.param((at(3001, 0),), None, id="beyond the wall"),
        pytest.param((at(2200, 2200),), None, id="round wells have no corners"),
        pytest.param((at(100, 50), at(9000, 0, "0-2")), ["0-1"], id="one of another well"),
        pytest.param((at(float("nan"), 0),), None, id="no number"),
        pytest.param((at(0, 0), at(0, 0)), ["0-1"], id="the same twice"),
    ],
)
def test_objects_stay_in_their_well(targets: tuple[Target, ...], kept: list[str] | None) -> None:
    plan = two_ways()
    granted = grant(look("A1", *targets), plan, Ledger(plan), 0.0)
    if kept is None:
        assert isinstance(granted, Denial)
        assert "A1" in granted.sentence
    else:
        assert not isinstance(granted, Denial)
        assert list(granted.fields) == kept
        assert [target.name for target in granted.targets] == kept


def test_the_stage_must_reach_the_object_with_the_objectives_offset() -> None:
    plan = two_ways(stage=StageBox(x_um=(-100, 100), y_um=(-1000, 1000)))
    assert isinstance(grant(look("A1", at(70, 0)), plan, Ledger(plan), 0.0), Denial)
    assert not isinstance(grant(look("A1", at(50, 0)), plan, Ledger(plan), 0.0), Denial)


def test_an_object_is_not_called_like_a_field() -> None:
    plan = two_ways()
    denial = grant(look("A1", at(0, 0, "2")), plan, Ledger(plan), 0.0)
    assert isinstance(denial, Denial)
    assert "needs another name" in denial.sentence


def test_objects_are_walked_to_by_the_shortest_way() -> None:
    plan = two_ways()
    places = [at(x, 0, f"0-{i}") for i, x in enumerate((0, 1000, 200, 800, 400))]
    granted = grant(look("A1", *places), plan, Ledger(plan), 0.0)
    assert not isinstance(granted, Denial)
    assert [target.x_um for target in granted.targets] == [0, 200, 400, 800, 1000]


@pytest.mark.parametrize(
    ("limit_s", "granted"),
    [
        pytest.param(0.0199, False, id="too little for both"),
        pytest.param(0.0201, True, id="enough for the pre-scan and one look"),
    ],
)
def test_the_light_of_the_pre_scan_counts_for_the_object(limit_s: float, granted: bool) -> None:
    """10 ms when it was found, 10 ms more for the close look."""
    plan = two_ways(limits=Limits(light_per_object_s=limit_s))
    sizes = {"main": (500.0, 500.0), "closeup": (80.0, 80.0)}
    profiles = {name: dataclasses.replace(one, frame_um=sizes[name]) for name, one in plan.profiles.items()}
    plan = dataclasses.replace(plan, profiles=profiles)
    ledger = Ledger(plan)
    ledger.dispatch(1, 1, plan.wells[0], plan.profiles["main"], ("0",))
    assert isinstance(grant(look("A1", at(100, 50)), plan, ledger, 0.0), Denial) != granted
    # Beside the field that was pre-scanned nothing is spent yet.
    assert not isinstance(grant(look("A1", at(1500, 50)), plan, ledger, 0.0), Denial)


def test_the_same_object_twice_is_its_next_time_point() -> None:
    plan = two_ways()
    ledger, well, profile = Ledger(plan), plan.wells[0], plan.profiles["closeup"]
    first = ledger.dispatch(1, 1, well, profile, ("0-1",), None, (at(5, 6),))
    again = ledger.dispatch(2, 2, well, profile, ("0-1",), None, (at(5, 6),))
    other = ledger.dispatch(3, 2, well, profile, ("0-2",), None, (at(7, 8, "0-2"),))
    assert [(v.fields[0].t, v.fields[0].image) for v in (first, again, other)] == [(0, 0), (1, 0), (0, 1)]
    assert again.fields[0].target == at(5, 6)


# -- the order --------------------------------------------------------------------------------------------------------


def test_the_objective_is_changed_as_rarely_as_can_be() -> None:
    plan = two_ways()
    trips = [Trip(well, objective) for well in plan.wells for objective in ("10X", "60X")]
    order = [trips[i].objective for i in route(trips, Trip(plan.wells[0], "60X"), COST)]
    assert order == ["60X"] * 6 + ["10X"] * 6
    assert sorted(route(trips, None, COST)) == list(range(12))


def test_many_stops_are_sorted_by_objective_too() -> None:
    plan = two_ways()
    trips = [Trip(plan.wells[i % 6], "10X" if i % 3 else "60X") for i in range(90)]
    order = [trips[i].objective for i in route(trips, Trip(plan.wells[0], "10X"), COST)]
    assert order == ["10X"] * 60 + ["60X"] * 30


def test_a_free_change_of_objective_changes_nothing() -> None:
    plan = two_ways()
    free = dataclasses.replace(COST, objective_s=0.0)
    mixed = [Trip(well, "10X" if i % 2 else "60X") for i, well in enumerate(plan.wells)]
    plain = [Trip(well, "10X") for well in plan.wells]
    assert route(mixed, None, free) == route(plain, None, free)


def test_walk_is_a_permutation() -> None:
    chance = np.random.default_rng(2)
    for n in (0, 1, 2, 30, 100):
        points = [(float(x), float(y)) for x, y in chance.uniform(0, 1000, (n, 2))]
        assert sorted(walk(points, COST)) == list(range(n))


# -- journal, fold, replay --------------------------------------------------------------------------------------------


def test_targets_survive_the_journal_and_come_out_again(tmp_path: Path) -> None:
    plan = two_ways()
    first = look("A1", at(10, 20, "101"), at(30, 40, "102"))
    script = [[first, look("A2", at(0, 0, "103"))], [look("A3", at(18000, 5, "104"))]]

    def fresh() -> Machine:
        return Machine(plan, decider(plan, Scripted(*script)))

    world = World(fresh(), np.random.default_rng(1), {})
    world.run()
    decided = [m for m in world.log if isinstance(m, Decided)]
    denied = decided[0].proposals[1]
    assert denied.visit == -1  # (0, 0) lies in A1
    assert denied.targets == (at(0, 0, "103"),)
    heard = world.machine.told[0]
    assert [field.status for field in heard.fields] == ["vetoed"]
    path = tmp_path / "journal.jsonl"
    journal = Journal.create(path, wall={})
    journal.append(world.log)
    journal.sync()
    journal.close()
    messages = read(path).messages
    assert list(messages) == world.log
    assert first_difference(messages, plan, decider(plan, Scripted(*script))) is None
    folded = fold(messages, plan, decider(plan, Scripted(*script)))
    assert folded.machine.visit(1).fields == world.machine.visit(1).fields
    assert folded.machine.visit(1).fields[0].target is not None
