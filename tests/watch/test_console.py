"""Live view and plain lines: what they show, which keys they act on, and that no console can break them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from phenoloop.model import (
    Answer,
    Answered,
    Confirm,
    Decided,
    Fault,
    FieldReadout,
    Measured,
    MeasurementFailed,
    Message,
    RunEnded,
    RunStarted,
    VisitEnded,
)
from phenoloop.runner.signals import RunSignals
from phenoloop.watch.console import STOPPED_BY_KEY, LiveView, open_view
from phenoloop.watch.feed import Feed
from phenoloop.watch.keys import KeyReader
from phenoloop.watch.plain import PlainView, encodable
from tests.watch.builders import make_answer, make_messages, make_plan, make_setup

SIGNAL = {
    RunStarted: "started",
    Decided: "decided",
    VisitEnded: "visit_ended",
    Measured: "measured",
    MeasurementFailed: "measured",
    RunEnded: "finished",
}


class FakeRun:
    """A run at the boundary of a view: real signals, and what was asked of it."""

    def __init__(self, *, wells: tuple[int, int] = (4, 6)) -> None:
        self.signals = RunSignals()
        self.plan = make_plan(rows=wells[0], columns=wells[1])
        self.setup = make_setup(self.plan)
        self.folder = SimpleNamespace(path=Path("runs/x"))
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")
        self.signals["pause_changed"].emit(True)

    def resume(self) -> None:
        self.asked.append("resume")
        self.signals["pause_changed"].emit(False)

    def stop(self, reason: str) -> None:
        self.asked.append(f"stop: {reason}")

    def answer(self, answer: str) -> bool:
        self.asked.append(f"answer: {answer}")
        return True

    def ask(self, messages: list[Message], *, within_s: float | None = 60.0) -> Confirm:
        """Ask about the first decision of a run."""
        decided = next(message for message in messages if isinstance(message, Decided))
        about = tuple(made.visit for made in decided.proposals)
        otherwise = None if within_s is None else "skip"
        asked = Confirm(at_s=0.0, proposed=decided, about=about, within_s=within_s, otherwise=otherwise)
        self.signals.question.emit(asked)
        return asked

    def play(self, messages: list[Message]) -> None:
        for message in messages:
            if name := SIGNAL.get(type(message)):
                self.signals[name].emit(message)
            for fault in getattr(message, "faults", ()):
                self.signals.fault.emit(fault)


class FakeQuestion:
    """Answers with what the builders say of the whole run, and counts how often it is asked."""

    def __init__(self, run: FakeRun) -> None:
        self._said = make_answer(run.plan, make_messages(run.plan))
        self.fields: list[int] = []

    def answer(self, fields: list[FieldReadout]) -> Answer:
        self.fields.append(len(fields))
        return self._said


def terminal(width: int = 120, *, colour: bool = True) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=50, color_system="truecolor" if colour else None
    )


def text_of(view: LiveView, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, height=60)
    console.print(view.draw())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [pytest.param(120, id="wide"), pytest.param(70, id="narrow")])
def test_live_view_shows_the_run(width: int) -> None:
    run = FakeRun()
    view = LiveView(terminal(width), keys=False)
    view.attach(run, question=FakeQuestion(run))
    run.play(make_messages(run.plan)[:-1])
    text = " ".join(text_of(view, width).split())
    for part in (
        "find-vesicle-wells running",
        "151 of 400 budget, 38 visits",
        "24 of 24 seen",
        "of 2 h 00 min",
        "Last decisions",
        "likely to change a call",
        "stop: no further image would change a call",
        "Faults (3)",
        "setXYPosition, attempt 1: stage did not arrive within 20 s",
        "1 frame missing",
        "vesicles 1.01 to 8.09, c control",
    ):
        assert part in text, part
    view.close()


def test_calls_and_controls_are_signs_on_the_plate() -> None:
    run = FakeRun()
    view = LiveView(terminal(), keys=False)
    question = FakeQuestion(run)
    view.attach(run, question=question)
    run.play(make_messages(run.plan))
    rows = {
        line.split()[0]: line.split()[1:7]
        for line in text_of(view).splitlines()
        if line.startswith(" ") and line[1:2] in "ABCD" and line[2:3] == " "
    }
    assert rows["B"][1] == "H"
    assert rows["A"][0] == rows["A"][5] == "c"
    assert rows["B"][4] == "-"
    asked = len(question.fields)
    text_of(view)
    assert len(question.fields) == asked, "the question is asked again only when there is a new result"
    view.close()


def test_without_colour_the_plate_has_digits() -> None:
    run = FakeRun()
    view = LiveView(terminal(colour=False), keys=False)
    view.attach(run)
    run.play(make_messages(run.plan))
    line = next(line for line in text_of(view).splitlines() if line.startswith(" B "))
    assert line.split()[2] == "9"
    view.close()


@pytest.mark.parametrize(
    ("wells", "shown"),
    [pytest.param((16, 24), "384 seen", id="384 wells"), pytest.param((32, 48), "1536 seen", id="1536 wells")],
)
def test_large_plates_fit(wells: tuple[int, int], shown: str) -> None:
    run = FakeRun(wells=wells)
    view = LiveView(terminal(80), keys=False)
    view.attach(run)
    text = text_of(view, 80)
    assert shown in text
    assert max(len(line) for line in text.splitlines()) <= 80
    view.close()


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        pytest.param("p", ["pause"], id="pause"),
        pytest.param("pp", ["pause", "resume"], id="pause and go on"),
        pytest.param("q", [f"stop: {STOPPED_BY_KEY}"], id="q stops"),
        pytest.param("sS", [f"stop: {STOPPED_BY_KEY}"], id="stopped once"),
        pytest.param("x\n", [], id="other keys do nothing"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals are POSIX")
def test_keys(keys: str, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pseudo_terminal(monkeypatch) as type_keys:
        run = FakeRun()
        view = LiveView(terminal())
        view.attach(run)
        assert "p pause" in text_of(view)
        assert "q stop" in text_of(view)
        type_keys(keys + "z")
        reader = view._keys
        assert reader is not None
        pressed: list[str] = []
        while "z" not in pressed:
            pressed += reader.take()
        reader._pressed.put(pressed[0])
        for key in pressed[1:]:
            reader._pressed.put(key)
        view.refresh()
        assert run.asked == asked
        view.close()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals are POSIX")
def test_the_terminal_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import termios

    with pseudo_terminal(monkeypatch):
        before = termios.tcgetattr(sys.stdin.fileno())
        reader = KeyReader()
        during = termios.tcgetattr(sys.stdin.fileno())
        reader.close()
        reader.close()
        assert during[3] != before[3]
        assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("p"))
    reader = KeyReader()
    assert not reader.available
    assert reader.take() == []
    reader.close()


class pseudo_terminal:
    """Standard input is a pseudo terminal inside; gives a function that types."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __enter__(self) -> Callable[[str], int]:
        self._master, slave = os.openpty()
        self._stream = os.fdopen(slave, "r")
        self._monkeypatch.setattr(sys, "stdin", self._stream)
        return lambda keys: os.write(self._master, keys.encode())

    def __exit__(self, *exception: object) -> None:
        self._stream.close()
        os.close(self._master)


