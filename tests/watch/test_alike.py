"""Sentences that say the same of other numbers and wells are told once."""

from __future__ import annotations

import pytest

from phenoloop.watch.alike import told_once


@pytest.mark.parametrize(
    ("sentences", "told"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["out of focus"] * 3, [("out of focus", 3)], id="the same words"),
        pytest.param(
            ["57 objects, at least 66", "53 objects, at least 66", "60 objects, at least 66"],
            [("53 to 60 objects, at least 66", 3)],
            id="other numbers are a span, equal ones stay",
        ),
        pytest.param(
            ["A2 has had its share (6 of 6)", "B12 has had its share (6 of 6)"],
            [("the well has had its share (6 of 6)", 2)],
            id="other wells",
        ),
        pytest.param(["A2 is full (5)", "A2 is full (6)"], [("A2 is full (5 to 6)", 2)], id="one well keeps its name"),
        pytest.param(
            ["2.5 % saturated", "focus 0.11", "12.25 % saturated"],
            [("2.5 to 12.2 % saturated", 2), ("focus 0.11", 1)],
            id="the most frequent first",
        ),
        pytest.param(["profile x40 is full"] * 2, [("profile x40 is full", 2)], id="a number inside a name is a name"),
    ],
)
def test_sentences_are_told_once(sentences: list[str], told: list[tuple[str, int]]) -> None:
    assert told_once(sentences) == told


def test_no_more_than_asked_for() -> None:
    assert told_once(["a", "b", "b", "c"], most=2) == [("b", 2), ("a", 1)]
