"""The log of a run: short in a good run, and every fault, loss and slowness with its place."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from phenoloop.model import (
    Decided,
    Fault,
    FrameAddress,
    Measured,
    MeasurementFailed,
    MissingFrame,
    RunEnded,
    RunResumed,
    RunStarted,
    VisitEnded,
)
from phenoloop.runner import RunSignals
from phenoloop.runner.signals import SignalPump
from phenoloop.watch.diary import Diary
from tests.watch.builders import make_messages, make_plan

LOGGER = "phenoloop.watch.diary"
EQUIPMENT = {"camera": {"label": "Camera", "bit_depth": 16}, "segmenter": {"kind": "cellpose", "device": "cuda"}}
KINDS = {
    RunStarted: "started",
    RunResumed: "started",
    Decided: "decided",
    VisitEnded: "visit_ended",
    Measured: "measured",
    MeasurementFailed: "measured",
    RunEnded: "finished",
}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def diary(folder: Path, clock: Clock | None = None) -> Diary:
    return Diary(folder, clock or Clock())


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == LOGGER]


def measured(visit: int, ms: float, **wall: object) -> Measured:
    return Measured(at_s=0.0, visit=visit, field="0", wall={"segment": ms / 2, "measure": ms / 2, **wall})


def frame(channel: str) -> FrameAddress:
    return FrameAddress(
        visit=7,
        well="A1",
        profile="main",
        field="0",
        t=0,
        z=0,
        image=0,
        c=0 if channel == "DNA" else 1,
        channel=channel,
    )


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)


def test_a_whole_run_as_its_watchers_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    messages = make_messages(make_plan())
    signals = RunSignals()
    book = diary(tmp_path)
    book.watch(signals)
    pump = SignalPump(signals)
    for message in messages:
        if type(message) in KINDS:
            pump.post(KINDS[type(message)], message)
            for fault in message.faults if isinstance(message, VisitEnded) else ():
                pump.post("fault", fault)
    assert pump.close()
    assert pump.failed == 0
    said = lines(caplog)
    assert said[0] == ("INFO", "begun")
    frames = sum(len(message.frames) for message in messages if isinstance(message, VisitEnded))
    missing = sum(len(message.missing) for message in messages if isinstance(message, VisitEnded))
    faults = sum(len(message.faults) for message in messages if isinstance(message, VisitEnded))
    level, end = said[-1]
    assert level == "INFO"
    assert end.startswith("ended at ")
    assert f", {frames} frames " in end
    assert f" {missing} missing" in end
    assert f"; {faults} faults;" in end
    assert end.count("GB free on the disk") == 1
    assert sum(" refused" in text for _, text in said) == faults
    late = next(m for m in messages if isinstance(m, MeasurementFailed))
    assert any(text.startswith(f"visit {late.visit}, ") and late.reason in text for _, text in said)


@pytest.mark.parametrize(
    ("tell", "level", "said"),
    [
        pytest.param(
            lambda d: d.started(RunStarted(at_s=0.0, wall={"equipment": EQUIPMENT})),
            "INFO",
            'segmenter: {"kind": "cellpose", "device": "cuda"}',
            id="what-it-runs-with",
        ),
        pytest.param(
            lambda d: d.started(RunResumed(at_s=3725.4)), "INFO", "taken up again at 1:02:05 on the", id="resumed"
        ),
        pytest.param(
            lambda d: d.fault(Fault(call="setXYPosition", message="no", attempt=2, field="3", channel="DNA")),
            "WARNING",
            "setXYPosition refused in field 3, DNA (attempt 2): no",
            id="fault",
        ),
        pytest.param(
            lambda d: d.visit_ended(
                VisitEnded(
                    at_s=1.0,
                    visit=7,
                    missing=tuple(MissingFrame(address=frame(c), reason="it jams") for c in ("DNA", "GFP")),
                )
            ),
            "WARNING",
            "visit 7: 2 frames missing: it jams",
            id="missing-frames-in-one-line",
        ),
        pytest.param(
            lambda d: d.measured(measured(4, 20, notes=["out of memory with 8 tiles at a time on cuda"])),
            "WARNING",
            "visit 4, field 0: out of memory with 8",
            id="what-the-machinery-went-through",
        ),
        pytest.param(
            lambda d: d.measured(MeasurementFailed(at_s=0.0, visit=4, field="2", reason="it died", kind="failed")),
            "WARNING",
            "visit 4, field 2: not analysed (failed): it died",
            id="no-result",
        ),
        pytest.param(lambda d: d.pause_changed(True), "INFO", "paused", id="pause"),
        pytest.param(
            lambda d: d.finished(RunEnded(at_s=9.0, exit="failed", reason="the camera is gone")),
            "WARNING",
            "ended at 0:00:09 (failed: the camera is gone): 0 decisions",
            id="a-bad-end-is-a-warning",
        ),
    ],
)
def test_lines(tell: object, level: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(tell)
    tell(diary(tmp_path))
    assert any(found == level and text.startswith(said) for found, text in lines(caplog)), lines(caplog)


def test_slow_is_against_what_is_usual(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = diary(tmp_path)
    for visit in range(101):
        book.measured(measured(visit, 400.0 if visit else 60_000.0))  # the first one is no yardstick yet
    book.measured(measured(101, 1900.0))  # under five times
    assert lines(caplog) == []
    book.measured(measured(102, 2500.0))
    ((level, text),) = lines(caplog)
    assert (level, text) == ("WARNING", "visit 102, field 0: the analysis took 2.5 s, usually 400 ms")


def test_a_quick_analysis_may_vary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = diary(tmp_path)
    for visit in range(150):
        book.measured(measured(visit, 900.0 if visit % 50 == 49 else 30.0))
    assert lines(caplog) == []


def test_now_and_then_it_says_how_far_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    book = diary(tmp_path, clock)
    for visit in range(1, 101):
        clock.now_s += 60.0
        book.visit_ended(VisitEnded(at_s=60.0 * visit, visit=visit))
    said = [text for _, text in lines(caplog)]
    assert len(said) == 6  # a quarter of an hour each
    assert said[0].startswith("at 0:15:00 on the run's clock: 0 decisions, 15 visits, 0 frames")
