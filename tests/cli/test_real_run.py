"""The command line for real: a small virtual plate, from `run` to `replay`, with Ctrl-C and keys."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from phenoloop.cli.app import app

pytestmark = [
    pytest.mark.mm,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo terminals are POSIX"),
]

PROTOCOL = """\
protocol: 1
name: small
seed: 3
microscope: demo
simulation:
  kind: synthetic
  cells_per_field: 30
plate:
  format: 96-well
  wells: [A1:B3]
  fields: {kind: grid, rows: 2, columns: 2, spacing: 600 um}
imaging:
  objective: 20x
  channels:
    - {name: DNA, config: DAPI, exposure: 20 ms}
    - {name: GFP, config: FITC, exposure: 80 ms}
analysis:
  segment: {kind: threshold, channel: DNA, name: nuclei}
  spots: {name: vesicles, channel: GFP}
  readouts:
    vesicles: mean(vesicles.count)
question: {kind: mean, readout: vesicles}
policy: {kind: sweep, fields_per_visit: 1, wells_per_batch: 2}
fallback: {kind: sweep}
limits: {frames: 24, duration: 2 h, disk: 2 GB, light_per_field: 2 s}
"""
LONG = PROTOCOL.replace("A1:B3", "A1:H12").replace("frames: 24", "frames: 700")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "phenoloop", *map(str, arguments)]


def phenoloop(*arguments: object) -> Result:
    """A verb in this process: the same code, without the seconds that a new process takes."""
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="phenoloop")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "p.yaml").write_text(PROTOCOL, encoding="utf-8")
    return folder / "run", phenoloop("run", folder / "p.yaml", "--out", folder / "run", "--json")


def test_run_json(finished: tuple[Path, Result]) -> None:
    folder, ended = finished
    assert ended.exit_code == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report == json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (report["exit"], report["frames"], report["lost_frames"], report["visits"]) == ("budget", 24, 0, 12)
    assert [well["fields"] for well in report["wells"]] == [2] * 6
    assert all(well["readouts"]["vesicles"]["n"] == 2 for well in report["wells"])
    assert set(report["timing_ms"]) == {"acquire", "store", "segment", "measure", "decide", "image_to_decision"}
    assert all(entry["p50"] > 0 for entry in report["timing_ms"].values())
    assert sum("  visit " in line for line in ended.stderr.splitlines()) == 12
    assert "\x1b" not in ended.stderr


def test_the_log_tells_of_the_run(finished: tuple[Path, Result]) -> None:
    lines = [json.loads(line) for line in (finished[0] / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    said = [line["message"] for line in lines]
    begun = said.index("begun")
    segmenter = next(text for text in said[:begun] if text.startswith("segmenter: "))
    described = json.loads(segmenter.removeprefix("segmenter: "))
    assert described["frame_s"] > 0
    assert described["given_up_after_s"] >= 120  # on the virtual clock only what hangs is given up
    assert said[-1].startswith("ended at ")
    assert ", 24 frames (0 at a second try or later), 0 missing; 0 faults; " in said[-1]
    assert {line["level"] for line in lines} == {"info"}


def test_the_page_shows_stored_images(finished: tuple[Path, Result]) -> None:
    page = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp;base64,") == 12
    assert "http" not in page.replace("http-equiv", "")


def test_replay_and_report(finished: tuple[Path, Result]) -> None:
    folder, _ = finished
    assert phenoloop("replay", folder).stdout.startswith("all ")
    (folder / "report.html").unlink()
    assert phenoloop("report", folder).exit_code == 0
    assert (folder / "report.html").is_file()


def test_check_and_a_broken_protocol(tmp_path: Path) -> None:
    good, bad = tmp_path / "p.yaml", tmp_path / "bad.yaml"
    good.write_text(PROTOCOL, encoding="utf-8")
    bad.write_text(PROTOCOL.replace("exposure: 20 ms", "exposre: 20 ms"), encoding="utf-8")
    checked = phenoloop("check", good)
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert "24" in checked.stdout
    ended = phenoloop("run", bad, "--out", tmp_path / "run")
    assert ended.exit_code == 2
    assert "bad.yaml:15:" in ended.stderr
    assert "did you mean 'exposure'?" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_ctrl_c_closes_the_data_and_resume_goes_on(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LONG.replace("frames: 700", "frames: 120"), encoding="utf-8")
    folder = tmp_path / "run"
    started = subprocess.Popen(
        command("run", tmp_path / "p.yaml", "--out", folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert started.stdout is not None
    for line in started.stdout:
        if "  visit 3 " in line:
            break
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "stopped by Ctrl-C; all data are closed" in err
    assert f"Go on with: phenoloop resume {folder}" in err
    assert str(folder / "report.html") in out
    stopped = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (stopped["exit"], stopped["lost_frames"]) == ("stopped", 0)
    ended = phenoloop("resume", folder, "--json")
    assert ended.exit_code == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report["exit"] == "budget"
    assert report["frames"] > stopped["frames"] > 0
    assert report["budget"]["frames"]["used"] == report["frames"]
    # A stop between the two channels of a field leaves one frame of it; the one that is left pays for no other field.
    assert report["frames"] in (119, 120)
    assert phenoloop("replay", folder).exit_code == 0


class Terminal:
    """A run in a pseudo terminal."""

    def __init__(self, *arguments: object) -> None:
        self.screen = b""
        self._master, slave = os.openpty()
        self._process = subprocess.Popen(
            command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            start_new_session=True,
        )
        os.close(slave)

    def until(self, text: str) -> None:
        """Read until a text has been on the screen."""
        while text.encode() not in self.screen:
            assert self._more(), f"{text!r} was never shown:\n{self.screen.decode(errors='replace')}"

    def press(self, keys: str) -> None:
        self.screen = b""
        os.write(self._master, keys.encode())

    def interrupt(self) -> None:
        self.send(signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        """Take the terminal away, and wait until the program has ended."""
        os.close(self._master)
        self._process.wait(60)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._more():
            pass
        os.close(self._master)
        return self._process.wait(60)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 60)
        try:
            read = os.read(self._master, 65536) if ready else b""
        except OSError:  # how Linux says that the other end is closed
            read = b""
        self.screen += read
        return bool(read)


def test_keys_pause_and_stop_in_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LONG, encoding="utf-8")
    terminal = Terminal("run", tmp_path / "p.yaml", "--out", tmp_path / "run")
    terminal.until("p pause")
    terminal.press("p")
    terminal.until("p go on")
    terminal.press("p")
    terminal.until("p pause")
    terminal.press("q")
    terminal.until("Go on with: phenoloop resume")
    assert terminal.end() == 130
    assert json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["exit"] == "stopped"


def test_a_shutdown_closes_the_data(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LONG, encoding="utf-8")
    terminal = Terminal("run", tmp_path / "p.yaml", "--out", tmp_path / "run")
    terminal.until("p pause")
    terminal.send(signal.SIGTERM)
    terminal.until("stopped by a signal to end (SIGTERM); all data are closed")
    assert terminal.end() == 130
    assert json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["exit"] == "stopped"


def test_a_run_outlives_its_terminal(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL, encoding="utf-8")
    terminal = Terminal("run", tmp_path / "p.yaml", "--out", tmp_path / "run")
    terminal.until("p pause")
    terminal.send(signal.SIGHUP)  # what the system sends when the window is closed
    terminal.close()
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert (report["exit"], report["frames"], report["lost_frames"]) == ("budget", 24, 0)
    said = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8")
    assert "the terminal is gone; the run goes on without it" in said


def test_a_second_ctrl_c_leaves_at_once_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LONG, encoding="utf-8")
    folder = tmp_path / "run"
    terminal = Terminal("run", tmp_path / "p.yaml", "--out", folder)
    terminal.until("decision")
    terminal.until("p pause")
    terminal.interrupt()
    terminal.interrupt()
    terminal.interrupt()
    code = terminal.end()
    assert code == 130
    assert b"\x1b[?25h" in terminal.screen, "the cursor is shown again"
    assert phenoloop("report", folder).exit_code == 0