def test_plain_lines_are_one_per_event_without_control_codes() -> None:
    run, stream = FakeRun(), io.StringIO()
    view = open_view(stream)
    assert isinstance(view, PlainView)
    view.attach(run)
    messages = make_messages(run.plan)
    run.play(messages)
    run.pause()
    view.refresh()
    view.close()
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert sum(" decision " in line for line in lines) == sum(isinstance(m, Decided) for m in messages)
    assert sum(" visit " in line for line in lines) == sum(isinstance(m, VisitEnded) for m in messages)
    for part in (
        "0 s  started: 24 wells",
        "decision 1: A1, A6, B4, C2, D1 and D5 - controls first: A control well without images",
        "visit 1 A1 fields 0, 1: 4 frames stored",
        "3 frames stored, 1 missing (camera: no image within 20 s (3 attempts))",
        "rejected: too few objects (at least 10)",
        "late: no result within 10 s",
        "fault in snapImage, attempt 3: no image within 20 s",
        "denied C6: all 9 fields of C6 were imaged",
        "completed: no further image would change a call",
        "paused",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        pytest.param("utf-8", "5 µm – ≥ 3", "5 µm – ≥ 3", id="utf-8"),
        pytest.param("cp1252", "5 µm – 3", "5 µm – 3", id="cp1252 has these"),
        pytest.param("cp1252", "≥ 3 – β", ">= 3 - ?", id="cp1252 lacks these"),
        pytest.param("ascii", "· …", ". ...", id="ascii"),
        pytest.param(None, "µ", "u", id="unknown"),
    ],
)
def test_encodable(encoding: str | None, text: str, expected: str) -> None:
    assert encodable(text, encoding) == expected


