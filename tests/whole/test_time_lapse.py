"""Time-lapses through the whole stack: the real core, analysis and disk; waits that are stopped, held, killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phenoloop import api
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Acquire, Message, VisitEnded
from phenoloop.plugins import Registry
from phenoloop.ports import View
from phenoloop.protocol import load, shared_folder
from phenoloop.storage.images import RunImages
from phenoloop.storage.journal import read
from tests.decisions.time_lapses import looks
from tests.whole.test_resume import KILLED

pytestmark = pytest.mark.mm

VIRTUAL = """protocol: 1
name: lapse
seed: 5
microscope: demo
simulation: {kind: synthetic, cells_per_field: 12, width: 192, height: 192, {more}}
plate: {format: 96-well, wells: [A1:A2], fields: {kind: grid, rows: 1, columns: 2, spacing: 600 um}}
imaging:
  objective: 20x
  every: 5 min
  for: 30 min
  channels:
    - {name: DNA, config: DAPI, exposure: 20 ms}
    - {name: GFP, config: FITC, exposure: 80 ms, acquire_every: 3}
analysis:
  segment: {kind: threshold, channel: DNA, name: nuclei}
  spots: {name: vesicles, channel: GFP}
  readouts: {cells: count(), gfp: mean(GFP.mean), vesicles: mean(vesicles.count)}
policy: {kind: sweep, fields_per_visit: 2, wells_per_batch: 2}
"""
REAL = """protocol: 1
name: lapse
microscope: demo
plate: {format: 96-well, wells: [A1:A2]}
imaging:
  every: {every}
  for: {length}
  channels: [{name: DNA, config: DAPI, exposure: 5 ms}]
