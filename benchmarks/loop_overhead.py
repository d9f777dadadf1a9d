"""What the closed loop costs against a bare `mda.run` of pymmcore-plus over the same events, pair by pair.

The loop has everything switched on that ships: strict engine, journal with sync, OME-Zarr storage with sync, guards,
router, signals; its analysis measures nothing. Both drive the demo camera in real time. Beside it: the longest time
for which Python's collector of cycles stopped all threads between the first and the last frame of the loop.

    python benchmarks/loop_overhead.py [--exposure-ms 10] [--repeats 7] [--profile]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phenoloop import api
from phenoloop.api import session
from phenoloop.microscope import loading
from phenoloop.model import Acquire, Plan, RunEnded, RunStarted, VisitEnded
from phenoloop.plugins import Registry
from phenoloop.ports import Measurement
from phenoloop.protocol import load
from phenoloop.storage.journal import read

PROTOCOL = """protocol: 1
name: overhead
microscope: demo
plate: {{format: 96-well, wells: [A1:D6], fields: {{kind: grid, rows: 2, columns: 2, spacing: 600 um}}}}
imaging:
  objective: 20x
  channels:
    - {{name: DNA, config: DAPI, exposure: {exposure} ms}}
    - {{name: GFP, config: FITC, exposure: {exposure} ms}}
analysis: {{segment: {{kind: threshold, channel: DNA}}, readouts: {{cells: count()}}}}
policy: {{kind: sweep, fields_per_visit: 4, wells_per_batch: 6}}
fallback: {{kind: sweep}}
"""


def measure_nothing(plan: object, batch: list[object]) -> list[Measurement]:
    """Stand in for the analysis: what is timed is the loop around it."""
    return [Measurement(status="ok", readouts={"cells": 0.0}, quality={}) for _ in batch]


def events_of(plan: Plan, acquires: list[Acquire]) -> list[object]:
    """The same frames in the same order, as plain useq events."""
    from useq import MDAEvent

    channels = {channel.name: channel for channel in plan.profiles["main"].channels}
    events: list[object] = []
    for acquire in acquires:
        places = {place.name: place for place in plan.well(acquire.visit.well).fields}
        for address in acquire.visit.frames():
            place, channel = places[address.field], channels[address.channel]
            events.append(
                MDAEvent(
                    x_pos=place.x_um,
                    y_pos=place.y_um,
                    channel={"config": channel.config, "group": channel.group},
                    exposure=channel.exposure_ms,
                )
            )
    return events


@contextmanager
def collections() -> Iterator[list[tuple[float, float]]]:
    """Give a list that gets, of each collection, when it ended (seconds since 1970) and how long it took, ms."""
    found: list[tuple[float, float]] = []
    begun = 0.0

    def note(phase: str, info: object) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
        else:
            found.append((time.time(), (time.perf_counter() - begun) * 1000))

    gc.callbacks.append(note)
    try:
        yield found
    finally:
        gc.callbacks.remove(note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exposure-ms", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="print where the wall time of one more run goes")
    options = parser.parse_args()

    session.measure_fields = measure_nothing
    with tempfile.TemporaryDirectory() as folder:
        protocol = Path(folder) / "overhead.yaml"
        protocol.write_text(PROTOCOL.format(exposure=options.exposure_ms), encoding="utf-8")
        loaded = load(protocol, Registry())
        bare_ms: list[float] = []
        loop_ms: list[float] = []
        whole_ms: list[float] = []
        longest_ms: list[float] = []
        parts: dict[str, list[float]] = {}
        acquires: list[Acquire] = []
        core = loading.load_core(loaded.microscope)
        for repeat in range(options.repeats + 1):
            out = Path(folder) / f"run{repeat}"
            with collections() as found:
                result = api.run(protocol, out=out)
            messages = read(result.folder.journal).messages
            acquires = [message for message in messages if isinstance(message, Acquire)]
            ends = [message for message in messages if isinstance(message, VisitEnded)]
            started = next(message for message in messages if isinstance(message, RunStarted))
            ended = next(message for message in messages if isinstance(message, RunEnded))
            span = (ends[-1].wall["at"] - started.wall["at"]) * 1000
            whole = (ended.wall["at"] - started.wall["at"]) * 1000
            events = events_of(loaded.plan, acquires)
            begun = time.perf_counter()
            core.mda.run(events)  # type: ignore[arg-type]
            bare = (time.perf_counter() - begun) * 1000
            assert result.report["frames"] == len(events)
            if repeat == 0:
                continue  # the first of each loads code and warms caches
            bare_ms.append(bare / len(events))
            loop_ms.append(span / len(events))
            whole_ms.append(whole / len(events))
            first, last = started.wall["at"], ends[-1].wall["at"]
            longest_ms.append(max((took for at, took in found if first <= at <= last), default=0.0))
            for step, values in result.report["timing_ms"].items():
                if values["p50"] is not None:
                    parts.setdefault(step, []).append(values["p50"])
        ratios = [loop / bare for loop, bare in zip(loop_ms, bare_ms, strict=True)]
        print(f"{len(events)} frames of {options.exposure_ms:g} ms, {options.repeats} pairs, medians (min to max)")
        show("bare mda.run, ms per frame", bare_ms)
        show("closed loop, ms per frame (start to last frame durable)", loop_ms)
        show("closed loop, ms per frame (with closing the data)", whole_ms)
        show("ratio of the first two, pair by pair", ratios, digits=3)
        show("longest pause for the collector of cycles, ms", longest_ms)
        print("\nwhere the time goes, median of p50 (ms):")
        for step, values in parts.items():
            print(f"  {step:18} {statistics.median(values):8.2f}")
        loading.unload(core)
        if options.profile:
            import cProfile
            import pstats

            profile = cProfile.Profile()
            profile.runcall(api.run, protocol, out=Path(folder) / "profiled")
            pstats.Stats(profile).sort_stats("tottime").print_stats(15)


def show(what: str, values: list[float], digits: int = 2) -> None:
    """Print a median with its range."""
    print(f"  {what:58} {statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})")


if __name__ == "__main__":
    main()
