"""The question `events`: what is one event, how often they begin, and whether the bands hold what they say."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import FieldReadout, Setup
from phenoloop.numerics.proportions import clopper_pearson
from phenoloop.numerics.rates import poisson_interval, rate_of
from phenoloop.questions.events import EventsQuestion
from phenoloop.questions.watching import Look, watch
from phenoloop.testing import assert_question
from tests.decisions.time_lapses import make_plan, setup_of


def question(setup: Setup | None = None, **params: Any) -> EventsQuestion:
    values: dict[str, Any] = {"readout": "dividing", "above": 0.8, "below": 0.4} | params
    return EventsQuestion(EventsQuestion.Params(**values), setup or setup_of(make_plan()))


def series(well: str, field: str, values: dict[float, float | None], imaging: str = "main") -> list[FieldReadout]:
    return [
        FieldReadout(
            well=well,
            field=field,
            visit=1,
            readouts={"dividing": value, "cells": 20.0},
            imaging=imaging,
            at_s=at_s,
        )
        for at_s, value in values.items()
    ]


def test_contract() -> None:
    assert_question(lambda setup: EventsQuestion(EventsQuestion.Params(readout="signal", above=2.0), setup))


@pytest.mark.parametrize(
    ("values", "starts", "ends", "watched"),
    [
        pytest.param([0.1, 0.1, 0.1], [], [], 20, id="nothing"),
        pytest.param([0.1, 0.9, 0.1], [5], [15], 10, id="one event, halfway in the gaps"),
        pytest.param([0.1, 0.9, 0.6, 0.9, 0.1], [5], [35], 10, id="between the thresholds it goes on"),
        pytest.param([0.1, 0.9, 0.1, 0.9, 0.1], [5, 25], [15, 35], 20, id="two events"),
        pytest.param([0.9, 0.1, 0.1], [0], [5], 15, id="under way at the first look"),
        pytest.param([0.1, 0.1, 0.9], [15], [None], 15, id="not over at the last look"),
        pytest.param([0.1, 0.8, 0.1], [], [], 20, id="at the threshold is not above"),
        pytest.param([], [], [], 0, id="never looked at"),
    ],
)
def test_what_is_one_event(values: list[float], starts: list[float], ends: list[float | None], watched: float) -> None:
    found = watch([Look(at_s=10.0 * i, value=value) for i, value in enumerate(values)], 0.8, 0.4)
    assert [event.start_s for event in found.events] == starts
    assert [event.end_s for event in found.events] == ends
    assert found.watched_s == watched


def test_what_was_under_way_at_first_is_listed_and_not_counted() -> None:
    answer = question().answer(series("A1", "0", {0.0: 0.9, 10.0: 0.1, 3610.0: 0.1}))
    plate: Any = answer.summary["plate"]
    assert (plate["events"], plate["under_way_at_first"]) == (0, 1)
    assert plate["field_hours"] == pytest.approx(3605 / 3600)
    listed: Any = answer.summary["events"]
    assert listed[0]["within_s"] is None


def test_rates_per_field_and_per_object_and_the_rank_of_wells() -> None:
    looks = series("A1", "0", {t: 0.9 if t in (1000.0, 5000.0) else 0.1 for t in np.arange(0.0, 7201.0, 200.0)})
    looks += series("A2", "0", dict.fromkeys(np.arange(0.0, 7201.0, 200.0), 0.1))
    answer = question(objects="cells").answer(looks)
    wells: Any = answer.summary["wells"]
    hours = (7200 - 2 * 200) / 3600
    assert wells["A1"]["per_field_hour"]["rate"] == pytest.approx(2 / hours)
    assert wells["A1"]["per_object_hour"]["rate"] == pytest.approx(2 / hours / 20)
    assert wells["A2"]["per_field_hour"]["rate"] == 0.0
    assert (answer.wells["A1"].rank, answer.wells["A2"].rank) == (1, 2)
    assert not wells["A1"]["valid_when_peeking"]
    json.dumps(answer.summary, allow_nan=False)


def test_only_events_without_a_gap_count_as_seen_at_the_fast_rate() -> None:
    followed = {0.0: 0.1, 240.0: 0.9, **{240.0 + 20 * n: 0.9 for n in range(1, 10)}, 440.0: 0.1}
    coarse = {0.0: 0.1, 240.0: 0.9, 480.0: 0.9, 720.0: 0.1}
    answer = question().answer(series("A1", "0", followed) + series("A1", "1", coarse))
    told: Any = answer.summary["followed"]
    assert (told["events"], told["at_fast_rate"]) == (2, 1)
    assert (told["low"], told["high"]) == pytest.approx(clopper_pearson(1, 2, 0.95))
    alone = question(setup_of(make_plan(fast_s=None))).answer(series("A1", "0", followed))
    assert alone.summary["followed"] is None


def test_looks_without_a_value_or_a_time_are_told() -> None:
    looks = series("A1", "0", {0.0: 0.1, 10.0: None, 20.0: 0.1})
    looks.append(dataclasses.replace(looks[0], at_s=None))
    assert any(note.startswith("2 looks had no dividing") for note in question().answer(looks).notes)


@pytest.mark.parametrize(
    ("params", "where", "said"),
    [
        pytest.param({"below": 0.9}, "question.below", "over (0.9) before it begins", id="the wrong way round"),
        pytest.param({"objects": "cels"}, "question.objects", "did you mean 'cells'", id="no such readout"),
        pytest.param({"by": "treatment"}, "question.by", "no column 'treatment'", id="no such column"),
    ],
)
def test_what_cannot_be_asked_is_refused(params: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        question(**params)
    assert caught.value.problems[0].where == where
    assert said in caught.value.problems[0].message


# -- the bands --------------------------------------------------------------------------------------------------------


def test_the_exact_band_is_garwoods() -> None:
    assert poisson_interval(10, 1.0, 0.95) == pytest.approx((4.7954, 18.3904), abs=1e-4)
    assert poisson_interval(0, 2.0, 0.95) == pytest.approx((0.0, 1.8444), abs=1e-4)


@pytest.mark.parametrize(
    ("frailty", "wells", "hours", "least"),
    [
        pytest.param(0.0, 8, 5.0, 0.94, id="independent events"),
        pytest.param(0.5, 8, 5.0, 0.93, id="wells differ by half"),
        pytest.param(0.5, 24, 2.0, 0.93, id="many wells, few events each"),
        pytest.param(0.0, 4, 0.5, 0.94, id="very few events"),
    ],
)
def test_bands_hold_what_they_say_though_wells_differ(frailty: float, wells: int, hours: float, least: float) -> None:
    rng = np.random.default_rng(7101)
    hit = 0
    runs = 1000
    for _ in range(runs):
        true = np.ones(wells) if frailty == 0 else rng.gamma(1 / frailty**2, frailty**2, wells)
        counts = rng.poisson(true * hours)
        found = rate_of([int(n) for n in counts], [hours] * wells, 0.95)
        hit += found.low <= 1.0 <= found.high
    assert hit / runs >= least


def test_a_poisson_band_alone_would_be_too_narrow_where_wells_differ() -> None:
    """Why the well is the unit: events of one well come together more often than chance."""
    rng = np.random.default_rng(7102)
    hit = 0
    for _ in range(1000):
        counts = rng.poisson(rng.gamma(4.0, 0.25, 8) * 5.0)
        low, high = poisson_interval(int(counts.sum()), 40.0, 0.95)
        hit += low <= 1.0 <= high
    assert hit / 1000 < 0.85
