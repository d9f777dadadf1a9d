"""``question: mean``: intervals whose unit is the well, and which say what they assume."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from phenoloop.errors import ProtocolError
from phenoloop.model import Answer
from phenoloop.questions.mean import MeanQuestion
from phenoloop.testing import READOUT as CONTRACT_READOUT
from phenoloop.testing import assert_question
from tests.decisions.plates import CONTROLS, READOUT, TREATED, WELLS, draw, readouts, setup


def ask(values: np.ndarray[Any, Any], n: list[int] | None = None, **params: object) -> Answer:
    return MeanQuestion(MeanQuestion.Params.model_validate({"readout": READOUT} | params), setup()).answer(
        readouts(values, n)
    )


def group(answer: Answer, name: str) -> dict[str, Any]:
    groups: Any = answer.summary["groups"]
    found: dict[str, Any] = groups[name]
    return found


@pytest.mark.parametrize("anytime", [False, True])
def test_contract(anytime: bool) -> None:
    params = MeanQuestion.Params(readout=CONTRACT_READOUT, by="treatment", anytime=anytime)
    assert_question(lambda given: MeanQuestion(params, given))


def test_group_interval_is_the_t_interval_of_well_means() -> None:
    values = draw(1, {})
    said = group(ask(values, by="treatment", confidence=0.9), "vehicle")
    means = values[[WELLS.index(well) for well in CONTROLS]].mean(axis=1)
    low, high = stats.t.interval(0.9, len(means) - 1, means.mean(), stats.sem(means))
    assert (said["low"], said["high"]) == pytest.approx((low, high))
    assert (said["wells"], said["fields"], said["unit"]) == (8, 48, "well")


def test_more_fields_of_a_well_do_not_outweigh_other_wells() -> None:
    values = draw(1, {TREATED[0]: 10.0})
    few = [6 if well == TREATED[0] else 2 for well in WELLS]
    expected = np.mean([values[i, : few[i]].mean() for i, well in enumerate(WELLS) if well in TREATED])
    assert group(ask(values, few, by="treatment"), "drug")["mean"] == pytest.approx(expected)


def test_one_well_makes_no_interval_for_its_group() -> None:
    n = [6 if well == CONTROLS[0] else 0 for well in WELLS]
    said = group(ask(draw(1, {}), n, by="treatment"), "vehicle")
    assert said["mean"] is not None
    assert (said["low"], said["high"], said["wells"]) == (None, None, 1)


def test_coverage_of_groups_and_wells_for_a_number_fixed_beforehand() -> None:
    """Well SD as large as the field SD: a naive interval over fields would cover half the time."""
    group_hits, naive_hits, well_hits = [], [], []
    for seed in range(250):
        rng = np.random.default_rng([2, seed])
        true = rng.normal(size=(len(WELLS), 1))
        values = true + rng.normal(size=(len(WELLS), 6))
        answer = ask(values, by="treatment")
        said = group(answer, "drug")
        group_hits.append(said["low"] <= 0 <= said["high"])
        drug = values[[WELLS.index(well) for well in TREATED]].ravel()
        naive_hits.append(abs(drug.mean()) <= 1.96 * drug.std(ddof=1) / np.sqrt(drug.size))
        interval = answer.wells["A1"].interval
        assert interval is not None
        low, high = (float(x) for x in (interval.low, interval.high) if x is not None)
        well_hits.append(low <= true[0, 0] <= high)
    assert np.mean(group_hits) == pytest.approx(0.95, abs=0.04)
    assert np.mean(well_hits) == pytest.approx(0.95, abs=0.04)
    assert np.mean(naive_hits) < 0.8


@pytest.mark.parametrize("anytime", [False, True])
def test_says_whether_it_survives_peeking(anytime: bool) -> None:
    answer = ask(draw(1, {}), by="treatment", anytime=anytime)
    interval = answer.wells["A1"].interval
    assert interval is not None
    assert interval.valid_when_peeking is anytime
    assert group(answer, "drug")["valid_when_peeking"] is anytime
    assert any("fixed beforehand" in note for note in answer.notes) is not anytime


def test_anytime_is_wider() -> None:
    values = draw(1, {})
    fixed, anytime = (group(ask(values, by="treatment", anytime=a), "drug") for a in (False, True))
    assert anytime["high"] - anytime["low"] > 1.2 * (fixed["high"] - fixed["low"])


def test_makes_no_calls_and_ranks_by_mean() -> None:
    answer = ask(draw(1, {"B2": 50.0, "C3": 40.0}))
    assert {said.call for said in answer.wells.values()} == {None}
    assert [answer.wells[well].rank for well in ("B2", "C3")] == [1, 2]
    json.dumps(answer.summary, allow_nan=False)


def test_unknown_column_is_named_with_the_known_ones() -> None:
    with pytest.raises(ProtocolError, match=r"question\.by.*no column 'tratment'.*treatment"):
        MeanQuestion(MeanQuestion.Params(readout=READOUT, by="tratment"), setup())


def test_forecast_narrows_with_fields() -> None:
    params = MeanQuestion.Params(readout=READOUT)
    lines = [MeanQuestion.forecast(params, setup(fields=(n,) * len(WELLS)))[0] for n in (2, 8)]
    few, many = (float(line.split("± ")[1].split()[0]) for line in lines)
    assert few > many > 0