@pytest.mark.parametrize("encoding", [pytest.param("cp1252", id="cp1252"), pytest.param("ascii", id="ascii")])
def test_a_narrow_console_is_no_reason_to_crash(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    run = FakeRun()
    console = Console(file=stream, force_terminal=True, width=100, height=50, legacy_windows=False)
    view = LiveView(console, keys=False)
    view.attach(run)
    run.play(make_messages(run.plan))
    run.signals.fault.emit(Fault(call="β-stage", message="≥ 3 µm off", attempt=1))
    view.refresh()
    view.close()
    stream.flush()
    assert "find-vesicle-wells" in raw.getvalue().decode(encoding)


def test_a_resumed_run_is_shown_with_its_history() -> None:
    run = FakeRun()
    messages = make_messages(run.plan)
    feed = Feed(run, messages[:60])
    before = feed.tally.listed
    assert before > 0
    assert feed.decisions
    run.play(messages[60:])
    whole = Feed(FakeRun(), messages).tally
    assert (feed.tally.listed, feed.tally.accepted_fields) == (whole.listed, whole.accepted_fields)


def test_time_left_is_told_at_the_speed_so_far() -> None:
    run, now = FakeRun(), [100.0]
    feed = Feed(run, clock=lambda: now[0])
    assert feed.left_s() is None
    run.play(make_messages(run.plan)[:-1])
    now[0] = 110.0
    left = (400 - 151) * 10 / 151
    assert feed.left_s() == pytest.approx(left)
    assert feed.elapsed_s == 10.0


@pytest.mark.parametrize(
    ("within_s", "default"),
    [
        pytest.param(60.0, "without an answer it is skipped in", id="with a default"),
        pytest.param(None, "c control", id="no end"),
    ],
)
def test_a_batch_that_waits_is_shown_with_its_reasons(within_s: float | None, default: str) -> None:
    run = FakeRun()
    view = LiveView(terminal(), keys=False)
    view.attach(run)
    messages = make_messages(run.plan)
    run.play(messages[:-1])
    asked = run.ask(messages, within_s=within_s)
    text = text_of(view)
    for part in ("waiting for you", "Decision 1 of hits waits for you: 6 visits, 12 fields", "controls first", default):
        assert part in text, part
    run.signals.answered.emit(Answered(at_s=0.0, decision=asked.proposed.decision, answer="go", by="a person"))
    assert "waits for you" not in text_of(view)
    view.close()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals are POSIX")
@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        pytest.param("y", ["answer: go"], id="go"),
        pytest.param("N", ["answer: skip"], id="veto"),
        pytest.param("q", [f"stop: {STOPPED_BY_KEY}"], id="stop"),
    ],
)
def test_keys_answer_a_batch_that_waits(keys: str, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pseudo_terminal(monkeypatch):
        run = FakeRun()
        view = LiveView(terminal())
        assert view.attended
        view.attach(run)
        reader = view._keys
        assert reader is not None
        reader._pressed.put("y")  # nothing waits yet
        view.refresh()
        run.ask(make_messages(run.plan))
        assert "y go   n veto these wells" in text_of(view)
        reader._pressed.put(keys)
        view.refresh()
        assert run.asked == asked
        view.close()
