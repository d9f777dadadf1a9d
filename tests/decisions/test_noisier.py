"""How noisy other wells are, from first looks; and that one odd field, or noisier wells, make no hits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.model import FieldReadout
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.noisier import LEAST_BELOW, noise_ratio
from phenoloop.numerics.well_sums import WellSums, summarise
from phenoloop.questions.hits import HitsQuestion
from phenoloop.questions.hits_checks import first_looks
from tests.decisions.plates import READOUT, TREATED, WELLS, draw, readouts, setup

Array = NDArray[np.float64]
FAMILY = 300


def controls(rng: np.random.Generator, wells: int = 32) -> Null:
    return Null(summarise((rng.normal(0, 0.3, (wells, 1)) + rng.normal(size=(wells, 16))).tolist()))


def looks(rng: np.random.Generator, noise: float, effects: Array, fields: int = 1) -> WellSums:
    level = effects + rng.normal(0, 0.3, FAMILY)
    return summarise((level[:, None] + noise * rng.normal(size=(FAMILY, fields))).tolist())


def some(share: float, effect: float) -> Array:
    """That share of the wells with one effect, the others without."""
    effects = np.zeros(FAMILY)
    effects[: round(share * FAMILY)] = effect
    return effects


@pytest.mark.parametrize(
    ("noise", "effects", "change", "low", "high"),
    [
        pytest.param(1.0, some(0, 0), "up", 1.0, 1.05, id="as noisy as controls"),
        pytest.param(0.6, some(0, 0), "up", 1.0, 1.0, id="less noisy: never below the controls"),
        pytest.param(1.4, some(0, 0), "up", 1.2, 1.5, id="40 % noisier"),
        pytest.param(2.5, some(0, 0), "down", 2.1, 2.7, id="two and a half times"),
        pytest.param(1.0, some(0.5, 4), "up", 1.0, 1.05, id="half of the wells respond as asked"),
        pytest.param(1.0, some(0.08, -6), "up", 1.0, 1.25, id="some respond the other way, strongly"),
        pytest.param(1.0, some(0.3, 5), "both", 1.0, 1.05, id="both directions asked, many up: the quiet side counts"),
        pytest.param(1.4, some(0.05, 5), "both", 1.2, 1.5, id="both directions asked, noisier"),
    ],
)
def test_noise_is_found(noise: float, effects: Array, change: str, low: float, high: float) -> None:
    rng = np.random.default_rng(71)
    found = [noise_ratio(controls(rng), looks(rng, noise, effects), change) for _ in range(20)]
    assert low <= np.median(found) <= high


def test_several_fields_of_a_first_look_say_the_same() -> None:
    rng = np.random.default_rng(72)
    found = [noise_ratio(controls(rng), looks(rng, 2.0, some(0, 0), fields=3), "up") for _ in range(20)]
    assert np.median(found) == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("seen", [0, LEAST_BELOW])
def test_few_first_looks_say_nothing(seen: int) -> None:
    rng = np.random.default_rng(73)
    first = looks(rng, 3.0, some(0, 0))
    first.n[seen:], first.mean[seen:] = 0, np.nan
    assert noise_ratio(controls(rng), first, "up") == 1.0
    assert noise_ratio(Null(summarise([])), looks(rng, 3.0, some(0, 0)), "up") == 1.0


def test_the_first_look_is_the_first_visit_that_gave_a_value() -> None:
    def field(visit: int, name: str, value: float | None) -> FieldReadout:
        return FieldReadout(well="A1", field=name, visit=visit, readouts={READOUT: value})

    fields = [field(7, "3", 9.0), field(4, "1", 1.0), field(2, "0", None), field(4, "2", 3.0)]
    first = first_looks(fields, ["A1", "A2"], READOUT)
    assert (first.n.tolist(), first.mean[0]) == ([2, 0], 2.0)


def test_more_noise_is_less_evidence() -> None:
    rng = np.random.default_rng(74)
    null, well = controls(rng), summarise([[2.8, 3.1, 2.9]])
    quiet, noisy = (null.with_noise(noise).log_evidence(well, "up")[0] for noise in (1.0, 1.5))
    assert quiet > noisy + 2
    assert null.noise == 1.0


@pytest.mark.parametrize(
    ("values", "called"),
    [
        pytest.param([60.0, 0.1, -0.2, 0.3, 0.0, -0.1], False, id="one odd field among six"),
        pytest.param([60.0, 0.1], False, id="one odd field of two"),
        pytest.param([9.0, 11.0, 10.0, 8.0, 12.0, 10.0], True, id="six that agree"),
    ],
)
def test_one_odd_field_is_no_hit(values: list[float], called: bool) -> None:
    plate = draw(1, dict.fromkeys(TREATED[1:5], 8.0))
    place = WELLS.index(TREATED[0])
    plate[place, : len(values)] = values
    n = [len(values) if well == TREATED[0] else 6 for well in WELLS]
    question = HitsQuestion(HitsQuestion.Params(readout=READOUT, controls="x"), setup())
    answer = question.answer(readouts(plate, n))
    assert (answer.wells[TREATED[0]].call == "hit") is called
    assert {answer.wells[well].call for well in TREATED[1:5]} == {"hit"}
