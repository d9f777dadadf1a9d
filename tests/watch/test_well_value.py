"""By which number wells are compared: the plate map shows what the question is about."""

from __future__ import annotations

import re
from typing import Any

import pytest

from phenoloop.watch.report_html import render
from phenoloop.watch.report_json import build_report
from phenoloop.watch.well_value import WellValues, well_values
from tests.watch.builders import make_content, make_picture

READOUTS = ("vesicles", "cells")


def asked(kind: str, summary: dict[str, Any], **parameters: object) -> dict[str, Any]:
    """The report of the written run, as if another question had been asked."""
    report = build_report(make_content(question=False))
    return report | {"question": {"kind": kind, "parameters": parameters}, "summary": summary}


def rate(value: float) -> dict[str, Any]:
    return {"events": 2, "field_hours": 4.0, "per_field_hour": {"rate": value, "low": 0.1, "high": 2.0}}


def placed(well: str, distance: float, group: int | None = None) -> dict[str, Any]:
    where = {"x": distance, "y": 0.0, "control": False, "fields": 1, "closely": False}
    return {"well": well, "group": group, "distance": distance, **where}


OBJECTS = {"wells": {"B2": 7, "C4": 1}}
EVENTS = {"wells": {"B2": rate(0.5), "C4": rate(0.25)}}
NOVELTY = {"map": {"wells": [placed("B2", 4.25, 2), placed("C4", 1.5)]}, "space": {"alike": 1.27}}


@pytest.mark.parametrize(
    ("report", "title", "said", "expected"),
    [
        pytest.param(
            asked("objects", OBJECTS),
            "confirmed objects",
            "the number of confirmed objects in a well",
            {"B2": "7", "C4": "1", "A1": "0"},
            id="objects: those confirmed, 0 where none was",
        ),
        pytest.param(
            asked("events", EVENTS, readout="vesicles"),
            "events per field and hour",
            "how many events there were per field and hour",
            {"B2": "0.500", "C4": "0.250", "A1": "–"},
            id="events: their rate, not the readout",
        ),
        pytest.param(
            asked("novelty", NOVELTY),
            "distance from the controls",
            "(control wells, as a rule, lie within 1.3 of each other)",
            {"B2": "4.25", "C4": "1.50", "A1": "–"},
            id="novelty: the distance from the controls",
        ),
        pytest.param(
            asked("novelty", {"map": None, "space": None}),
            "vesicles",
            "the mean vesicles of a well's accepted fields",
            {},
            id="novelty that says nothing: a readout",
        ),
        pytest.param(asked("mean", {}, readout="cells"), "cells", "the mean cells", {}, id="mean: its readout"),
    ],
)
def test_wells_are_compared_by_what_was_asked(
    report: dict[str, Any], title: str, said: str, expected: dict[str, str]
) -> None:
    values = well_values(report, READOUTS)
    assert values is not None
    assert values.title == title
    assert said in values.said
    assert {well: values.told(well) for well in expected} == expected


def test_without_a_readout_there_is_nothing_to_compare() -> None:
    assert well_values(build_report(make_content(question=False)), ()) is None


def test_a_well_that_looks_different_bears_the_number_of_its_phenotype() -> None:
    values = well_values(asked("novelty", NOVELTY), READOUTS)
    assert isinstance(values, WellValues)
    assert (values.signs["B2"], values.signs["C4"], values.signs["A1"]) == ("2", "", "")
    assert values.calls["hit"] == "called different"


@pytest.mark.parametrize(
    ("question", "summary", "colour", "texts"),
    [
        pytest.param(
            "events", EVENTS, "events per field and hour", ["B2 events per field and hour: 0.5", "0.500"], id="events"
        ),
        pytest.param("novelty", NOVELTY, "distance from the controls", ["4.25"], id="distances"),
    ],
)
def test_page(question: str, summary: dict[str, Any], colour: str, texts: list[str]) -> None:
    whole: dict[str, Any] = {"followed": None, "groups": [], "covered": {"share": None}, **summary}
    if question == "novelty":
        whole["map"] = {**summary["map"], "shown": [0.5, 0.2]}
        whole["space"] = {**summary["space"], "features": ["area"], "blocks": 1}
        whole["kind"] = "p"
    else:
        of_plate = rate(0.4)
        whole["plate"] = {**of_plate, "wells": 2, "level": 0.95}
        whole["plate"]["per_field_hour"] |= {"assumes": "events come independently"}
        whole["groups"] = {}
    content = make_content(question=False)
    report = asked(question, whole, readout="vesicles")
    page = render(content, report, make_picture)
    assert f"<h3>{colour}</h3>" in page
    assert "Bar: " not in page  # the pictures of the builders tell no size of a pixel
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for part in texts:
        assert part in text, part
