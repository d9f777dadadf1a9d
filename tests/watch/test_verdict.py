"""What a report says in words."""

from __future__ import annotations

import pytest

from phenoloop.model import RunStarted
from phenoloop.watch.report_json import ReportContent, build_report
from phenoloop.watch.verdict import aligned, count, duration, names, number, percent, verdict
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
