"""From rendered frames of wells to an answer per treatment: aggregate size and clustering, with n = wells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from phenoloop.measure import Analysis
from phenoloop.model import FieldReadout, Setup
from phenoloop.questions.mean import MeanQuestion
from tests.analysis.test_families import PLAN, cells

TREATED: dict[str, dict[str, Any]] = {"vehicle": {}, "aggregator": {"large": 0.5}, "clusterer": {"clustered": True}}
READOUTS = {
    "size": "mean(foci.area)",
    "large": "mean(foci.large)",
    "clustering": "mean(foci.clustering)",
    "ripley": "mean(foci.ripley)",
    "of_the_field": "mean(foci.field_clustering)",
}


@pytest.fixture(scope="module")
def plate() -> tuple[Setup, list[FieldReadout]]:
    """Three wells of two fields for each treatment."""
    analysis = Analysis(replace(PLAN, readouts=READOUTS))
    wells, rows, fields = [], [], []
    for row, (name, look) in zip("ABC", TREATED.items(), strict=True):
        for column in range(3):
            wells.append(f"{row}{column + 1}")
            rows.append({"treatment": name})
            for field in range(2):
                readouts = analysis.measure(cells(100 * ord(row) + 10 * column + field, **look)).readouts
                fields.append(FieldReadout(well=wells[-1], field=str(field), visit=len(wells), readouts=dict(readouts)))
    return Setup(wells=tuple(wells), fields=(2,) * len(wells), properties=tuple(rows)), fields


@pytest.mark.parametrize(
    ("readout", "treatment"),
    [
        pytest.param("size", "aggregator", id="size"),
        pytest.param("large", "aggregator", id="share-of-large-ones"),
        pytest.param("clustering", "clusterer", id="clustering"),
        pytest.param("ripley", "clusterer", id="ripley"),
        pytest.param("of_the_field", "clusterer", id="clustering-of-the-field"),
    ],
)
def test_the_mean_question_answers_per_treatment(
    plate: tuple[Setup, list[FieldReadout]], readout: str, treatment: str
) -> None:
    setup, fields = plate
    question = MeanQuestion(MeanQuestion.Params(readout=readout, by="treatment"), setup)
    groups: Any = question.answer(fields).summary["groups"]
    assert list(groups) == list(TREATED)
    assert all((group["wells"], group["unit"]) == (3, "well") for group in groups.values())
    assert groups[treatment]["low"] > groups["vehicle"]["high"]
