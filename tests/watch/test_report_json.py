"""The shape and the arithmetic of report.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from phenoloop.model import (
    Message,
    MicroscopeFailed,
    MissingFrame,
    RunEnded,
    RunResumed,
    StopRequested,
    VisitEnded,
)
from phenoloop.watch.report_json import STEPS, ReportContent, build_report, percentiles, timings_of
from tests.watch.builders import CONTROLS, RunBuilder, make_content, make_plan, make_setup

NUMBER = (int, float)
UNLIMITED = (int, float, type(None))
SHAPE: dict[str, Any] = {
    "schema": str,
    "run": str,
    "protocol": str,
    "exit": str,
    "reason": str,
    "frames": int,
    "exposures": int,
    "visits": int,
    "fields": int,
    "objects": int,
    "decisions": int,
    "missing": int,
    "lost_frames": int,
    "faults": int,
    "possible_frames": int,
    "duration_s": float,
    "wells": list,
    "quality": {
        "ok": int,
        "rejected": int,
        "failed": int,
        "late": int,
        "reasons": dict,
        "p_same_in_all_groups": (float, type(None)),
    },
    "timing_ms": {step: {"p50": NUMBER, "p95": NUMBER, "p99": NUMBER} for step in STEPS},
    "budget": {
        "frames": {"used": int, "limit": int, "left": int},
        "duration_s": {"used": float, "limit": NUMBER, "left": NUMBER},
        "disk_bytes": {"used": int, "limit": NUMBER, "left": NUMBER},
        "light_s": {"used": float, "limit": float, "left": float, "total": float},
        "frames_per_well": {"used": int, "limit": UNLIMITED, "left": UNLIMITED},
        "revisits_per_field": {"used": int, "limit": UNLIMITED, "left": UNLIMITED},
        "objective_changes": {"used": int, "limit": UNLIMITED, "left": UNLIMITED, "total": int},
    },
    "metered": list,
    "policy": {"kind": str, "parameters": dict, "believes": dict},
    "question": {"kind": str, "parameters": dict},
    "summary": dict,
    "time_lapse": (dict, type(None)),
    "notes": list,
    "provenance": dict,
}
WELL: dict[str, Any] = {
    "well": str,
    "control": bool,
    "fields": int,
    "frames": int,
    "visits": int,
    "rejected": int,
    "objects": int,
    "call": (str, type(None)),
    "evidence": (float, type(None)),
    "rank": (int, type(None)),
    "effect": (dict, type(None)),
    "readouts": dict,
}
READOUT = {"mean", "low", "high", "n", "level", "kind", "unit", "valid_when_peeking"}


def assert_shape(value: Any, shape: Any, where: str) -> None:
    if isinstance(shape, dict):
        assert list(value) == list(shape), where
        for key, inner in shape.items():
            assert_shape(value[key], inner, f"{where}.{key}")
    else:
        assert isinstance(value, shape), f"{where}: {value!r} is no {shape}"


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="module")
def report(content: ReportContent) -> dict[str, Any]:
    return build_report(content)


def test_shape(report: dict[str, Any]) -> None:
    assert_shape(report, SHAPE, "report")
    assert [well["well"] for well in report["wells"]] == [well.name for well in make_plan().wells]
    for well in report["wells"]:
        assert_shape(well, WELL, well["well"])
        assert set(well["readouts"]) == {"vesicles", "cells"}
        for entry in well["readouts"].values():
            assert set(entry) == READOUT


def test_it_is_json_that_reads_back_equal(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_counts_agree_with_one_another(report: dict[str, Any], content: ReportContent) -> None:
    visits = [message for message in content.messages if isinstance(message, VisitEnded)]
    assert report["visits"] == len(visits) == sum(well["visits"] for well in report["wells"])
    assert report["frames"] == sum(well["frames"] for well in report["wells"]) == content.stored_on_disk
    assert report["fields"] == sum(well["fields"] for well in report["wells"])
    assert report["budget"]["frames"]["used"] == report["frames"], "a frame that was never exposed costs nothing"
    quality = report["quality"]
    assert quality["rejected"] == sum(quality["reasons"].values())
    assert sum(well["rejected"] for well in report["wells"]) == quality["rejected"] + quality["late"]
    assert report["missing"] == 1
    assert report["faults"] == 3
    assert quality["late"] == 1


def test_intervals_come_from_the_question_and_only_for_its_readout(
    report: dict[str, Any], content: ReportContent
) -> None:
    assert content.answer is not None
    for well in report["wells"]:
        interval = content.answer.wells[well["well"]].interval
        asked, other = well["readouts"]["vesicles"], well["readouts"]["cells"]
        assert (asked["low"], asked["high"]) == ((interval.low, interval.high) if interval else (None, None))
        assert (other["low"], other["high"], other["kind"]) == (None, None, None)
        assert other["n"] == well["fields"]
        assert well["control"] == (well["well"] in CONTROLS)


def test_without_a_question_nothing_is_claimed() -> None:
    report = build_report(make_content(question=False))
    assert report["question"] is None
    assert report["notes"] == []
    for well in report["wells"]:
        assert (well["call"], well["evidence"], well["rank"]) == (None, None, None)
        for entry in well["readouts"].values():
            assert entry["low"] is entry["high"] is entry["level"] is None
            assert (entry["mean"] is None) == (entry["n"] == 0)


def _unchanged(content: ReportContent) -> ReportContent:
    return content


def _drop_end(content: ReportContent) -> ReportContent:
    return dataclasses.replace(content, messages=[m for m in content.messages if not isinstance(m, RunEnded)])


def _taken_up(content: ReportContent) -> ReportContent:
    return dataclasses.replace(content, messages=[*content.messages, RunResumed(at_s=60.0)])


def _lose(frames: int) -> Callable[[ReportContent], ReportContent]:
    return lambda content: dataclasses.replace(content, stored_on_disk=content.stored_on_disk - frames)


def _expose_the_missing(content: ReportContent) -> ReportContent:
    def exposed(message: Message) -> Message:
        if not isinstance(message, VisitEnded):
            return message
        missing = tuple(MissingFrame(address=gap.address, reason=gap.reason, exposed=True) for gap in message.missing)
        return dataclasses.replace(message, missing=missing)

    return dataclasses.replace(content, messages=[exposed(message) for message in content.messages])


def _microscope_fails(content: ReportContent) -> ReportContent:
    end = [MicroscopeFailed(at_s=60.0, reason="the camera hangs"), RunEnded(at_s=61.0, exit="failed", reason="x")]
    return dataclasses.replace(content, messages=[*content.messages[:-1], *end])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(_unchanged, {"exit": "completed", "lost_frames": 0, "faults": 3}, id="as it is"),
        pytest.param(_drop_end, {"exit": "incomplete"}, id="a journal without end"),
        pytest.param(_taken_up, {"exit": "incomplete"}, id="taken up again and not yet ended"),
        pytest.param(_lose(3), {"lost_frames": 3, "frames": 148}, id="three chunks are gone from the disk"),
        pytest.param(_lose(-2), {"lost_frames": 0, "frames": 151}, id="more on disk than listed is no loss"),
        pytest.param(
            _expose_the_missing,
            {"lost_frames": 1, "missing": 1, "budget.frames.used": 152},
            id="a missing frame was exposed",
        ),
        pytest.param(_microscope_fails, {"exit": "failed", "faults": 4, "duration_s": 61.0}, id="microscope fails"),
    ],
)
def test_what_went_wrong_shows(
    content: ReportContent, change: Callable[[ReportContent], ReportContent], expected: dict[str, Any]
) -> None:
    report = build_report(change(content))
    report["budget.frames.used"] = report["budget"]["frames"]["used"]
    assert {key: report[key] for key in expected} == expected


def test_a_run_that_never_began() -> None:
    plan = make_plan(frames=None)
    report = build_report(ReportContent(run="x", plan=plan, setup=make_setup(plan), messages=[], stored_on_disk=0))
    assert (report["exit"], report["frames"], report["decisions"]) == ("incomplete", 0, 0)
    assert report["budget"]["frames"] == {"used": 0, "limit": None, "left": None}
    assert report["timing_ms"]["acquire"] == {"p50": None, "p95": None, "p99": None}


def test_a_result_told_as_late_counts_no_more_when_it_comes() -> None:
    plan = make_plan()
    run = RunBuilder(plan)
    messages = list(make_content().messages)
    late = next(m for m in messages if type(m).__name__ == "MeasurementFailed")
    before = build_report(dataclasses.replace(make_content(), messages=messages))
    from phenoloop.model import Measured

    after = Measured(at_s=59.0, visit=late.visit, field=late.field, readouts={"vesicles": 99.0}, objects=1000)
    report = build_report(dataclasses.replace(make_content(), messages=[*messages[:-1], after, messages[-1]]))
    assert run.plan.wells
    assert report["quality"] == before["quality"]
    assert report["objects"] == before["objects"]


def test_a_field_stopped_before_its_measurement_counts_when_it_is_measured_later() -> None:
    from phenoloop.model import Measured, MeasurementFailed

    content = make_content()
    first = next(m for m in content.messages if isinstance(m, Measured))
    others = [m for m in content.messages if m is not first]
    stopped = MeasurementFailed(at_s=1.0, visit=first.visit, field=first.field, reason="stopped", kind="stopped")
    cut = dataclasses.replace(content, messages=[*others, stopped, StopRequested(at_s=1.0, reason="by a person")])
    again = dataclasses.replace(content, messages=[*cut.messages, RunResumed(at_s=1.0), first])
    assert build_report(cut)["quality"]["ok"] == build_report(content)["quality"]["ok"] - 1
    assert build_report(again)["quality"] == build_report(content)["quality"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], (None, None, None), id="none"),
        pytest.param([7.0], (7.0, 7.0, 7.0), id="one"),
        pytest.param([4.0, 1.0, 3.0, 2.0], (2.0, 4.0, 4.0), id="four, unsorted"),
        pytest.param([float(i) for i in range(1, 101)], (50.0, 95.0, 99.0), id="one to a hundred"),
    ],
)
def test_percentiles(values: list[float], expected: tuple[float | None, ...]) -> None:
    assert tuple(percentiles(values).values()) == expected


@pytest.mark.parametrize(
    ("wall", "step", "expected"),
    [
        pytest.param({"frames_ms": [10.0, 20.0], "acquire_ms": 99.0}, "acquire", [10.0, 20.0], id="per frame"),
        pytest.param({"acquire_ms": 40.0}, "acquire", [20.0], id="total over the frames"),
        pytest.param({"store_ms": 5}, "store", [5.0], id="store"),
        pytest.param({"decide": 0.5}, "decide", [0.5], id="decide"),
        pytest.param({"decide": None, "at": "12:00"}, "decide", [], id="what is no number is no timing"),
    ],
)
def test_timings_in_messages(wall: dict[str, Any], step: str, expected: list[float]) -> None:
    visit = next(m for m in make_content().messages if isinstance(m, VisitEnded) and len(m.frames) == 4)
    two = dataclasses.replace(visit, frames=visit.frames[:2], wall=wall)
    assert timings_of([two])[step] == expected


def test_timings_that_are_given_beside_the_messages(content: ReportContent) -> None:
    given = dataclasses.replace(content, messages=[], stored_on_disk=0, timings={"decide": [3.0, 1.0]})
    assert build_report(given)["timing_ms"]["decide"] == {"p50": 1.0, "p95": 3.0, "p99": 3.0}
