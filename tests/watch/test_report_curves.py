"""The drawings of dose-response curves: what is drawn, on which scale, and nothing for other questions."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from phenoloop.watch.report_curves import HEIGHT, WIDTH, draw_curves

BAND = {"mean": 1.0, "low": 0.5, "high": 2.0}
COMPOUND: dict[str, Any] = {
    "finding": "estimated",
    "said": "the EC50 is 1 (0.5 to 2)",
    "wells": 3,
    "fields": 6,
    "points": [{"well": "A2", "dose": 1.0, "mean": 3.0, "fields": 4}],
    "ec50": BAND,
    "hill": BAND,
    "bottom": BAND,
    "top": None,
    "effect_at_highest_dose": BAND,
    "curve": {"dose": [0.1, 1.0, 10.0], "mean": [1.0, 3.0, 5.0], "low": [0.0, 2.0, 4.0], "high": [2.0, 4.0, 6.0]},
}


def report(**changes: Any) -> dict[str, Any]:
    silent = {"finding": "too little data", "said": "too few wells", "wells": 1, "fields": 1, "points": []}
    summary = {
        "readout": "signal",
        "along": "dose",
        "level": 0.95,
        "kind": "Bayesian",
        "controls": ["A1"],
        "compounds": {"a": copy.deepcopy(COMPOUND) | changes, "b": silent},
    }
    wells = [{"well": "A1", "readouts": {"signal": {"mean": 1.0}}}, {"well": "A2", "readouts": {"signal": {"mean": 3}}}]
    return {"question": {"kind": "dose_response"}, "summary": summary, "wells": wells}


def test_everything_lies_on_the_drawing() -> None:
    drawn = draw_curves(report())
    assert drawn is not None
    a, b = drawn["compounds"]
    assert [name for _, name in drawn["x_ticks"]] == ["0.1", "1", "10"]
    assert [x for x, _ in drawn["x_ticks"]] == [0.0, WIDTH / 2, WIDTH]
    levels = [y for y, _ in drawn["y_ticks"]]
    assert levels == sorted(levels, reverse=True)
    assert all(0 <= y <= HEIGHT for y in [*levels, *drawn["controls"], a["points"][0]["y"]])
    assert a["points"][0]["x"] == a["ec50"]["mean"] == WIDTH / 2
    assert a["ec50"]["low"] < a["ec50"]["mean"] < a["ec50"]["high"]
    assert a["curve"].count("L") == 2
    assert a["band"].endswith("Z")
    assert (b["curve"], b["said"]) == ("", "too few wells")


@pytest.mark.parametrize(
    ("band", "text"),
    [
        pytest.param(BAND, "1.00 (0.500 to 2.00)", id="closed"),
        pytest.param({"mean": None, "low": 30.0, "high": None}, "> 30", id="open above"),
        pytest.param({"mean": None, "low": None, "high": 0.1}, "< 0.1", id="open below"),
        pytest.param({"mean": None, "low": None, "high": None}, "cannot be said", id="no effect"),
    ],
)
def test_an_ec50_is_written_as_what_is_known(band: dict[str, Any], text: str) -> None:
    drawn = draw_curves(report(ec50=band))
    assert drawn is not None
    assert dict(drawn["compounds"][0]["rows"])["EC50"] == text
    assert (drawn["compounds"][0]["ec50"] is None) == (band["mean"] is None)


def test_other_questions_have_no_curves() -> None:
    assert draw_curves({"question": {"kind": "hits"}, "summary": {}, "wells": []}) is None
    assert draw_curves({"question": None, "summary": {}, "wells": []}) is None
