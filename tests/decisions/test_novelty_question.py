"""The question `novelty`: what is different is called and grouped, and what is not is left alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from phenoloop.model import Answer, FieldReadout, Setup
from phenoloop.numerics.oddness import log_evidence, p_values, rejected, statistic
from phenoloop.numerics.phenotype_groups import flat_map
from phenoloop.questions.novelty import NoveltyQuestion
from phenoloop.testing import assert_question
from tests.decisions.profiled import fields, moved, setup
from tests.decisions.test_novelty_policy import DIRT, KIND_OF, KINDS, MOVES

PARAMS = NoveltyQuestion.Params(controls="treatment == 'vehicle'")


def ask(
    seed: int, many: int = 2, controls: int = 12, moves: dict[int, dict[str, float]] | None = None
) -> tuple[Setup, list[FieldReadout], Answer]:
    plate = setup(controls=controls)
    level = moved(MOVES if moves is None else moves, plate, seed)
    data = fields(plate, level, seed, [3 if well in plate.controls else many for well in plate.wells])
    return plate, data, NoveltyQuestion(PARAMS, plate).answer(data)


@pytest.mark.parametrize("seed", [801, 802, 803])
def test_phenotypes_are_called_grouped_and_described(seed: int) -> None:
    plate, _, answer = ask(seed)
    hits = {plate.wells.index(well) for well, said in answer.wells.items() if said.call == "hit"}
    assert hits == {well for well in MOVES if plate.wells[well] not in plate.controls}
    groups = answer.summary["groups"]
    kinds = [{KIND_OF[plate.wells.index(well)] for well in group["wells"]} for group in groups]
    assert sorted(map(sorted, kinds)) == sorted([kind] for kind in KINDS)
    for group, (kind,) in zip(groups, kinds, strict=True):
        assert group["apart"][0]["feature"] in KINDS[kind]
        assert np.sign(group["apart"][0]["sd"]) == np.sign(KINDS[kind][group["apart"][0]["feature"]])
        assert set(group["representatives"]) <= set(group["wells"])
    far = {well["well"]: well["distance"] for well in answer.summary["map"]["wells"]}
    assert [well for well, _ in sorted(far.items(), key=lambda item: -item[1])][:3] == [
        well for well, said in sorted(answer.wells.items(), key=lambda item: item[1].rank or 99)
    ][:3]
    assert answer.summary["valid_when_peeking"] is True
    assert answer.summary["unit"] == "well"
    json.dumps(answer.summary, allow_nan=False)


def test_without_effect_nothing_is_called_more_often_than_said() -> None:
    called = [any(well.call == "hit" for well in ask(seed, moves={})[2].wells.values()) for seed in range(810, 850)]
    assert sum(called) <= 5  # the 95 % point of 40 draws at 5 %


def test_a_well_of_one_field_is_not_called_and_its_likes_are_named() -> None:
    seed = 851
    plate = setup(controls=12)
    many = [3 if well in plate.controls else 1 for well in plate.wells]
    many[61] = 2
    answer = NoveltyQuestion(PARAMS, plate).answer(fields(plate, moved(MOVES, plate, seed), seed, many))
    assert [well for well, said in answer.wells.items() if said.call == "hit"] == [plate.wells[61]]
    (group,) = answer.summary["groups"]
    assert set(group["alike"]) == {plate.wells[i] for i in (23, 62, 63)}


def test_one_dirty_field_calls_nothing() -> None:
    seed = 861
    plate, data, _ = ask(seed, moves={})
    spoilt = [replace(f, profile=DIRT) if f.field == "0" and f.well in ("B2", "C7") else f for f in data]
    answer = NoveltyQuestion(PARAMS, plate).answer(spoilt)
    assert all(said.call != "hit" for said in answer.wells.values())


def test_later_fields_and_other_profiles_change_no_call() -> None:
    seed = 871
    plate, data, before = ask(seed, moves={})
    late = [
        FieldReadout(well="B2", field=str(f), visit=900 + f, readouts={}, profile=DIRT, imaging=imaging)
        for f, imaging in ((2, "main"), (3, "main"), (0, "closeup"))
    ]
    after = NoveltyQuestion(PARAMS, plate).answer([*data, *late])
    assert after.wells["B2"].call == before.wells["B2"].call == "undecided"
    assert after.summary["p"]["B2"] == pytest.approx(before.summary["p"]["B2"], rel=0.5)


@pytest.mark.parametrize(
    ("controls", "said"),
    [pytest.param(4, "too few to call", id="four"), pytest.param(1, "fewer than two control wells", id="one")],
)
def test_few_controls_call_nothing(controls: int, said: str) -> None:
    _, _, answer = ask(881, controls=controls)
    assert all(well.call is None for well in answer.wells.values())
    assert any(said in note for note in answer.notes)


def test_contract() -> None:
    assert_question(lambda plate: NoveltyQuestion(PARAMS, plate))


def test_the_forecast_counts_controls() -> None:
    (few,) = NoveltyQuestion.forecast(PARAMS, setup(controls=4))
    assert "too few" in few
    (enough,) = NoveltyQuestion.forecast(PARAMS, setup(controls=16))
    assert "times as far" in enough


# -- p-values and evidence ---------------------------------------------------------------------------------------------


def test_p_values_are_uniform_and_e_values_mean_one() -> None:
    rng = np.random.default_rng(891)
    controls = rng.normal(3, 0.4, (4000, 8))
    t = np.array([statistic(rng.normal(3, 0.4, 1), row)[0] for row in controls])
    p, e = p_values(t, 8), np.exp(log_evidence(t, 8))
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert e.mean() < 1 + 4 * e.std() / np.sqrt(len(e))
    np.testing.assert_allclose(p, stats.t.sf(t, 7), rtol=1e-6)


def test_an_unknown_value_says_nothing() -> None:
    t = statistic(np.array([np.nan, 5.0]), np.array([1.0, 2.0, 3.0]))
    assert p_values(t, 3)[0] == 1.0
    assert log_evidence(t, 3)[0] == 0.0


def test_rejections_are_those_of_benjamini_and_yekutieli() -> None:
    p = np.random.default_rng(892).beta(0.3, 1, 60)
    assert (rejected(p, 0.1) == (stats.false_discovery_control(p, method="by") <= 0.1)).all()
    assert not rejected(np.ones(5), 0.05).any()
    assert rejected(np.zeros(0), 0.05).size == 0


def test_the_map_is_the_same_whatever_the_order_of_the_wells() -> None:
    points = np.random.default_rng(893).normal(size=(12, 30)) * np.arange(12, 0, -1)[:, None]
    order = np.random.default_rng(894).permutation(30)
    places, shares = flat_map(points)
    again, _ = flat_map(points[:, order])
    np.testing.assert_allclose(again, places[order], atol=1e-3)
    assert shares[0] > shares[1] > 0
