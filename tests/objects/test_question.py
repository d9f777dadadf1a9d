"""The question `objects`: what counts as confirmed, what is listed, and how far the share can be trusted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import Candidate, FieldReadout, Setup, Target
from phenoloop.numerics.calibration import calibrate
from phenoloop.numerics.proportions import anytime_interval, clopper_pearson, log_evidence_less
from phenoloop.questions.objects import ObjectsQuestion
from phenoloop.questions.values import by_well
from phenoloop.testing import assert_question, small_plate


def question(setup: Setup | None = None, **params: object) -> ObjectsQuestion:
    values = {
        "found_by": {"where": "z(DNA.mean) > 4"},
        "confirmed_by": {"profile": "closeup", "where": "foci.count >= 5"},
        "target": 3,
        **params,
    }
    return ObjectsQuestion(ObjectsQuestion.Params.model_validate(values), setup or small_plate())


def look(well: str, name: str, x: float, *seen: float, visit: int = 5, imaging: str = "closeup") -> FieldReadout:
    """A close look at a target at (x, 0); `seen` are the places (x) of objects that pass."""
    candidates = tuple(
        Candidate(label=i + 1, x_px=0, y_px=0, values={"foci.count": 7.0}, x_um=at, y_um=0.0)
        for i, at in enumerate(seen)
    )
    target = Target(name=name, x_um=x, y_um=0.0)
    return FieldReadout(
        well=well, field=name, visit=visit, readouts={}, imaging=imaging, candidates=candidates, target=target, image=2
    )


def test_it_keeps_the_contract_of_questions() -> None:
    assert_question(question)


@pytest.mark.parametrize(
    ("fields", "confirmed", "looked"),
    [
        pytest.param([], 0, 0, id="nothing"),
        pytest.param([look("A1", "0-1", 100.0, 103.0)], 1, 1, id="an object in its place"),
        pytest.param([look("A1", "0-1", 100.0)], 0, 1, id="nothing passes"),
        pytest.param([look("A1", "0-1", 100.0, 111.0)], 0, 1, id="what passes lies elsewhere"),
        pytest.param([look("A1", "0-1", 100.0, 103.0, imaging="main")], 0, 0, id="of another profile"),
        pytest.param(
            [look("A1", "0-1", 100.0, 100.0), look("A1", "0-2", 108.0, 100.0)], 1, 2, id="two targets, one object"
        ),
        pytest.param(
            [look("A1", "0-1", 100.0, 100.0), look("A2", "0-1", 100.0, 100.0)], 2, 2, id="the same place of two wells"
        ),
        pytest.param(
            [look("A1", "0-1", 100.0, 100.0), look("A1", "0-1", 100.0, visit=9)], 0, 1, id="the last look counts"
        ),
    ],
)
def test_what_counts_as_confirmed(fields: list[FieldReadout], confirmed: int, looked: int) -> None:
    summary = question().answer(fields).summary
    assert (summary["confirmed"], summary["looked_at"]) == (confirmed, looked)


def test_each_confirmed_object_is_listed_with_its_place_and_image() -> None:
    summary = question().answer([look("B2", "4-17", 100.0, 103.0)]).summary
    assert summary["objects"] == [
        {
            "object": "4-17",
            "well": "B2",
            "x_um": 103.0,
            "y_um": 0.0,
            "z_um": None,
            "visit": 5,
            "profile": "closeup",
            "image": 2,
            "t": 0,
            "label": 1,
            "values": {"foci.count": 7.0},
        }
    ]


def test_wells_are_ranked_by_what_was_confirmed() -> None:
    fields = [look("B2", f"0-{i}", 100.0 * i, 100.0 * i) for i in range(3)] + [look("A1", "0-1", 0.0, 0.0)]
    wells = question().answer(fields).wells
    assert (wells["B2"].rank, wells["A1"].rank, wells["A2"].rank) == (1, 2, None)
    band = wells["B2"].interval
    assert band is not None
    assert (band.mean, band.n, band.valid_when_peeking) == (1.0, 3, True)


def test_one_profile_cannot_confirm_itself() -> None:
    with pytest.raises(ProtocolError, match="same profile"):
        question(confirmed_by={"profile": "main", "where": "area > 1"})


# -- the statistics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [  # scipy.stats.binomtest(k, n).proportion_ci(0.95, "exact"), version 1.16
        pytest.param(0, 10, 0.0, 0.308497, id="none of ten"),
        pytest.param(3, 10, 0.066740, 0.652453, id="three of ten"),
        pytest.param(10, 10, 0.691503, 1.0, id="all of ten"),
        pytest.param(50, 110, 0.359334, 0.552266, id="many"),
    ],
)
def test_clopper_pearson(k: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(k, n, 0.95) == pytest.approx((low, high), abs=1e-6)


def test_without_a_try_nothing_is_known() -> None:
    assert anytime_interval(0, 0, 0.95) == (0.0, 1.0)
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)
    assert log_evidence_less(0, 0, 0.3) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("chance", [0.05, 0.2, 0.5, 0.9])
def test_the_evidence_is_no_larger_than_one_on_average(chance: float) -> None:
    """Exactly: the mean of the e-value over all outcomes of n tries at the chance it is held against."""
    from scipy.stats import binom

    for n in (1, 5, 40):
        k = np.arange(n + 1)
        e = np.exp([log_evidence_less(int(i), n, chance) for i in k])
        assert float((binom.pmf(k, n, chance) * e).sum()) <= 1 + 1e-9
        above = min(0.99, chance + 0.05)
        assert float((binom.pmf(k, n, above) * e).sum()) <= 1 + 1e-9


@pytest.mark.parametrize("chance", [0.1, 0.4, 0.8])
def test_the_interval_holds_although_one_looks_after_every_try(chance: float) -> None:
    """400 plates of 120 tries: the chance leaves the interval at any time on at most 5 % of them (99 % binomial)."""
    left = 0
    for seed in range(400):
        hits = np.cumsum(np.random.default_rng([7, seed]).random(120) < chance)
        looks = (anytime_interval(int(hits[n - 1]), n, 0.95) for n in (1, 2, 3, 5, 8, 13, 20, 35, 60, 90, 120))
        left += any(not low <= chance <= high for low, high in looks)
    assert left <= 32


def test_the_interval_narrows() -> None:
    widths = [high - low for low, high in (anytime_interval(n // 3, n, 0.95) for n in (9, 30, 90, 300, 900))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.13


def test_calibration_finds_the_curve() -> None:
    """2000 tries of a known logistic curve, scores on any scale."""
    chance = np.random.default_rng(3)
    scores = chance.normal(40.0, 5.0, 2000)
    truth = 1 / (1 + np.exp(-(0.8 * (scores - 40) / 5 - 0.5)))
    found = calibrate([float(s) for s in scores], [bool(v) for v in chance.random(2000) < truth])
    at = np.array([32.0, 38.0, 40.0, 45.0])
    assert found.at(at) == pytest.approx(1 / (1 + np.exp(-(0.8 * (at - 40) / 5 - 0.5))), abs=0.04)


@pytest.mark.parametrize(
    ("scores", "successes", "expected"),
    [
        pytest.param([], [], 0.5, id="nothing is known"),
        pytest.param([-np.inf] * 8, [True] * 2 + [False] * 6, 0.28, id="no scores: near the share"),
        pytest.param([1.0, 2.0, 3.0, 4.0], [True, True, False, False], 0.5, id="a slope the wrong way is none"),
    ],
)
def test_calibration_at_the_edges(scores: list[float], successes: list[bool], expected: float) -> None:
    low, middle, high = calibrate(scores, successes).at(np.array([2.0, 3.0, 1e9])).tolist()
    assert low == pytest.approx(expected, abs=0.02)
    assert low <= middle <= high


def test_a_calibration_does_not_depend_on_the_order() -> None:
    chance = np.random.default_rng(4)
    pairs = [(float(s), bool(v)) for s, v in zip(chance.normal(size=60), chance.random(60) < 0.3, strict=True)]
    one = calibrate(*zip(*pairs, strict=True))
    other = calibrate(*zip(*pairs[::-1], strict=True))
    assert np.array_equal(one.at(np.array([-1.0, 0.0, 2.0])), other.at(np.array([-1.0, 0.0, 2.0])))


def test_an_answer_does_not_change_with_a_readout_of_another_profile() -> None:
    """A close look is no field of the well: what other questions average must not hold it."""
    close = dataclasses.replace(look("A1", "0-1", 1.0, 1.0), readouts={"signal": 1e6})
    values, unknown = by_well(("A1",), [close], "signal")
    assert (values, unknown) == ([[]], 0)
