"""Beliefs about the curves of a plate: how noise grows with the level, and that every curve is kept up to date."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.model import Setup
from phenoloop.numerics.dose_layout import DosedFields, DoseLayout
from phenoloop.numerics.level_noise import LevelNoise, level_noise
from phenoloop.numerics.well_sums import WellSums, summarise
from phenoloop.policies.curve_beliefs import OTHERS, CurveBeliefs
from phenoloop.questions.dose_response import DoseResponseQuestion
from tests.decisions.test_dose_response import DOSES, READOUT, fields_of, plate

ROOM = OTHERS + 1


def loud(setup: Setup, seed: int, noisier: float, ec50: float = 0.5) -> NDArray[np.float64]:
    """Readouts (wells, fields): bottom 1, span 4; field SD 0.15 at the bottom and so many times that at the top.

    Vehicle and compounds whose name begins with i have no effect.
    """
    rng = np.random.default_rng([77, seed])
    dose = np.array([float(str(row["dose"])) for row in setup.properties])
    active = [row["compound"] != "vehicle" and not str(row["compound"]).startswith("i") for row in setup.properties]
    share = np.array(active) * dose / (dose + ec50)
    sd = 0.15 * np.sqrt(1 + (noisier**2 - 1) * share)[:, None]
    wells = 0.4 * sd * rng.normal(size=(len(dose), 1))
    return 1 + 4 * share[:, None] + wells + sd * rng.normal(size=(len(dose), max(setup.fields)))


def sums_of(data: NDArray[np.float64], n: int) -> WellSums:
    return summarise([row[:n].tolist() for row in data])


# -- noise that grows with the level --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noisier", "low", "high"),
    [
        pytest.param(1.0, 0.6, 1.6, id="alike"),
        pytest.param(3.0, 5.0, 13.0, id="three times as noisy at the top"),
        pytest.param(1 / 3, 1 / 13, 1 / 5, id="and at the bottom"),
    ],
)
def test_learns_how_noise_grows(noisier: float, low: float, high: float) -> None:
    setup = plate(["a", "b"], fields=12)
    found = level_noise(sums_of(loud(setup, 1, noisier), 12), np.arange(len(setup.wells)))
    assert low < found.ratio < high
    at = found.at(np.array([found.low, found.high, found.low - 9, found.high + 9]))
    assert at[1] / at[0] == pytest.approx(found.ratio)
    assert at[2:] == pytest.approx(at[:2])


@pytest.mark.parametrize("n", [0, 1], ids=["no fields", "one field a well"])
def test_takes_noise_for_alike_until_fields_say_otherwise(n: int) -> None:
    setup = plate(["a"])
    assert level_noise(sums_of(loud(setup, 2, 3.0), n), np.arange(len(setup.wells))) == LevelNoise()


@pytest.mark.parametrize(
    ("noisier", "low", "high"),
    [
        pytest.param(1.0, 0.4, 2.5, id="alike"),
        pytest.param(3.0, 4.0, 20.0, id="three times as noisy at the top"),
    ],
)
def test_replicate_wells_tell_it_from_one_field_each(noisier: float, low: float, high: float) -> None:
    setup = plate([f"c{c}" for c in range(4)], replicates=4)
    sums = sums_of(loud(setup, 4, noisier), 1)
    bottom, top = DosedFields(DoseLayout.of(setup, "dose", "compound"), sums).noise.at(np.array([1.0, 5.0]))
    assert low < top / bottom < high


def covered(first: int, plates: int) -> int:
    """Of one active compound among three without effect, whose wells are all quiet: plates whose interval holds."""
    setup, held = plate(["a", "i", "ii", "iii"], controls=12), 0
    for seed in range(first, first + plates):
        ec50 = float(10 ** np.random.default_rng([78, seed]).uniform(-1.0, 0.5))
        asked = DoseResponseQuestion(DoseResponseQuestion.Params(readout=READOUT, by="compound"), setup)
        found = asked.answer(fields_of(setup, loud(setup, seed, 3.0, ec50), 4)).summary["compounds"]
        assert isinstance(found, dict)
        low, high = found["a"]["ec50"]["low"], found["a"]["ec50"]["high"]
        held += (low is None or low <= ec50) and (high is None or ec50 <= high)
    return held


def test_covers_although_the_top_is_noisier() -> None:
    """Sixty plates; binomial 99 % below 95 % of them is 52. With one spread for all levels 46 hold."""
    assert covered(100, 60) >= 52


# -- beliefs --------------------------------------------------------------------------------------------------------


def told(count: int, order: list[int], repeat: int = 1) -> CurveBeliefs:
    """Beliefs about so many compounds, told of all wells in an order, the last round of tells `repeat` times."""
    setup = plate([f"c{c:02d}" for c in range(count)], replicates=1)
    beliefs = CurveBeliefs(DoseLayout.of(setup, "dose", "compound"))
    data, n = loud(setup, 3, 2.0), np.zeros(len(setup.wells), dtype=int)
    for _ in range(repeat):
        for i in order:
            n[i] = 2
            beliefs.tell(i, summarise([row[:k].tolist() for row, k in zip(data, n, strict=True)]))
    return beliefs


def test_a_plate_of_few_compounds_does_not_depend_on_the_order_of_tells() -> None:
    wells = list(range(6 + ROOM * len(DOSES)))
    one, other = told(ROOM, wells), told(ROOM, wells[::-1])
    assert np.allclose(one.covariance, other.covariance, rtol=1e-9, atol=1e-12)
    assert one.ratio == pytest.approx(other.ratio)


def test_curves_of_a_large_plate_take_turns_until_all_are_up_to_date() -> None:
    """Nine compounds, told of one after the other: a few tells later all are as if they had been told of at once."""
    wells = list(range(6 + 9 * len(DOSES)))
    one, other = told(9, wells, repeat=2), told(9, wells[::-1], repeat=2)
    assert np.allclose(one.covariance, other.covariance, rtol=1e-6, atol=1e-9)
    stale, fresh = told(9, wells), one
    assert np.allclose(stale.sd, fresh.sd, rtol=0.15)


def test_agrees_with_the_posterior_of_all_curves_at_once() -> None:
    setup = plate(["a", "b"])
    layout = DoseLayout.of(setup, "dose", "compound")
    data = sums_of(loud(setup, 4, 2.0), 3)
    beliefs = CurveBeliefs(layout)
    for i in range(len(setup.wells)):
        beliefs.tell(i, data)
    fields = DosedFields(layout, data)
    asked = DoseResponseQuestion(DoseResponseQuestion.Params(readout=READOUT, by="compound"), setup)
    found = asked.answer(fields_of(setup, loud(setup, 4, 2.0), 3)).summary["compounds"]
    assert isinstance(found, dict)
    assert fields.noise.ratio > 1.5
    for c, name in enumerate("ab"):
        assert beliefs.mean[c] == pytest.approx(found[name]["log10_ec50"]["mean"], abs=0.02)
        assert math.sqrt(beliefs.covariance[c, 0, 0]) == pytest.approx(beliefs.sd[c])
