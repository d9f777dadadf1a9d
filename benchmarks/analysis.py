"""Milliseconds per field of the complete analysis, and where they go, on real images.

Run: ``python benchmarks/analysis.py [DATA]``, where DATA holds ``bbbc016`` (default ``$PHENOLOOP_DATA``).
"""

from __future__ import annotations

import csv
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from phenoloop.measure import Analysis, measure_field
from phenoloop.measure.features import object_table
from phenoloop.measure.neighbourhood import Neighbourhood
from phenoloop.measure.spots import spot_features
from phenoloop.model import AnalysisPlan, SegmentPlan, SpotsPlan
from phenoloop.numerics.focus import focus_score
from phenoloop.segmentation.threshold import Threshold

SPOTS = SpotsPlan(name="foci", channel="GFP")
PLAN = AnalysisPlan(
    channels=("DNA", "GFP"),
    segment=SegmentPlan(kind="threshold", target="phenoloop.segmentation.threshold:Threshold", channel="DNA"),
    spots=(SPOTS,),
    readouts={"foci": "mean(foci.count)", "cells": "count()"},
)


def read(folder: Path) -> list[dict[str, NDArray[Any]]]:
    """Return the frames of each field by channel."""
    fields: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            channel = "DNA" if row["channel"] == "DNA" else "GFP"
            fields.setdefault((row["well"], row["field"]), {})[channel] = tifffile.imread(folder / row["file"])
    return list(fields.values())


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PHENOLOOP_DATA", "../shared/data"))
    fields = read(data / "bbbc016")
    analysis = Analysis(PLAN)
    segmenter = Threshold(Threshold.Params())
    analysis.measure(fields[0])
    parts: dict[str, list[float]] = {"segment": [], "features": [], "spots": [], "focus": [], "all": []}
    for frames in fields:
        started = time.thread_time()
        result = analysis.measure(frames)
        parts["all"].append((time.thread_time() - started) * 1e3)
        labels = result.labels["objects"]
        started = time.thread_time()
        segmenter.segment(frames["DNA"])
        parts["segment"].append((time.thread_time() - started) * 1e3)
        started = time.thread_time()
        around = Neighbourhood(labels)
        table = object_table(labels, frames, around=around)
        parts["features"].append((time.thread_time() - started) * 1e3)
        started = time.thread_time()
        spot_features(frames["GFP"], SPOTS, around, table["area"])
        parts["spots"].append((time.thread_time() - started) * 1e3)
        started = time.thread_time()
        focus_score(frames["DNA"])
        parts["focus"].append((time.thread_time() - started) * 1e3)
    print(f"one thread, {len(fields)} fields of 512x512, 2 channels; CPU ms")
    for name, times in parts.items():
        print(f"{name:>10}  median {np.median(times):6.1f}   p95 {np.quantile(times, 0.95):6.1f}")
    for workers in (1, 2, 4):
        with ThreadPoolExecutor(workers) as pool:
            started = time.perf_counter()
            list(pool.map(lambda frames: measure_field(PLAN, frames), fields))
            took = time.perf_counter() - started
        print(f"{workers} threads: {len(fields) / took:5.1f} fields per second")


if __name__ == "__main__":
    main()