policy: {kind: sweep, wells_per_batch: 1, in_flight: 2}
"""
"""On the demo stand's own clock, the wall's, without an analysis."""


def virtual(folder: Path, more: str = "") -> Path:
    path = folder / "lapse.yaml"
    path.write_text(VIRTUAL.replace(", {more}", f", {more}" if more else ""), encoding="utf-8")
    return path


def real(folder: Path, every: str, length: str) -> Path:
    path = folder / "lapse.yaml"
    path.write_text(REAL.replace("{every}", every).replace("{length}", length), encoding="utf-8")
    return path


def messages_of(result: api.RunResult) -> list[Message]:
    return list(read(result.folder.journal).messages)


# -- the virtual clock ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lapse(tmp_path_factory: pytest.TempPathFactory) -> api.RunResult:
    folder = tmp_path_factory.mktemp("lapse")
    return api.run(virtual(folder), out=folder / "run")


def test_every_field_is_looked_at_on_its_beat(lapse: api.RunResult) -> None:
    found = looks(messages_of(lapse))
    assert len(found) == 4
    for times in found.values():
        assert np.diff(times) == pytest.approx([300.0] * 6, abs=2.0)
    assert lapse.report["exit"] == "completed"
    told = lapse.report["time_lapse"]["main"]
    assert (told["looks"], told["time_points"], told["late"], told["left_out"]) == (28, 7, 0, 0)
    assert told["interval_s"]["median"] == pytest.approx(300.0, abs=1.0)


def test_each_time_point_has_its_slot(lapse: api.RunResult) -> None:
    loaded = load(lapse.folder.protocol, Registry(discover=False))
    images = RunImages(lapse.folder.images_folder, loaded.plan)
    addresses = [a for m in messages_of(lapse) if isinstance(m, Acquire) for a in m.visit.frames()]
    assert Counter((a.t, a.channel) for a in addresses) == {
        **{(t, "DNA"): 4 for t in range(7)},
        **{(t, "GFP"): 4 for t in (0, 3, 6)},
    }
    pictures = [images.read(address) for address in addresses if (address.well, address.field) == ("A1", "0")]
    assert all(picture is not None for picture in pictures)
    assert lapse.report["frames"] == lapse.report["possible_frames"] == len(addresses) == 40


def test_what_a_time_point_leaves_out_is_unknown_not_zero(lapse: api.RunResult) -> None:
    lines = [json.loads(line) for line in lapse.folder.journal.read_text(encoding="utf-8").splitlines()]
    visits = {line["visit"]["number"]: line["visit"] for line in lines if line.get("type") == "Acquire"}
    for line in lines:
        if line.get("type") != "Measured":
            continue
        field = next(f for f in visits[line["visit"]]["fields"] if f["field"] == line["field"])
        assert line["readouts"]["cells"] > 0
        known = {name for name, value in line["readouts"].items() if value is not None}
        assert known == ({"cells", "gfp", "vesicles"} if field["t"] % 3 == 0 else {"cells"})


def test_light_of_a_field_adds_up(lapse: api.RunResult) -> None:
    assert lapse.report["budget"]["light_s"]["used"] == pytest.approx(7 * 0.02 + 3 * 0.08)


def test_the_limit_on_light_ends_the_looks_at_a_field(tmp_path: Path) -> None:
    path = virtual(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "limits: {light_per_field: 160 ms}\n", encoding="utf-8")
    result = api.run(path, out=tmp_path / "run")
    assert {len(times) for times in looks(messages_of(result)).values()} == {3}
    assert result.report["budget"]["light_s"]["used"] == pytest.approx(0.14)


def test_it_replays_and_comes_out_alike_twice(lapse: api.RunResult, tmp_path: Path) -> None:
    assert api.replay(lapse.folder.path).equal
    again = api.run(virtual(tmp_path), out=tmp_path / "run")
    assert messages_of(again) == messages_of(lapse)


# -- events -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> api.RunResult:
    folder = tmp_path_factory.mktemp("events")
    text = (shared_folder("protocols") / "events.yaml").read_text(encoding="utf-8").replace("seed: 1", "seed: 41", 1)
    (folder / "events.yaml").write_text(text, encoding="utf-8")
    return api.run(folder / "events.yaml", out=folder / "run")


def true_events(result: api.RunResult) -> list[tuple[str, str, float]]:
    """Well, field and beginning of the events of cells in the middle of a frame, which nothing can hide."""
    loaded = load(result.folder.protocol, Registry(discover=False))
    assert loaded.simulation is not None
    parameters: dict[str, Any] = {**loaded.simulation.parameters, "width": 216, "height": 216}
    plate = Synthetic(loaded.simulation.parameters, loaded.plan)
    inner = Synthetic(parameters, loaded.plan)
    inner._scene._population = plate._scene._population  # the same cells, a smaller frame
    size_um = loaded.plan.profiles["main"].pixel_size_um
    found = []
    for well in loaded.plan.wells:
        for place in well.fields:
            view = View(
                address=None,
                x_um=place.x_um,
                y_um=place.y_um,
                z_um=0.0,
                config="DAPI",
                channel="H2B",
                exposure_ms=20.0,
                pixel_size_um=size_um,
                at_s=60.0,
            )
            found += [(well.name, place.name, at_s) for at_s in inner.event_times(view, 3200.0)]
    return found


def test_events_are_imaged_at_the_fast_rate(watched: api.RunResult) -> None:
    fast = looks(messages_of(watched), "fast")
    events = true_events(watched)
    assert len(events) >= 3
    for well, field, begins in events:
        during = [at_s for at_s in fast.get((well, field), ()) if begins <= at_s < begins + 180]
        assert len(during) >= 6, (well, field, begins)
    slow = looks(messages_of(watched), "main")
    assert {len(times) for times in slow.values()} == {21}
    assert api.replay(watched.folder.path).equal


def test_the_report_counts_them(watched: api.RunResult) -> None:
    summary = watched.report["summary"]
    listed = [(event["well"], event["field"], event["start_s"], event["within_s"]) for event in summary["events"]]
    for well, field, begins in true_events(watched):
        near = [start for w, f, start, within in listed if (w, f) == (well, field) and 0 <= begins - start < 480]
        assert near, (well, field, begins)
    assert summary["followed"]["at_fast_rate"] == summary["followed"]["events"] > 0
    plate = summary["plate"]["per_object_hour"]
    assert plate["low"] < 0.06 < plate["high"]  # what the protocol asks the specimen for
    page = (watched.folder.path / "report.html").read_text(encoding="utf-8")
    assert "Time-lapse" in page
    assert "every 20 s for at least 1 min" in page


# -- waits on the wall's clock ----------------------------------------------------------------------------------------


def in_a_thread(path: Path, out: Path, do: Callable[[api.LiveRun], None]) -> api.RunResult:
    """Run a protocol; `do` is called once the first round is over and the run waits for the second."""
    lives: list[api.LiveRun] = []
    ended = threading.Event()
    rounds: list[int] = []

    def begin(live: api.LiveRun) -> None:
        def visit_ended(message: VisitEnded) -> None:
            rounds.append(message.visit)
            if len(rounds) == 2:
                ended.set()

        lives.append(live)
        live.signals.visit_ended.connect(visit_ended)
        threading.Thread(target=act, daemon=True).start()

    def act() -> None:
        assert ended.wait(30)
        time.sleep(0.4)  # the next visit is queued, and waits
        do(lives[0])

    return api.run(path, out=out, on_start=begin)


def test_a_stop_is_seen_at_once_during_a_wait(tmp_path: Path) -> None:
    said: list[float] = []

    def stop(live: api.LiveRun) -> None:
        said.append(time.monotonic())
        live.stop("enough")

    result = in_a_thread(real(tmp_path, "10 min", "1 h"), tmp_path / "run", stop)
    # What is asked for is two seconds; ten minutes would be the wait itself.
    assert time.monotonic() - said[0] < 60
    assert result.report["exit"] == "stopped"
    waiting = [m for m in messages_of(result) if isinstance(m, VisitEnded) and m.visit > 2]
    assert waiting
    assert all(missing.reason == "stopped" and not missing.exposed for m in waiting for missing in m.missing)
    assert result.report["frames"] == 2


def test_a_pause_in_a_wait_holds_the_frames_and_the_beat_goes_on(tmp_path: Path) -> None:
    held: list[float] = []

    def hold(live: api.LiveRun) -> None:
        live.pause()
        time.sleep(2.5)
        held.append(time.monotonic())
        live.resume()

    result = in_a_thread(real(tmp_path, "1 s", "5 s"), tmp_path / "run", hold)
    assert result.report["exit"] == "completed"
    told = result.report["time_lapse"]["main"]
    assert told["left_out"] >= 2, told  # nothing is made up for afterwards
    assert told["interval_s"]["largest"] > 2.0
    for times in looks(messages_of(result)).values():
        assert min(np.diff(times)) > 0.2


def test_a_run_killed_in_a_wait_goes_on_and_takes_the_time_point(tmp_path: Path) -> None:
    protocol, out = real(tmp_path, "4 s", "8 s"), tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(protocol), str(out)])
    journal = out / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        written = journal.read_bytes() if journal.exists() else b""
        if written.count(b'"type":"VisitEnded"') >= 2 and written.count(b'"type":"Acquire"') >= 3:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    result = api.resume(out)
    assert result.report["exit"] == "completed"
    assert result.report["lost_frames"] == 0
    found = looks(messages_of(result))
    assert {len(times) for times in found.values()} == {3}
    for times in found.values():
        assert min(np.diff(times)) > 3.5
    assert api.replay(out).equal
