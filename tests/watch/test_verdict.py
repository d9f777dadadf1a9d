"""What a report says in words."""

from __future__ import annotations

import pytest

from phenoloop.model import RunStarted
from phenoloop.watch.report_json import ReportContent, build_report
from phenoloop.watch.verdict import aligned, count, duration, evidence, names, number, percent, verdict
from tests.watch.builders import make_content, make_plan, make_setup


def empty() -> ReportContent:
    plan = make_plan()
    return ReportContent(run="x", plan=plan, setup=make_setup(plan), messages=[RunStarted(at_s=0.0)], stored_on_disk=0)


@pytest.mark.parametrize(
    ("content", "headline", "asked", "found"),
    [
        pytest.param(
            make_content(),
            "4 hits among 18 wells",
            "Which wells lie above the controls in vesicles by at least 1, with at most 5 % false hits?",
            "B2, C4, A3 and D3 differ from the controls.",
            id="hits",
        ),
        pytest.param(
            make_content(enough_controls=False),
            "Ranked, not called",
            "Which wells lie above the controls in vesicles by at least 1, with at most 5 % false hits?",
            "No well can be called a hit here. In order of response: B2, C4, A3, D3, ",
            id="too few controls",
        ),
        pytest.param(
            make_content(question=False),
            "24 wells imaged",
            "Nothing was asked: the wells were imaged and measured.",
            "Without a question nothing is claimed; the table shows means.",
            id="no question",
        ),
        pytest.param(
            empty(),
            "No image was taken",
            "Nothing was asked: the wells were imaged and measured.",
            "Nothing can be said of any well.",
            id="no image",
        ),
    ],
)
def test_verdict(content: ReportContent, headline: str, asked: str, found: str) -> None:
    said = verdict(build_report(content))
    assert said.headline == headline
    assert said.asked == asked
    assert said.found.startswith(found)


EFFECT = {"mean": 3.0, "low": 2.5, "high": 3.52, "level": 0.95}


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        pytest.param(
            {}, "B2, C4, A3 and D3 differ from the controls. At most 5 % of such calls are", id="none measured"
        ),
        pytest.param(
            {"C4": EFFECT},
            "The effect of 1 of them, by images that had no part in the call, is 3.00 (C4; 95 % interval 2.50 to "
            "3.52).",
            id="one",
        ),
        pytest.param(
            {"B2": EFFECT | {"mean": 5.25}, "C4": EFFECT, "A3": EFFECT | {"mean": 4.0}, "D3": EFFECT | {"mean": 1.5}},
            "The effect, by images that had no part in the call, reaches from 1.50 (D3; 95 % interval 2.50 to 3.52) to "
            "5.25 (B2; 95 % interval 2.50 to 3.52).",
            id="all: the smallest and the largest",
        ),
    ],
)
def test_hits_are_told_with_their_error(effects: dict[str, dict[str, float]], said: str) -> None:
    report = build_report(make_content())
    for well in report["wells"]:
        well["effect"] = effects.get(well["well"])
    assert said in verdict(report).found


def test_events_are_told_with_no_more_digits_than_their_error_allows() -> None:
    report = build_report(make_content(question=False))
    rate = {"rate": 0.829, "low": 0.226, "high": 3.04}
    plate = {"events": 6, "wells": 4, "field_hours": 7.235, "level": 0.95, "per_field_hour": rate}
    report["question"] = {"kind": "events", "parameters": {"readout": "dividing", "above": 1.9}}
    report["summary"] = {"plate": plate, "followed": None}
    said = verdict(report)
    assert said.headline == "6 events"
    assert said.found == "0.83 per field and hour (95 % interval 0.23 to 3.0), in 7.2 field-hours of 4 wells."


def test_confirmed_objects_are_told_with_their_wells() -> None:
    report = build_report(make_content(question=False))
    precision = {"mean": 0.414, "low": 0.17, "high": 0.693, "level": 0.95}
    summary = {"confirmed": 3, "wanted": 3, "precision": precision, "looked_at": 7, "wells": {"A2": 1, "A6": 2}}
    report["question"] = {"kind": "objects", "parameters": {}}
    report["summary"] = summary | {"fields_pre_scanned": 9}
    said = verdict(report).found
    assert said.endswith("are confirmed (95 % interval 17 to 69 %). They lie in A6 (2) and A2 (1).")


def test_effort() -> None:
    assert verdict(build_report(make_content())).effort == (
        "151 images of 432 possible (35 %), in 38 visits to 24 of 24 wells, chosen in 8 decisions"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(number(None), "–", id="unknown"),
        pytest.param(number(0.0), "0", id="zero"),
        pytest.param(number(3.14159), "3.14", id="three digits"),
        pytest.param(number(12345.6), "12346", id="whole from a thousand on"),
        pytest.param(number(1.1e13), "1.1e13", id="large"),
        pytest.param(number(-0.00012), "-1.2e-4", id="small and negative"),
        pytest.param(number(368.0, 2), "370", id="two digits of hundreds"),
        pytest.param(evidence(None), "–", id="no evidence"),
        pytest.param(evidence(3.34e7), "3.3e7", id="strong evidence"),
        pytest.param(evidence(11245.0), "11000", id="evidence has two digits"),
        pytest.param(evidence(79.2), "79", id="some evidence"),
        pytest.param(evidence(0.4961), "0.5", id="evidence for nothing"),
        pytest.param(evidence(0.0013), "< 0.01", id="evidence against"),
        pytest.param(aligned(3.04, 2), "3.0", id="column of two digits"),
        pytest.param(aligned(2.0), "2.00", id="column keeps zeros"),
        pytest.param(aligned(123.0), "123", id="column without a bare point"),
        pytest.param(duration(None), "–", id="no duration"),
        pytest.param(duration(53.4), "53.4 s", id="seconds"),
        pytest.param(duration(200), "3 min 20 s", id="minutes"),
        pytest.param(duration(7500), "2 h 05 min", id="hours"),
        pytest.param(percent(0.05), "5 %", id="five percent"),
        pytest.param(percent(0.025), "2.5 %", id="two and a half"),
        pytest.param(percent(0.349), "35 %", id="rounded"),
        pytest.param(names(["A1"]), "A1", id="one well"),
        pytest.param(names(["A1", "B2", "C3"]), "A1, B2 and C3", id="three wells"),
        pytest.param(names(["A1", "B2", "C3"], most=2), "A1, B2 and 1 more", id="cut"),
        pytest.param(names([]), "", id="no well"),
        pytest.param(count(1, "hit"), "1 hit", id="singular"),
        pytest.param(count(0, "hit"), "0 hits", id="plural of none"),
    ],
)
def test_words_for_numbers(text: str, expected: str) -> None:
    assert text == expected
