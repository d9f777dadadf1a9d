"""What is said of the controls, and of means that rest on few objects."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from phenoloop.model import Measured
from phenoloop.watch.report_evidence import few_objects, plate_said
from phenoloop.watch.report_json import build_report
from phenoloop.watch.tally import Tally
from tests.watch.builders import make_content


def effect(size: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"size": size, "low": low, "high": high, "p": 0.4955, "level": 0.95, "wells": 7, "kind": "permutation"}


@pytest.mark.parametrize(
    ("effects", "duration_s", "said"),
    [
        pytest.param({"edge": None, "drift_per_hour": None}, 100.0, [], id="nothing could be tested"),
        pytest.param(
            {"edge": effect(-0.129, None, None), "drift_per_hour": None},
            100.0,
            [
                "Edge of the plate, controls on it less those inside: -0.129 (so few wells give no 95 % interval; "
                "p = 0.5; permutation, 7 wells; valid for one look)."
            ],
            id="no interval",
        ),
        pytest.param(
            {"drift_per_hour": effect(12.0, -36.0, 48.0)},
            100.0,
            [
                "Drift of the controls over the 1 min 40 s of the run: 0.333 (-1 to 1.33, 95 %; p = 0.5; permutation, "
                "7 wells; valid for one look)."
            ],
            id="a run of minutes says nothing of an hour",
        ),
        pytest.param(
            {"drift_per_hour": effect(12.0, -36.0, 48.0)},
            7200.0,
            [
                "Drift of the controls per hour: 12 (-36 to 48, 95 %; p = 0.5; permutation, 7 wells; "
                "valid for one look)."
            ],
            id="a run of hours",
        ),
    ],
)
def test_what_the_controls_say_of_the_plate(effects: dict[str, Any], duration_s: float, said: list[str]) -> None:
    report = build_report(make_content()) | {"duration_s": duration_s, "summary": {"plate_effects": effects}}
    assert plate_said(report) == said


@pytest.mark.parametrize(
    ("objects", "kind", "expected"),
    [
        pytest.param({}, "hits", [], id="enough everywhere"),
        pytest.param(
            {0: 3},
            "hits",
            [
                "1 of {looks} accepted looks rests on fewer than 10 objects (fewest: 3 objects in {first}): "
                "a mean over so few says little."
            ],
            id="one look at three cells",
        ),
        pytest.param(
            {0: 9, 1: 1},
            "objects",
            [
                "2 of {looks} accepted looks rest on fewer than 10 objects (fewest: 1 object in {second}): "
                "a mean over so few says little."
            ],
            id="a pre-scan counts in a search too",
        ),
        pytest.param({0: 0}, "hits", [], id="no objects at all: a readout of the whole field"),
    ],
)
def test_few_objects_are_told(objects: dict[int, int], kind: str, expected: list[str]) -> None:
    content = make_content()
    good = [m for m in content.messages if isinstance(m, Measured) and m.status == "ok"]
    changed = {id(good[i]): n for i, n in objects.items()}
    tally = Tally(content.plan)
    for message in content.messages:
        if isinstance(message, Measured):
            message = dataclasses.replace(message, objects=changed[id(message)]) if id(message) in changed else message
        tally.take(message)
    places = [f"{tally.trips[one.visit].well} field {one.field}" for one in good[:2]]
    looks = len(good)
    said = few_objects(tally, {"question": {"kind": kind}})
    assert said == [text.format(looks=looks, first=places[0], second=places[1]) for text in expected]


def test_objects_of_a_well_are_those_of_its_accepted_fields() -> None:
    content = make_content()
    report = build_report(content)
    wells = {well["well"]: well["objects"] for well in report["wells"]}
    assert sum(wells.values()) == report["objects"] > 0
