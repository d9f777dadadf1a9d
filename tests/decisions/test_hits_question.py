"""``question: hits``: who is called, who never is, and what a reader is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from phenoloop.model import Answer, FieldReadout
from phenoloop.questions.hits import HitsQuestion
from phenoloop.testing import READOUT as CONTRACT_READOUT
from phenoloop.testing import assert_question
from tests.decisions.plates import CONTROLS, READOUT, TREATED, WELLS, draw, readouts, setup

STRONG = dict.fromkeys(TREATED[:5], 8.0)


def ask(fields: list[FieldReadout], controls: tuple[str, ...] = CONTROLS, **params: object) -> Answer:
    values = {"readout": READOUT, "controls": "treatment == 'vehicle'"} | params
    return HitsQuestion(HitsQuestion.Params.model_validate(values), setup(controls=controls)).answer(fields)


def hits(answer: Answer) -> set[str]:
    return {well for well, said in answer.wells.items() if said.call == "hit"}


def test_contract() -> None:
    params = HitsQuestion.Params(readout=CONTRACT_READOUT, controls="x", smallest=0.5)
    assert_question(lambda given: HitsQuestion(params, given))


@pytest.mark.parametrize(
    ("sign", "change", "found"),
    [
        pytest.param(1, "up", True, id="up asked, up found"),
        pytest.param(-1, "up", False, id="up asked, down there"),
        pytest.param(-1, "down", True, id="down asked, down found"),
        pytest.param(1, "down", False, id="down asked, up there"),
        pytest.param(-1, "both", True, id="both asked, down found"),
        pytest.param(1, "both", True, id="both asked, up found"),
    ],
)
def test_direction(sign: int, change: str, found: bool) -> None:
    answer = ask(readouts(sign * draw(1, STRONG)), change=change)
    assert hits(answer) == (set(STRONG) if found else set())
    top = {well for well, said in answer.wells.items() if said.rank is not None and said.rank <= 5}
    assert (top == set(STRONG)) == found


@pytest.mark.parametrize("seed", range(5))
def test_controls_are_never_called_and_have_no_evidence(seed: int) -> None:
    # A control that was contaminated responds more than anything else, and is a control all the same.
    answer = ask(readouts(draw(seed, STRONG | {CONTROLS[0]: 20.0})))
    assert all(answer.wells[well].call is None and answer.wells[well].evidence is None for well in CONTROLS)
    assert answer.wells[CONTROLS[0]].rank == 1


@pytest.mark.parametrize(
    ("count", "words"),
    [
        pytest.param(0, "no control wells are too few", id="none"),
        pytest.param(1, "one control well is too few", id="one"),
        pytest.param(3, "three control wells are too few", id="three"),
        pytest.param(5, "five control wells are too few", id="five"),
    ],
)
def test_too_few_controls_rank_only(count: int, words: str) -> None:
    answer = ask(readouts(draw(1, STRONG)), controls=CONTROLS[:count])
    assert all(said.call is None and said.evidence is None for said in answer.wells.values())
    assert {well for well, said in answer.wells.items() if (said.rank or 99) <= 5} == set(STRONG)
    assert any(words in note and "ranked only" in note for note in answer.notes)


def test_controls_count_only_with_data() -> None:
    fields = [field for field in readouts(draw(1, STRONG)) if field.well not in CONTROLS[5:]]
    answer = ask(fields)
    assert hits(answer) == set()
    assert any("five control wells" in note for note in answer.notes)


def test_controls_without_any_variation_call_nothing() -> None:
    values = draw(1, STRONG)
    values[[WELLS.index(well) for well in CONTROLS]] = 0.0
    answer = ask(readouts(values))
    assert all(said.call is None for said in answer.wells.values())
    assert any("equal" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("smallest", "expected"),
    [
        pytest.param(0.0, set(STRONG), id="any effect matters"),
        pytest.param(4.0, set(STRONG), id="smaller than the effect"),
        pytest.param(12.0, set(), id="larger than the effect"),
    ],
)
def test_smallest_effect_that_matters(smallest: float, expected: set[str]) -> None:
    assert hits(ask(readouts(draw(2, STRONG)), smallest=smallest)) == expected


@pytest.mark.parametrize("change", ["up", "down", "both"])
def test_no_hit_needs_a_smallest_effect(change: str) -> None:
    sign = -1 if change == "down" else 1
    fields = readouts(sign * draw(3, STRONG))
    without = {said.call for said in ask(fields, change=change).wells.values()}
    assert "no_hit" not in without
    answer = ask(fields, change=change, smallest=7.0)
    inert = [well for well in TREATED if well not in STRONG]
    assert {answer.wells[well].call for well in inert} == {"no_hit"}
    assert "no_hit" not in {answer.wells[well].call for well in STRONG}


def test_one_image_is_not_enough_where_there_are_more() -> None:
    n = [1 if well == TREATED[0] else 6 for well in WELLS]
    assert hits(ask(readouts(draw(1, STRONG), n))) == set(STRONG) - {TREATED[0]}
    values = {"readout": READOUT, "controls": "x"}
    single = HitsQuestion(HitsQuestion.Params.model_validate(values), setup(fields=(1,) * len(WELLS)))
    assert hits(single.answer(readouts(draw(1, STRONG), [1] * len(WELLS))))


def test_wells_without_data_are_there_and_undecided() -> None:
    answer = ask(readouts(draw(1, STRONG), n=[6] * 20 + [0] * 4))
    for well in WELLS[20:]:
        said = answer.wells[well]
        assert said.call == (None if well in CONTROLS else "undecided")
        assert (said.evidence, said.rank, said.interval) == (None, None, None)
    assert answer.summary["family"] == len(TREATED)


def test_equal_responses_rank_in_plate_order() -> None:
    fields = [FieldReadout(well=well, field="0", visit=1, readouts={READOUT: 1.0}) for well in reversed(WELLS)]
    assert [ask(fields).wells[well].rank for well in WELLS] == list(range(1, len(WELLS) + 1))


def test_a_place_imaged_again_is_no_replicate() -> None:
    fields = readouts(draw(1, STRONG))
    again = [*fields, *(f for f in fields if f.well == TREATED[0])]
    assert ask(again) == ask(fields)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_unknown_values_are_left_out_and_said(value: float | None) -> None:
    fields = readouts(draw(1, STRONG))
    odd = FieldReadout(well=TREATED[0], field="odd", visit=1, readouts={READOUT: value})
    answer = ask([*fields, odd])
    assert answer.wells == ask(fields).wells
    assert any("one accepted field has" in note for note in answer.notes)


def test_intervals_are_honest_about_pseudo_replicates() -> None:
    interval = ask(readouts(draw(1, STRONG))).wells[TREATED[0]].interval
    assert interval is not None
    low, mean, high = (float(x) for x in (interval.low, interval.mean, interval.high) if x is not None)
    assert low < mean < high
    assert (interval.n, interval.unit, interval.valid_when_peeking) == (6, "field", True)
    assert "pseudo-replicates" in interval.kind


def test_answer_is_json_ready() -> None:
    json.dumps(ask(readouts(draw(1, STRONG))).summary, allow_nan=False)


def test_empty_plates_stay_empty_when_looked_at_after_every_round() -> None:
    """Forty plates without effect, six looks each: a false hit on at most one in twenty."""
    wrong = 0
    for seed in range(40):
        values = draw(100 + seed, {})
        wrong += any(hits(ask(readouts(values, n=[n] * len(WELLS)))) for n in range(1, 7))
    assert wrong <= 2


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"false_hits": 0.0}, id="no error allowed"),
        pytest.param({"false_hits": 1.0}, id="everything allowed"),
        pytest.param({"smallest": -1}, id="negative effect"),
        pytest.param({"change": "sideways"}, id="unknown direction"),
        pytest.param({"contrls": "x"}, id="misspelt key"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HitsQuestion.Params.model_validate({"readout": READOUT, "controls": "x"} | params)


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        pytest.param(CONTROLS, "a single hit among 16 wells", id="enough controls"),
        pytest.param(CONTROLS[:3], "three control wells are too few", id="too few"),
        pytest.param(WELLS, "nothing to call", id="only controls"),
    ],
)
def test_forecast(controls: tuple[str, ...], words: str) -> None:
    params = HitsQuestion.Params(readout=READOUT, controls="x")
    assert any(words in line for line in HitsQuestion.forecast(params, setup(controls=controls)))


def test_forecast_is_about_right() -> None:
    """An effect 40 % above the forecast is found in most plates, one 60 % below in few."""
    params = HitsQuestion.Params(readout=READOUT, controls="x")
    line = HitsQuestion.forecast(params, setup())[0]
    smallest = float(line.split("about ")[1].split()[0])
    rates = []
    for factor in (0.4, 1.4):
        found = [hits(ask(readouts(draw(seed, {TREATED[0]: factor * smallest})))) for seed in range(30)]
        rates.append(np.mean([TREATED[0] in wells for wells in found]))
    assert rates[0] < 0.25
    assert rates[1] > 0.7
