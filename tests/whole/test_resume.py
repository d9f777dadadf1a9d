"""A run that was killed, at any moment, goes on: nothing exposed twice, nothing that was taken is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.errors import UsageError
from phenoloop.model import Acquire, Decided, Measure, Measured, MeasurementFailed, VisitEnded
from phenoloop.storage.journal import read
from tests.whole.plates import write_protocol

pytestmark = pytest.mark.mm

KILLED = (
    "import sys; from pathlib import Path; from phenoloop import api; api.run(Path(sys.argv[1]), out=Path(sys.argv[2]))"
)


def killed_run(folder: Path, lines: int) -> Path:
    """Run in another process and kill it as soon as its journal has `lines` lines."""
    protocol, out = write_protocol(folder), folder / "run"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(protocol), str(out)])
    journal = out / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.005)
    process.kill()
    process.wait()
    return out


def check_whole(out: Path) -> None:
    """Every command has its one end, every slot was addressed once, frames on disk are those that are listed."""
    messages = read(out / "journal.jsonl").messages
    acquired = [m.visit.number for m in messages if isinstance(m, Acquire)]
    ended = [m.visit for m in messages if isinstance(m, VisitEnded)]
    assert sorted(acquired) == sorted(ended) == list(range(1, len(acquired) + 1))
    slots = Counter(
        (a.profile, a.well, a.image, a.t, a.c, a.z)
        for m in messages
        if isinstance(m, Acquire)
        for a in m.visit.frames()
    )
    assert max(slots.values()) == 1
    asked = Counter((m.visit, m.field) for m in messages if isinstance(m, Measure))
    got = Counter((m.visit, m.field) for m in messages if isinstance(m, Measured | MeasurementFailed))
    assert asked == got
    numbers = [m.decision for m in messages if isinstance(m, Decided)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("lines", [2, 12, 25, 40])
def test_killed_and_resumed(tmp_path: Path, lines: int) -> None:
    out = killed_run(tmp_path, lines)
    before = read(out / "journal.jsonl").messages
    result = api.resume(out)
    after = read(out / "journal.jsonl").messages
    assert after[: len(before)] == before
    assert result.exit_code == 0
    assert result.report["exit"] in ("completed", "budget")
    assert result.report["lost_frames"] == 0
    check_whole(out)
    assert api.replay(out).equal


def test_a_torn_last_line_is_cut(tmp_path: Path) -> None:
    out = killed_run(tmp_path, 15)
    journal = out / "journal.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data[: data.rindex(b"\n", 0, len(data) - 1) + 20])
    assert api.resume(out).exit_code == 0
    check_whole(out)


def test_a_complete_run_is_not_resumed(tmp_path: Path) -> None:
    result = api.run(write_protocol(tmp_path, frames=8), out=tmp_path / "run")
    with pytest.raises(UsageError, match="complete"):
        api.resume(result.folder.path)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    lives: list[api.LiveRun] = []
    out = tmp_path / "run"

    def stop_soon() -> None:
        if (out / "journal.jsonl").exists() and (out / "journal.jsonl").read_bytes().count(b"VisitEnded") > 2:
            lives[0].stop("test")

    first = api.run(write_protocol(tmp_path), out=out, on_start=lives.append, on_wait=stop_soon)
    assert first.exit_code == 130
    assert first.report["exit"] == "stopped"
    again = api.resume(out)
    assert again.exit_code == 0
    assert again.report["frames"] > first.report["frames"]
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["exit"] in ("completed", "budget")
    check_whole(out)


def test_a_run_that_died_before_it_wrote_that_it_ends_goes_on(tmp_path: Path) -> None:
    """The lines after the last input were lost: the run is taken up instead of being ended."""
    lives: list[api.LiveRun] = []
    out = tmp_path / "run"

    def stop_soon() -> None:
        if (out / "journal.jsonl").exists() and (out / "journal.jsonl").read_bytes().count(b"VisitEnded") > 2:
            lives[0].stop("test")

    stopped = api.run(write_protocol(tmp_path), out=out, on_start=lives.append, on_wait=stop_soon)
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"Finish"' in lines[-2]
    (out / "journal.jsonl").write_bytes(b"".join(lines[:-2]))
    again = api.resume(out)
    assert again.report["exit"] in ("completed", "budget")
    assert again.report["frames"] > stopped.report["frames"]
    check_whole(out)
    assert api.replay(out).equal
