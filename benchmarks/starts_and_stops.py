"""How quickly a run stops, in every state, and whether processes start and end without an abort.

Usage: ``python benchmarks/starts_and_stops.py [--starts 25] [--repeats 3]``
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaozarrs

from phenoloop import api
from phenoloop.model import RunEnded
from phenoloop.storage.journal import read

PROTOCOL = """protocol: 1
name: stopping
microscope: demo
{simulation}
plate: {{format: 96-well, wells: [A1:D6], fields: {{kind: grid, rows: 2, columns: 2, spacing: 600 um}}}}
imaging:
  objective: 20x
  channels:
    - {{name: DNA, config: DAPI, exposure: {exposure} ms}}
analysis: {{segment: {{kind: threshold, channel: DNA}}, readouts: {{cells: count()}}}}
policy: {{kind: sweep, fields_per_visit: 2, wells_per_batch: 4}}
fallback: {{kind: sweep}}
limits: {{frames: {frames}}}
"""
SYNTHETIC = "simulation: {kind: synthetic, cells_per_field: 30}"

Trigger = Callable[[api.LiveRun, float, int], bool]
"""(run, seconds since start, lines in its journal) -> whether to stop now."""


def when_lines(count: int) -> Trigger:
    """Stop once the journal has so many lines."""
    return lambda live, seconds, lines: lines >= count


def paused_for(pause_at: int, seconds: float) -> Trigger:
    """Pause at a line, stop some seconds later."""
    since: list[float] = []

    def trigger(live: api.LiveRun, now: float, lines: int) -> bool:
        if not since and lines >= pause_at:
            live.pause()
            since.append(now)
        return bool(since) and now - since[0] >= seconds

    return trigger


STATES: dict[str, tuple[str, float, int, Trigger]] = {
    "before the first visit": (SYNTHETIC, 20, 96, when_lines(0)),
    "while visits are taken and measured (virtual plate)": (SYNTHETIC, 20, 96, when_lines(30)),
    "while visits are taken in real time, 10 ms": ("", 10, 96, when_lines(20)),
    "in the middle of a 1.5 s exposure": ("", 1500, 96, when_lines(11)),
    "paused in the middle": ("", 100, 96, paused_for(14, 0.5)),
    "draining: everything was asked for": ("", 300, 16, when_lines(12)),
}


def stop_once(folder: Path, name: str) -> tuple[float, str]:
    """Run, stop, return the seconds from the call of stop to the end of the run, and the exit."""
    simulation, exposure, frames, trigger = STATES[name]
    protocol = folder / "protocol.yaml"
    protocol.write_text(PROTOCOL.format(simulation=simulation, exposure=exposure, frames=frames), encoding="utf-8")
    lives: list[api.LiveRun] = []
    begun: list[float] = []
    stopped: list[float] = []
    out = folder / "run"

    def on_start(live: api.LiveRun) -> None:
        lives.append(live)
        begun.append(time.perf_counter())
        live.signals.finished.connect(lambda ended: stopped.append(time.perf_counter()))
        watch()

    def watch() -> None:
        journal = out / "journal.jsonl"
        lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
        if len(begun) == 1 and trigger(lives[0], time.perf_counter() - begun[0], lines):
            begun.append(time.perf_counter())
            lives[0].stop("benchmark")

    result = api.run(protocol, out=out, on_start=on_start, on_wait=watch)
    ended = read(result.folder.journal).messages[-1]
    assert isinstance(ended, RunEnded)
    plate = out / "images" / "main.ome.zarr"
    if (plate / "zarr.json").is_file():
        yaozarrs.validate_zarr_store(str(plate))
    # A frame whose exposure outlasts the stop was exposed and is not stored; the report says so. Nothing else is lost.
    assert result.report["lost_frames"] <= (1 if exposure > 1000 else 0)
    return (stopped[0] - begun[1] if len(begun) > 1 else float("nan")), ended.exit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("seconds from stop to everything closed, median (max); exit")
    for name in STATES:
        seconds, exits = [], set()
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                took, how = stop_once(Path(folder), name)
                seconds.append(took)
                exits.add(how)
        print(f"  {name:54} {statistics.median(seconds):.2f} ({max(seconds):.2f})  {', '.join(sorted(exits))}")

    codes = []
    with tempfile.TemporaryDirectory() as folder:
        protocol = Path(folder) / "protocol.yaml"
        protocol.write_text(PROTOCOL.format(simulation=SYNTHETIC, exposure=20, frames=4), encoding="utf-8")
        for i in range(options.starts):
            command = [sys.executable, "-m", "phenoloop", "run", str(protocol), "--out", str(Path(folder) / f"run{i}")]
            codes.append(subprocess.run(command, capture_output=True, check=False).returncode)
    print(f"{options.starts} starts and ends of `phenoloop run`: exit codes {sorted(set(codes))}")


if __name__ == "__main__":
    main()
