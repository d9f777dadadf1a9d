"""Fields against the others of their run: far from the controls, amid a fall of counts; replayed and resumed alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from phenoloop.core import first_difference, fold
from phenoloop.core.trust import ENOUGH_CONTROLS, Trust
from phenoloop.model import (
    Decided,
    FieldVisit,
    Input,
    Judged,
    Limits,
    Measured,
    Plan,
    TrustPlan,
    Visit,
)
from phenoloop.numerics.outlying import Axis, farness
from tests.core.worlds import Greedy, World, decider, greedy_machine, make_plan

METRICS = ("focus", "contrast")
GOOD = {"focus": 0.5, "contrast": 30.0}


def plan_with(**trust: Any) -> Plan:
    given: dict[str, Any] = {"metrics": METRICS, **trust}
    controls = given.pop("controls", ("A1", "B1"))
    limits = Limits(frames=28)
    return make_plan(rows=2, columns=4, limits=limits, retries=1, controls=controls, trust=TrustPlan(**given))


def told(number: int, well: str, objects: int, **quality: float | None) -> tuple[Visit, list[Measured]]:
    visit = Visit(
        number=number, decision=1, well=well, profile="main", fields=(FieldVisit(field="0", t=0, image=0),), channels=()
    )
    return visit, [Measured(at_s=0, visit=number, field="0", objects=objects, quality={**GOOD, **quality})]


def controls(trust: Trust, count: int) -> None:
    for number in range(count):
        assert trust.judge(*told(number, "A1", 50, focus=0.5 + 0.002 * (number % 5)), 0.0) == []


# -- the distance -----------------------------------------------------------------------------------------------

AXES = (
    Axis(name="a", bad="low", floor=0.1),
    Axis(name="b", bad="both", floor=0.1),
    Axis(name="c", bad="high", floor=1),
)


@pytest.mark.parametrize(
    ("point", "far"),
    [
        pytest.param((0.0, 0.0, 0.0), False, id="the-middle"),
        pytest.param((-9.0, 0.0, 0.0), True, id="low-where-low-is-bad"),
        pytest.param((9.0, 0.0, 0.0), False, id="high-where-low-is-bad"),
        pytest.param((0.0, 9.0, 0.0), True, id="high-where-both-are-bad"),
        pytest.param((0.0, -9.0, 0.0), True, id="low-where-both-are-bad"),
        pytest.param((0.0, 0.0, -99.0), False, id="low-where-high-is-bad"),
        pytest.param((None, 0.0, 0.0), False, id="unknown-says-nothing"),
        pytest.param((None, None, None), False, id="nothing-known"),
    ],
)
def test_which_deviations_count(point: tuple[float | None, ...], far: bool) -> None:
    rng = np.random.default_rng(11)
    good = [tuple(row) for row in rng.normal(0, 1, (30, 3)).tolist()]
    assert (farness(point, good, AXES).distance > 3) is far


def test_what_varies_together_is_near_together_and_far_apart() -> None:
    axes = tuple(Axis(name=name, bad="both", floor=0.01) for name in "ab")
    common = np.random.default_rng(5).normal(0, 1, (100, 1))
    good = [tuple(row) for row in (common + np.random.default_rng(6).normal(0, 0.1, (100, 2))).tolist()]
    assert farness((2.0, 2.0), good, axes).distance < 2.5
    assert farness((2.0, -2.0), good, axes).distance > 5


def test_a_quarter_of_bad_points_does_not_move_the_centre() -> None:
    rng = np.random.default_rng(8)
    good = [*rng.normal(0, 1, (30, 1)).tolist(), *rng.normal(40, 1, (10, 1)).tolist()]
    assert farness((40.0,), good, (Axis(name="a", bad="both", floor=0.1),)).distance > 5


def test_points_that_agree_by_chance_do_not_make_a_trifle_far() -> None:
    assert farness((0.52,), [(0.5,)] * 20, (Axis(name="a", bad="both", floor=0.02),)).distance < 1


# -- out of distribution ----------------------------------------------------------------------------------------


def test_a_field_unlike_the_controls_is_rejected_with_its_numbers() -> None:
    trust = Trust(plan_with(max_distance=4.0))
    controls(trust, ENOUGH_CONTROLS)
    (verdict,) = trust.judge(*told(99, "A3", 50, focus=0.2), 7.0)
    assert (verdict.visit, verdict.field, verdict.at_s) == (99, "0", 7.0)
    assert "unlike the controls" in verdict.reason
    assert "focus 0.2" in verdict.reason
    assert verdict.numbers["distance"] > verdict.numbers["limit"] == 4.0
    assert trust.judge(*told(100, "A3", 50), 7.0) == []


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        pytest.param(ENOUGH_CONTROLS - 1, {"max_distance": 4.0}, id="too-few-controls-yet"),
        pytest.param(ENOUGH_CONTROLS, {"max_distance": None}, id="switched-off"),
        pytest.param(ENOUGH_CONTROLS, {"max_distance": 4.0, "controls": ()}, id="no-controls"),
        pytest.param(ENOUGH_CONTROLS, {"max_distance": 4.0, "metrics": ("contrast",)}, id="not-this-number"),
    ],
)
def test_what_is_not_compared(count: int, settings: dict[str, Any]) -> None:
    trust = Trust(plan_with(**settings))
    controls(trust, count)
    assert trust.judge(*told(99, "A3", 50, focus=0.2), 0.0) == []


def test_a_rejected_control_is_not_compared_with() -> None:
    trust = Trust(plan_with(max_distance=4.0))
    controls(trust, ENOUGH_CONTROLS)
    for number in range(100, 130):
        assert len(trust.judge(*told(number, "B1", 50, focus=0.2), 0.0)) == 1


def test_another_imaging_profile_has_controls_of_its_own() -> None:
    trust = Trust(plan_with(max_distance=4.0))
    controls(trust, ENOUGH_CONTROLS)
    visit, measured = told(99, "A3", 50, focus=0.2)
    assert trust.judge(replace(visit, profile="closeup"), measured, 0.0) == []


# -- a fall of counts -------------------------------------------------------------------------------------------

FULL = [("A1", 50), ("A2", 52), ("A3", 48), ("A4", 51), ("B1", 50), ("B2", 47), ("B3", 50), ("B4", 53)]


@pytest.mark.parametrize(
    ("then", "rejected"),
    [
        pytest.param([("A2", 3)], [], id="one-toxic-well"),
        pytest.param([("A2", 3), ("A2", 2), ("A2", 4), ("A2", 3)], [], id="one-toxic-well-often"),
        pytest.param([("A2", 3), ("A3", 2), ("B1", 4)], [8, 9, 10], id="three-wells-that-were-full"),
        pytest.param([("C1", 3), ("C2", 2), ("C3", 4), ("C4", 0)], [], id="new-wells-only-may-all-be-toxic"),
        pytest.param([("C1", 3), ("C2", 2), ("A1", 4), ("C4", 0)], [8, 9, 10, 11], id="new-wells-and-a-control"),
        pytest.param([("A2", 3), ("A3", 2), ("A4", 49), ("B1", 4)], [], id="a-full-well-between-them"),
        pytest.param(
            [("A2", 3), ("A3", 2), ("B1", 4), ("B2", 50), ("A2", 3)], [8, 9, 10], id="over-when-counts-return"
        ),
        pytest.param([("A2", 30), ("A3", 31), ("B1", 29)], [], id="less-than-the-limit"),
    ],
)
def test_a_sudden_fall_of_counts(then: list[tuple[str, int]], rejected: list[int]) -> None:
    trust = Trust(plan_with(max_count_drop=0.7))
    verdicts: list[Judged] = []
    for number, (well, objects) in enumerate([*FULL, *then]):
        verdicts += trust.judge(*told(number, well, objects), float(number))
    assert [verdict.visit for verdict in verdicts] == rejected
    assert all("counts fell" in verdict.reason for verdict in verdicts)


def test_sparse_fields_cannot_fall() -> None:
    trust = Trust(plan_with(max_count_drop=0.7))
    for number, (well, _) in enumerate(FULL * 3):
        assert trust.judge(*told(number, well, 4 if number < 16 else 0), 0.0) == []


# -- through the machine ----------------------------------------------------------------------------------------


class Plate(World):
    """A world in which one well is out of focus."""

    def later(self, at: float, happened: Input) -> None:
        if isinstance(happened, Measured):
            well = self.machine.visit(happened.visit).well
            spread = 0.002 * (happened.visit % 5)
            quality = {"focus": 0.2 if well == "A3" else 0.5 + spread, "contrast": 30.0 + happened.visit % 3}
            happened = replace(happened, quality=quality, objects=40)
        super().later(at, happened)


COMPARED: dict[str, Any] = {"max_distance": 4.0, "max_count_drop": 0.7, "controls": ("A1", "A2", "A4", "B1", "B2")}


def played(seed: int) -> Plate:
    world = Plate(greedy_machine(plan_with(**COMPARED)), np.random.default_rng(seed), {})
    world.run()
    return world


def test_a_rejected_field_is_told_replaced_and_never_accepted() -> None:
    world = played(1)
    verdicts = [message for message in world.log if isinstance(message, Judged)]
    assert verdicts
    assert {world.machine.visit(verdict.visit).well for verdict in verdicts} == {"A3"}
    rejected = {(verdict.visit, verdict.field) for verdict in verdicts}
    assert not rejected & {(found.visit, found.field) for found in world.machine.accepted()}
    statuses = {(result.visit, field.field): field for result in world.machine.told for field in result.fields}
    assert all(statuses[key].status == "qc_fail" and statuses[key].reason for key in rejected)
    rules = [proposal.why.rule for decided in world.decisions() for proposal in decided.proposals]
    assert "replace a rejected field" in rules


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_latencies_do_not_change_a_verdict(seed: int) -> None:
    def verdicts(world: Plate) -> list[Judged]:
        return [replace(message, at_s=0.0) for message in world.log if isinstance(message, Judged)]

    assert verdicts(played(seed)) == verdicts(played(1))


def test_a_journal_with_verdicts_replays_and_folds_wherever_it_is_cut() -> None:
    log = played(5).log
    plan = plan_with(**COMPARED)
    wells = [well.name for well in plan.wells]
    fresh = lambda: decider(plan, Greedy(wells), Greedy(wells))  # noqa: E731
    assert first_difference(log, plan, fresh()) is None
    at = [index for index, message in enumerate(log) if isinstance(message, Judged)]
    whole = fold(log, plan, fresh()).machine.accepted()
    for cut in {*at, *(index + 1 for index in at), len(log) // 2}:
        folded = fold(log[:cut], plan, fresh())
        owed = list(folded.owed)
        assert log[cut : cut + len(owed)] == owed
    assert whole == played(5).machine.accepted()


def test_a_forged_verdict_is_found() -> None:
    log = list(played(6).log)
    plan = plan_with(**COMPARED)
    index = next(index for index, message in enumerate(log) if isinstance(message, Judged))
    wells = [well.name for well in plan.wells]
    del log[index]
    found = first_difference(log, plan, decider(plan, Greedy(wells), Greedy(wells)))
    assert found is not None
    assert "Judged" in found.what
    assert any(isinstance(message, Decided) for message in log)
