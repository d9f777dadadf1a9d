"""The account for people: used, allowed and left of every budget, from what really happened."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from phenoloop.core import Machine
from phenoloop.core.turret import HOUR_S
from phenoloop.model import Limits, MeteredChannel, Stop, VisitEnded
from phenoloop.watch.spending import Spending
from phenoloop.watch.tally import Tally
from tests.core.people import PeopleWorld, two_objectives
from tests.core.worlds import Scripted, decider, make_plan, propose

LIMITS = Limits(
    frames=40,
    light_per_field_s=1.0,
    light_per_object_s=1.0,
    revisits_per_field=3,
    objective_changes_per_hour=5,
    share_per_well=0.25,
)


def lived() -> tuple[Tally, PeopleWorld]:
    """Fields 0 and 1 of A1 overlap; field 0 is imaged twice, once more closely; B1 is a control."""
    plan = two_objectives(make_plan(batch=1, in_flight=1, limits=LIMITS, controls=("B1",)))
    closely = dataclasses.replace(propose("A1", ("0",)), profile="closeup")
    asks = [[propose("A1", ("0",))], [propose("A1", ("1",))], [closely], [propose("B1", 1)], Stop(reason="enough")]
    world = PeopleWorld(Machine(plan, decider(plan, Scripted(*asks))), np.random.default_rng(0), {}).run()
    return Tally(plan).take_all(world.log), world


def test_every_budget_says_what_is_left() -> None:
    tally, world = lived()
    rows = tally.budget()
    assert rows["frames"] == {"used": 4, "limit": 40, "left": 36}
    assert rows["light_s"]["used"] == pytest.approx(0.02)
    assert rows["light_s"]["total"] == pytest.approx(0.04)
    assert rows["light_object_s"]["used"] == pytest.approx(0.02)
    assert rows["light_object_s"]["left"] == pytest.approx(0.98)
    assert rows["frames_per_well"] == {"used": 3, "limit": 10, "left": 7}
    assert rows["revisits_per_field"] == {"used": 1, "limit": 3, "left": 2}
    assert rows["objective_changes"] == {"used": 2, "limit": 5, "left": 3, "total": 2}
    assert rows["controls"] == {"used": 1, "limit": None, "left": None, "share": 0.25}
    ledger = world.machine.ledger
    assert {key: pytest.approx(value) for key, value in ledger.light.of_field.items()} == tally.spending.light.of_field
    plan = world.machine.plan
    frames = [
        ledger.light.frame_of(profile, place)
        for profile in plan.profiles.values()
        for well in plan.wells
        for place in well.fields
    ]
    assert max(map(ledger.light.by_place.most, frames)) == pytest.approx(tally.spending.light_of_objects_s)


def test_an_overlap_adds_up() -> None:
    plan = two_objectives(make_plan(batch=1, in_flight=1))
    asks = [[propose("A1", ("0",))], [propose("A1", ("1",))], [propose("A1", ("2",))], Stop(reason="enough")]
    world = PeopleWorld(Machine(plan, decider(plan, Scripted(*asks))), np.random.default_rng(0), {}).run()
    rows = Tally(plan).take_all(world.log).budget()
    assert rows["light_s"]["used"] == pytest.approx(0.01)
    assert rows["light_object_s"]["used"] == pytest.approx(0.02)


def test_changes_of_objective_are_counted_by_the_hour() -> None:
    tally, _ = lived()
    spending = tally.spending
    spending._changed_s = [0.0, 10.0, HOUR_S - 1, HOUR_S + 11]
    rows = spending.rows(frames=0, at_s=HOUR_S + 20)
    assert (rows["objective_changes"]["used"], rows["objective_changes"]["total"]) == (3, 4)


def test_metering_is_in_the_account() -> None:
    plan = two_objectives(make_plan(limits=LIMITS))
    main = plan.profiles["main"]
    main = dataclasses.replace(main, channels=(dataclasses.replace(main.channels[0], auto=0.6),))
    plan = dataclasses.replace(plan, profiles={**plan.profiles, "main": main})
    world = PeopleWorld(Machine(plan, decider(plan, Scripted(Stop(reason="enough")))), np.random.default_rng(0), {})
    log = world.run().log
    spending = Spending(plan)
    for message in log:
        spending.take(message)
    assert not [message for message in log if isinstance(message, VisitEnded)]
    assert spending.exposures == 8
    assert spending.metered == (MeteredChannel(profile="main", channel="DNA", exposure_ms=5.0, level=0.6, looks=2),)
    assert spending.rows(frames=0, at_s=1.0)["light_s"]["used"] == 0.02
