"""Edge effect and drift of the controls: found where they are, as rarely as said where they are not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.model import FieldReadout
from phenoloop.numerics.plate_effects import drift, edge_effect
from phenoloop.questions.hits import HitsQuestion
from phenoloop.questions.mean import MeanQuestion
from phenoloop.questions.plate_checks import check_plate
from tests.decisions.plates import READOUT, setup

PLATE = (8, 12)
PLACES = [(0, 1), (0, 6), (7, 3), (7, 10), (3, 0), (4, 11), (2, 3), (3, 7), (5, 2), (4, 5), (5, 9), (2, 8)]
"""Six wells on the edge, six inside."""


def controls(
    seed: int, edge: float = 0.0, per_hour: float = 0.0, fields: int = 4, well_sd: float = 0.5
) -> tuple[list[list[float]], list[list[float]]]:
    """Values and hours of twelve controls that were imaged in four rounds over two hours; field SD 1."""
    rng = np.random.default_rng([91, seed])
    hours = np.arange(fields)[None, :] * 2.0 / fields + rng.uniform(0, 0.3, (12, fields))
    outer = np.array([1.0] * 6 + [0.0] * 6)
    values: NDArray[np.float64] = (
        10 + edge * outer[:, None] + rng.normal(0, well_sd, (12, 1)) + rng.normal(size=(12, fields)) + per_hour * hours
    )
    return values.tolist(), hours.tolist()


@pytest.mark.parametrize("edge", [-3.0, 3.0])
def test_an_edge_effect_is_found(edge: float) -> None:
    values, _ = controls(1, edge=edge)
    found = edge_effect(values, PLACES, PLATE)
    assert found is not None
    assert found.p < 0.01
    assert found.low < edge < found.high
    assert found.size == pytest.approx(edge, abs=1.2)
    assert found.wells == 12


def test_a_drift_is_found() -> None:
    values, hours = controls(2, per_hour=-1.5)
    found = drift(values, hours)
    assert found is not None
    assert found.p < 0.01
    assert found.low < -1.5 < found.high
    assert found.centre == pytest.approx(8.5, abs=1)


def test_wells_imaged_once_show_drift_too() -> None:
    rng = np.random.default_rng(3)
    hours = rng.permutation(12) / 4
    values = 5 + 2 * hours + rng.normal(size=12)
    found = drift([[v] for v in values], [[t] for t in hours])
    assert found is not None
    assert found.p < 0.02


@pytest.mark.parametrize("kind", ["edge", "drift"])
def test_false_findings_are_as_rare_as_said_and_intervals_cover(kind: str) -> None:
    """200 plates: p <= .05 in at most 5 % + 99 % binomial error (19), the 95 % interval holds the truth in >= 181."""
    false = covered = 0
    for seed in range(200):
        values, hours = controls(1000 + seed)
        found = edge_effect(values, PLACES, PLATE) if kind == "edge" else drift(values, hours)
        assert found is not None
        false += found.p <= 0.05
        covered += found.low <= 0 <= found.high
    assert false <= 19
    assert covered >= 181


def test_fields_of_one_well_are_no_replicates() -> None:
    """One odd well on the edge with many fields is no edge effect."""
    values = [[10.0 + 0.01 * i] * 2 for i in range(12)]
    values[0] = [20.0] * 40
    found = edge_effect(values, PLACES, PLATE)
    assert found is not None
    assert found.p > 0.05


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([[1.0]] * 5 + [[]] * 7, id="five wells with data"),
        pytest.param([[1.0]] + [[]] * 5 + [[1.0]] * 6, id="one well on the edge"),
        pytest.param([[]] * 12, id="no data"),
    ],
)
def test_too_few_controls_are_not_tested(values: list[list[float]]) -> None:
    assert edge_effect(values, PLACES, PLATE) is None


def test_all_at_one_time_is_no_drift() -> None:
    assert drift([[1.0], [2.0]] * 4, [[0.5]] * 8) is None


def readouts(values: list[list[float]], hours: list[list[float]], wells: list[str]) -> list[FieldReadout]:
    return [
        FieldReadout(well=well, field=str(f), visit=f, readouts={READOUT: v}, at_s=3600 * t)
        for well, row, times in zip(wells, values, hours, strict=True)
        for f, (v, t) in enumerate(zip(row, times, strict=True))
    ]


@pytest.mark.parametrize(
    ("edge", "per_hour", "said"),
    [
        pytest.param(0.0, 0.0, [], id="nothing to say"),
        pytest.param(-3.0, 0.0, ["edge effect: controls on the edge of the plate read"], id="edge"),
        pytest.param(0.0, 2.0, ["drift: the controls read"], id="drift"),
        pytest.param(4.0, 2.0, ["edge effect", "drift"], id="both"),
    ],
)
def test_notes_only_where_there_is_evidence(edge: float, per_hour: float, said: list[str]) -> None:
    wells = [f"{chr(65 + row)}{column + 1}" for row, column in PLACES]
    plate = dataclasses.replace(setup(), plate_rows=8, plate_columns=12)
    values, hours = controls(4, edge=edge, per_hour=per_hour)
    numbers, notes = check_plate(plate, wells, readouts(values, hours, wells), READOUT)
    assert len(notes) == len(said)
    assert all(note.startswith(start) for note, start in zip(notes, said, strict=True))
    assert all("p = " in note and "interval" in note for note in notes)
    assert set(numbers) == {"edge", "drift_per_hour"}
    shuffled = readouts(values, hours, wells)[::-1]
    assert check_plate(plate, wells, shuffled, READOUT) == (numbers, notes)


@pytest.mark.parametrize("kind", ["hits", "mean"])
def test_questions_with_controls_tell_what_the_plate_does(kind: str) -> None:
    """Controls of the 24-well plate lie in columns 1 and 4, on rows A to D: an 5 x 7 plate has half of them inside."""
    plate = dataclasses.replace(setup(), plate_rows=5, plate_columns=7)
    question = (
        HitsQuestion(HitsQuestion.Params(readout=READOUT, controls="treatment == 'vehicle'"), plate)
        if kind == "hits"
        else MeanQuestion(MeanQuestion.Params(readout=READOUT, by="treatment"), plate)
    )
    rng = np.random.default_rng(6)
    fields = [
        FieldReadout(
            well=well,
            field=str(f),
            visit=f,
            readouts={READOUT: float(rng.normal(10 if well[0] == "A" or well[1:] == "1" else 0, 0.5))},
            at_s=600.0 * f,
        )
        for well in plate.wells
        for f in range(4)
    ]
    answer = question.answer(fields)
    assert any(note.startswith("edge effect") for note in answer.notes)
    effects = answer.summary["plate_effects"]
    assert isinstance(effects, dict)
    assert effects["edge"]["size"] == pytest.approx(10, abs=1)
    assert effects["drift_per_hour"]["p"] > 0.05
