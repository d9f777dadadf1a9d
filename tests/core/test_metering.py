"""The machine before its first decision: exposures are metered once, frozen, and their light is never forgotten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phenoloop.core import Machine, Phase, fold
from phenoloop.core.metering import WORST, wells_to_meter
from phenoloop.model import (
    Acquire,
    ExposuresSet,
    Finish,
    Limits,
    Meter,
    MeteredChannel,
    MeteringFailed,
    Paused,
    Plan,
    Resumed,
    RunResumed,
    RunStarted,
    StopRequested,
)
from tests.core.people import PeopleWorld
from tests.core.worlds import Greedy, decider, make_plan


def auto_plan(**changes: object) -> Plan:
    plan = make_plan(**changes)  # type: ignore[arg-type]
    main = plan.profiles["main"]
    channel = replace(main.channels[0], exposure_ms=40.0, auto=0.6, power=0.5)
    return replace(plan, profiles={"main": replace(main, channels=(channel,))})


def machine_of(plan: Plan) -> Machine:
    wells = [well.name for well in plan.wells]
    return Machine(plan, decider(plan, Greedy(wells), Greedy(wells)))


SET = ExposuresSet(
    at_s=2.0,
    channels=(MeteredChannel(profile="main", channel="DNA", exposure_ms=8.0, level=0.6, looks=3),),
    light_s={"A1": {"2": 0.03}},
    exposures=3,
)


def test_nothing_is_chosen_before_the_exposures_are_set() -> None:
    machine = machine_of(auto_plan(controls=("A1", "B3")))
    (command,) = machine.handle(RunStarted(at_s=0.0))
    assert command == Meter(at_s=0.0, wells=("A1", "B3"))
    assert machine.phase is Phase.METERING
    out = machine.handle(SET)
    assert machine.phase is Phase.RUNNING
    assert machine.plan.profiles["main"].channels[0].exposure_ms == 8.0
    light = machine.ledger.light.of_field
    assert light["A1", "2"] >= 0.03
    first = next(message.visit for message in out if isinstance(message, Acquire))
    assert light[first.well, first.fields[0].field] in (
        pytest.approx(0.004),
        pytest.approx(0.034),
    )


@pytest.mark.parametrize(
    ("controls", "expected"),
    [
        pytest.param((), ("A1", "A3", "B1", "B3"), id="spread over all wells"),
        pytest.param(("A2",), ("A2",), id="the one control"),
        pytest.param(("A1", "A2", "A3", "B1", "B2"), ("A1", "A2", "B1", "B2"), id="spread over the controls"),
    ],
)
def test_where_it_is_metered(controls: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert wells_to_meter(auto_plan(controls=controls)) == expected


def test_a_failure_ends_the_run_with_its_reason() -> None:
    machine = machine_of(auto_plan())
    machine.handle(RunStarted(at_s=0.0))
    (finish,) = machine.handle(MeteringFailed(at_s=1.0, reason="it is dark"))
    assert isinstance(finish, Finish)
    assert (finish.exit, finish.reason) == ("failed", "it is dark")


def test_a_pause_and_a_stop_wait_for_the_metering() -> None:
    machine = machine_of(auto_plan())
    machine.handle(RunStarted(at_s=0.0))
    machine.handle(Paused(at_s=0.5))
    assert machine.handle(SET) == []
    assert any(isinstance(message, Acquire) for message in machine.handle(Resumed(at_s=3.0)))
    machine = machine_of(auto_plan())
    machine.handle(RunStarted(at_s=0.0))
    assert machine.handle(StopRequested(at_s=0.5, reason="q")) == []
    assert [type(message) for message in machine.handle(SET)] == [Finish]


def test_the_light_of_a_metering_that_was_lost_counts_at_its_most() -> None:
    plan = auto_plan(limits=Limits(light_per_field_s=1.0), controls=("A1",))
    machine = machine_of(plan)
    machine.handle(RunStarted(at_s=0.0))
    (again,) = machine.handle(RunResumed(at_s=1.0))
    assert isinstance(again, Meter)
    (key,) = machine.ledger.light.of_field
    assert machine.ledger.light.of_field[key] == pytest.approx(WORST * 0.040 * 0.5)


def test_a_folded_journal_has_the_metered_plan() -> None:
    plan = auto_plan(limits=Limits(frames=10))
    log = PeopleWorld(machine_of(plan), np.random.default_rng(0), {}).run().log
    wells = [well.name for well in plan.wells]
    folded = fold(log, plan, decider(plan, Greedy(wells), Greedy(wells)))
    assert folded.machine.plan.profiles["main"].channels[0].exposure_ms == 5.0
    assert not folded.machine.plan.to_meter
