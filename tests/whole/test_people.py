"""A person at the terminal: what is typed changes what is imaged, and the journal alone says so again."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from phenoloop import api
from phenoloop.errors import UsageError
from phenoloop.model import Acquire, Answered, Confirm, Decided, ExposuresSet, Meter, MeteringFailed
from phenoloop.storage.journal import read
from tests.whole.plates import SWEEP, write_protocol

pytestmark = pytest.mark.mm

posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals are POSIX")


class Terminal:
    """The command line in a pseudo terminal of 110 x 45."""

    def __init__(self, *arguments: str) -> None:
        import fcntl
        import struct
        import termios

        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 110, 0, 0))
        command = [sys.executable, "-m", "phenoloop", *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "45"}
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True, start_new_session=True
        )
        os.close(slave)
        self.text = ""

    def wait_for(self, said: str, *, timeout_s: float = 90.0) -> None:
        """Read what is drawn until it holds a text."""
        deadline = time.monotonic() + timeout_s
        while said not in self.text:
            assert time.monotonic() < deadline, f"{said!r} was not drawn; the last was {self.text[-2000:]!r}"
            assert self._read() or self.process.poll() is None, self.text[-2000:]

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def end(self, *, timeout_s: float = 90.0) -> int:
        """Read until the program has ended; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            self._read()
            assert time.monotonic() < deadline, self.text[-2000:]
        return self.process.returncode

    def close(self) -> None:
        """End the program if it has not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if not ready:
            return False
        try:
            self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            return False
        return True


def visited(out: Path) -> list[str]:
    messages = read(out / "journal.jsonl").messages
    return [message.visit.well for message in messages if isinstance(message, Acquire)]


def protocol(folder: Path, autonomy: str, *, frames: int = 24, exposure: str = "80 ms") -> Path:
    path = write_protocol(folder, policy=SWEEP, frames=frames, more=f"autonomy: {autonomy}\n")
    path.write_text(path.read_text(encoding="utf-8").replace("exposure: 80 ms", f"exposure: {exposure}"), "utf-8")
    return path


@posix
def test_approve_and_veto_change_what_is_imaged(tmp_path: Path) -> None:
    alone = api.run(protocol(tmp_path / "alone", "unattended"), out=tmp_path / "a").folder.path
    terminal = Terminal("run", str(protocol(tmp_path / "asked", "confirm")), "--out", str(tmp_path / "b"))
    try:
        terminal.wait_for("Decision 1 of sweep waits for you")
        terminal.type("y")
        terminal.wait_for("Decision 2 of sweep waits for you")
        terminal.type("n")
        terminal.wait_for("Decision 3 of sweep waits for you")
        terminal.type("y")
        assert terminal.end() == 0, terminal.text[-2000:]
    finally:
        terminal.close()
    assert "y go" in terminal.text
    assert sorted(visited(alone)) == ["A1", "A2", "A3", "A4", "B1", "B2"]
    assert sorted(visited(tmp_path / "b")) == ["A1", "A2", "A3", "B3", "B4", "C1"]
    messages = read(tmp_path / "b" / "journal.jsonl").messages
    answers = [(m.answer, m.by, m.judged) for m in messages if isinstance(m, Answered)]
    person = "a person at the terminal"
    assert answers == [("go", person, True), ("skip", person, True), ("go", person, True)]
    refused = next(m for m in messages if isinstance(m, Decided) and m.decision == 2)
    assert {made.verdict for made in refused.proposals} == {f"vetoed by {person}"}
    assert api.replay(tmp_path / "b").equal
    assert api.report(tmp_path / "b").report["frames"] == 24


@posix
def test_a_veto_in_time_and_none_in_time(tmp_path: Path) -> None:
    path = protocol(tmp_path / "p", "{level: veto, within: 4 s}", frames=24)
    terminal = Terminal("run", str(path), "--out", str(tmp_path / "run"))
    try:
        terminal.wait_for("Decision 1 of sweep waits for you")
        terminal.type("n")
        assert terminal.end() == 0, terminal.text[-2000:]
    finally:
        terminal.close()
    assert sorted(visited(tmp_path / "run")) == ["A4", "B1", "B2", "B3", "B4", "C1"]
    messages = read(tmp_path / "run" / "journal.jsonl").messages
    answers = [(m.answer, m.judged) for m in messages if isinstance(m, Answered)]
    assert answers == [("skip", True), ("go", False), ("go", False)]
    assert api.replay(tmp_path / "run").equal


DEFAULTS = [
    pytest.param("go", "budget", 0, 6, id="go"),
    pytest.param("skip", "completed", 0, 0, id="skip"),
    pytest.param("stop", "stopped", 130, 0, id="stop"),
]


@pytest.mark.parametrize(("otherwise", "exit", "code", "visits"), DEFAULTS)
def test_without_a_terminal_the_declared_default_counts(
    tmp_path: Path, otherwise: str, exit: str, code: int, visits: int
) -> None:
    path = protocol(tmp_path / "p", f"{{level: confirm, within: 300 ms, otherwise: {otherwise}}}")
    command = [sys.executable, "-m", "phenoloop", "run", str(path), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Decision 1 of sweep waits for you: 3 visits, 6 fields (A1, A2 and A3" in done.stdout
    assert "nobody answered within 0.3 s" in done.stdout
    assert len(visited(tmp_path / "run")) == visits
    assert api.report(tmp_path / "run").report["exit"] == exit
    assert api.replay(tmp_path / "run").equal


def test_confirm_without_a_default_needs_a_terminal(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="otherwise: skip"):
        api.run(protocol(tmp_path / "p", "confirm"), out=tmp_path / "run")
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_a_question_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    lives: list[api.LiveRun] = []
    out = tmp_path / "run"

    def cut() -> None:
        if (out / "journal.jsonl").exists() and b'"Confirm"' in (out / "journal.jsonl").read_bytes():
            lives[0].stop("test")

    first = api.run(protocol(tmp_path / "p", "confirm"), out=out, on_start=lives.append, on_wait=cut, attended=True)
    assert (first.report["exit"], visited(out)) == ("stopped", [])
    # As after a power cut: the journal ends with the question.
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if b'"Confirm"' in line) + 1
    (out / "journal.jsonl").write_bytes(b"".join(lines[:end]))

    def say_yes() -> None:
        lives[-1].answer("go", "a test")

    again = api.resume(out, on_start=lives.append, on_wait=say_yes, attended=True)
    assert again.report["exit"] == "budget"
    messages = read(out / "journal.jsonl").messages
    asked = [m.proposed.decision for m in messages if isinstance(m, Confirm)]
    assert asked == [m.decision for m in messages if isinstance(m, Answered)] == sorted(set(asked))
    assert api.replay(out).equal


def test_in_the_shadow_the_fallback_acts(tmp_path: Path) -> None:
    path = write_protocol(tmp_path / "p", frames=24, more="autonomy: shadow\n")
    out = api.run(path, out=tmp_path / "run").folder.path
    decisions = [m for m in read(out / "journal.jsonl").messages if isinstance(m, Decided)]
    assert {decided.policy for decided in decisions} == {"sweep"}
    shadows = [decided.shadow for decided in decisions if decided.shadow is not None]
    assert {shadow.policy for shadow in shadows} == {"hits"}
    wished = {made.well for shadow in shadows for made in shadow.proposals if made.verdict == "would be accepted"}
    assert "A4" not in {made.well for made in shadows[0].proposals}, "hits begins with the controls"
    assert "A4" in visited(out)[:4], "the sweep goes in plate order"
    assert wished
    assert api.replay(out).equal
    assert "hits would have gone to" in (out / "report.html").read_text(encoding="utf-8")


def test_exposures_are_metered_once_and_kept(tmp_path: Path) -> None:
    path = protocol(tmp_path / "p", "unattended", frames=96, exposure="{auto: 1 %, max: 400 ms}")
    lives: list[api.LiveRun] = []
    out = tmp_path / "run"

    def stop_soon() -> None:
        if (out / "journal.jsonl").exists() and (out / "journal.jsonl").read_bytes().count(b"VisitEnded") > 2:
            lives[0].stop("test")

    api.run(path, out=out, on_start=lives.append, on_wait=stop_soon)
    result = api.resume(out)
    messages: list[Any] = list(read(out / "journal.jsonl").messages)
    assert [type(m) for m in messages if isinstance(m, Meter | ExposuresSet | MeteringFailed)] == [Meter, ExposuresSet]
    (found,) = next(m for m in messages if isinstance(m, ExposuresSet)).channels
    assert found.channel == "GFP"
    assert 4 < found.exposure_ms < 400
    taken = {f.exposure_ms for m in messages for f in getattr(m, "frames", ()) if f.address.channel == "GFP"}
    assert taken == {found.exposure_ms}
    report = result.report
    assert report["metered"][0]["exposure_ms"] == found.exposure_ms
    assert report["budget"]["light_s"]["used"] > found.exposure_ms / 1000 + 0.02, "metering is light too"
    assert api.replay(out).equal


def test_a_plate_without_light_is_refused_before_the_first_decision(tmp_path: Path) -> None:
    path = protocol(tmp_path / "p", "unattended", exposure="{auto: 60 %, max: 4 ms}")
    text = path.read_text(encoding="utf-8").replace("cells_per_field: 20", "cells_per_field: 0")
    path.write_text(text, encoding="utf-8")
    result = api.run(path, out=tmp_path / "run")
    assert (result.report["exit"], result.report["frames"], result.exit_code) == ("failed", 0, 1)
    assert "no exposure was found for GFP" in result.report["reason"]
    assert result.report["exposures"] > 0
    assert api.replay(tmp_path / "run").equal
