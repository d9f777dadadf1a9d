"""What an answer is worth, on answers written by hand."""

from __future__ import annotations

import math

import pytest

from phenoloop.errors import UsageError
from phenoloop.model import Answer, Interval, Setup, WellAnswer
from phenoloop.studies.quality import Calls, CurveError, Quality, Ranking, Width, against_all, f1

WELLS = ("A1", "A2", "A3", "A4")


def answer(calls: str = "", ranks: tuple[int | None, ...] = (1, 2, 3, 4), **summary: object) -> Answer:
    """`calls`: one letter a well, h for a hit."""
    said = {
        well: WellAnswer(call="hit" if call == "h" else "undecided", evidence=None, rank=rank, interval=None)
        for well, call, rank in zip(WELLS, calls.ljust(4, "-"), ranks, strict=True)
    }
    return Answer(wells=said, summary=summary, notes=())


def compounds(finding: str = "estimated", **log10: float) -> dict[str, object]:
    return {
        name: {"finding": finding, "log10_ec50": {"mean": mean}, "doses": [0.1, 10.0]} for name, mean in log10.items()
    }


@pytest.mark.parametrize(
    ("called", "true", "score"),
    [
        pytest.param("", "", 1.0, id="nothing to find, nothing called"),
        pytest.param("A1", "", 0.0, id="all calls false"),
        pytest.param("", "A1", 0.0, id="nothing found"),
        pytest.param("A1 A2", "A1 A3", 0.5, id="half and half"),
        pytest.param("A1 A2", "A1 A2", 1.0, id="all"),
    ],
)
def test_f1(called: str, true: str, score: float) -> None:
    assert f1(frozenset(called.split()), frozenset(true.split())) == score


@pytest.mark.parametrize(
    ("quality", "said", "score"),
    [
        pytest.param(Calls(frozenset({"A2"}), frozenset({"A1"})), answer("hh"), 1.0, id="a called control counts not"),
        pytest.param(Ranking(dict(zip(WELLS, (1, 2, 3, 4), strict=True))), answer(), 1.0, id="the same order"),
        pytest.param(
            Ranking(dict(zip(WELLS, (1, 2, 3, 4), strict=True))), answer(ranks=(4, 3, 2, 1)), -1.0, id="turned around"
        ),
        pytest.param(Ranking({"A1": 1, "A2": 2}), answer(ranks=(None,) * 4), None, id="no order yet"),
        pytest.param(Width(), answer(), None, id="no interval yet"),
        pytest.param(
            Width(), answer(groups={"a": {"low": 1.0, "high": 3.0}, "b": {"low": 0.0, "high": 4.0}}), 3.0, id="groups"
        ),
        pytest.param(
            CurveError({"x": 0.0, "y": 1.0}, {"x": 1.0, "y": 1.0}),
            answer(compounds=compounds(x=0.3, y=1.4)),
            math.sqrt((0.09 + 0.16) / 2),
            id="two curves",
        ),
        pytest.param(
            CurveError({"x": 0.0, "y": 1.0}, {"x": 1.0, "y": 2.0}),
            answer(compounds=compounds(x=0.0)),
            math.sqrt(2.0),
            id="a curve without an estimate",
        ),
        pytest.param(
            CurveError({"x": 0.0}, {"x": 1.0}),
            answer(compounds=compounds("open above", x=0.5)),
            0.5,
            id="the best guess of what is not claimed",
        ),
    ],
)
def test_scores(quality: Quality, said: Answer, score: float | None) -> None:
    assert quality.of(said) == (None if score is None else pytest.approx(score))


def test_a_typical_well_needs_an_interval() -> None:
    band = Interval(mean=1.0, low=0.5, high=1.5, n=2, level=0.95, kind="t", unit="well", valid_when_peeking=False)
    wells = {
        well: WellAnswer(call=None, evidence=None, rank=1, interval=band if well != "A4" else None) for well in WELLS
    }
    said = Answer(wells=wells, summary={}, notes=())
    assert Width().of(said) == 1.0
    assert Width().beside(said) == {"wells with an interval": 0.75}


@pytest.mark.parametrize(
    ("kind", "everything", "title"),
    [
        pytest.param("hits", answer("h"), "F1 of the calls", id="hits that are called"),
        pytest.param("hits", answer(), "rank correlation of the wells", id="hits that are only ranked"),
        pytest.param("mean", answer(), "median width of the intervals", id="mean"),
        pytest.param("dose_response", answer(compounds=compounds(x=0.1)), "RMSE of log10 EC50", id="curves"),
        pytest.param("novelty", answer(), "rank correlation of the wells", id="another kind"),
    ],
)
def test_what_all_data_say_is_the_yardstick(kind: str, everything: Answer, title: str) -> None:
    assert against_all(kind, Setup(wells=WELLS, fields=(1,) * 4), everything).title == title


@pytest.mark.parametrize(
    ("kind", "everything"),
    [
        pytest.param("dose_response", answer(compounds=compounds("no effect", x=0.1)), id="no curve"),
        pytest.param("objects", answer(ranks=(None,) * 4), id="no order"),
    ],
)
def test_a_yardstick_that_says_nothing_is_refused(kind: str, everything: Answer) -> None:
    with pytest.raises(UsageError):
        against_all(kind, Setup(wells=WELLS, fields=(1,) * 4), everything)
