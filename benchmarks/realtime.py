"""Milliseconds from an image to its readouts: a 512x512 frame with about 150 nuclei, one process.

Run: ``python benchmarks/realtime.py [DATA] [--threads N]``; with DATA (default ``$PHENOLOOP_DATA``) also on crops of
real images, where they are there. Wall time, as a microscope waits it; the machine should have nothing else to do.
Python's collector of cycles works between frames, as in a run (`phenoloop.runner.caretaker`).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from phenoloop.measure import Analysis, measure_field
from phenoloop.measure.features import object_table
from phenoloop.model import AnalysisPlan, FieldProfilePlan, SegmentPlan, SpotsPlan, features
from phenoloop.plugins import Registry
from phenoloop.runner.caretaker import CARETAKER
from phenoloop.segmentation.runtime import THREADS_VARIABLE
from phenoloop.training.rendering import render

SIDE = 512
NUCLEI = 150
SPOTS = SpotsPlan(name="foci", channel="GFP")
PROPERTIES = (
    "label", "area", "centroid", "axis_major_length", "axis_minor_length", "eccentricity", "orientation", "extent",
    "perimeter", "intensity_mean", "intensity_min", "intensity_max", "intensity_std",
)  # fmt: skip
Frame = NDArray[Any]


def plan(kind: str, channels: tuple[str, ...], spots: bool) -> AnalysisPlan:
    """Return an analysis that segments, measures every object and evaluates two readouts."""
    readouts = {"cells": "count()", "size": "mean(area)", "light": f"mean({channels[-1]}.ratio)"}
    return AnalysisPlan(
        channels=channels,
        segment=SegmentPlan(kind=kind, target=Registry().find("segmenters", kind).target, channel="DNA"),
        spots=(SPOTS,) if spots else (),
        readouts=readouts | ({"foci": "mean(foci.count)"} if spots else {}),
    )


def with_profile(basic: AnalysisPlan) -> AnalysisPlan:
    """Return the same analysis with the profile of every field: all families of our own."""
    names = features.catalogue(basic.channels, [spots.name for spots in basic.spots])
    columns = FieldProfilePlan(columns=features.of_phenotype(names))
    return replace(basic, families=features.FAMILIES, profile=columns)


def rendered_frames(diameter: float, count: int) -> list[dict[str, Frame]]:
    """Return rendered frames with 120 to 180 nuclei of a diameter, and a second channel with as much structure."""
    frames: list[dict[str, Frame]] = []
    seed = 0
    while len(frames) < count:
        seed += 1
        image, labels = render(np.random.default_rng([seed, round(diameter)]), SIDE, diameter)
        if 0.8 * NUCLEI <= labels.max() <= 1.2 * NUCLEI:
            other = np.random.default_rng(seed).poisson(60 + 40 * (labels > 0)).astype(np.uint16)
            frames.append({"DNA": image.astype(np.uint16), "GFP": other})
    return frames


def real_frames(data: Path, count: int) -> list[dict[str, Frame]]:
    """Return 512x512 crops of the images with the most nuclei among those of 520x696."""
    crops = []
    for labels_file in sorted((data / "dsb2018" / "labels").glob("*.png")):
        labels: Any = cv2.imread(str(labels_file), cv2.IMREAD_UNCHANGED)
        if labels is not None and labels.shape == (520, 696):
            left = max(range(0, 696 - SIDE, 23), key=lambda x: np.unique(labels[:SIDE, x : x + SIDE]).size)
            crops.append((np.unique(labels[:SIDE, left : left + SIDE]).size - 1, labels_file.name, left))
    frames = []
    for _, name, left in sorted(crops)[-count:]:
        image: Any = cv2.imread(str(data / "dsb2018" / "images" / name), cv2.IMREAD_GRAYSCALE)
        crop = np.ascontiguousarray(image[:SIDE, left : left + SIDE])
        frames.append({"DNA": crop, "GFP": crop})
    return frames


def times_ms(
    work: Callable[[Mapping[str, Frame]], object], frames: list[dict[str, Frame]], rounds: int
) -> NDArray[Any]:
    """Return the wall time of each call, after two to warm up."""
    for frame in frames[:2]:
        work(frame)
    found = []
    with CARETAKER.on_duty():
        for frame in frames * rounds:
            CARETAKER.idle()
            started = time.perf_counter()
            work(frame)
            found.append((time.perf_counter() - started) * 1e3)
    return np.array(found)


def report(name: str, frames: list[dict[str, Frame]], rounds: int) -> None:
    """Print the table of one kind of frames."""
    nuclei = [len(Analysis(plan("unet", ("DNA",), False)).measure(frame).objects["area"]) for frame in frames]
    print(f"\n{name}: {len(frames)} frames, {np.median(nuclei):.0f} nuclei found in the median frame; ms")
    print(f"{'':>44}{'median':>8}{'p95':>8}{'largest':>8}{'segment':>9}{'measure':>9}")
    for kind in ("unet", "threshold"):
        for channels, spots in ((("DNA",), False), (("DNA", "GFP"), False), (("DNA", "GFP"), True)):
            analysis = Analysis(plan(kind, channels, spots))
            parts: list[Mapping[str, float]] = []
            took = times_ms(lambda frame: parts.append(analysis.measure(frame).timing_ms), frames, rounds)  # noqa: B023
            text = f"{kind}, {len(channels)} channel{'s' if len(channels) > 1 else ''}{', spots' if spots else ''}"
            middle = {key: np.median([part[key] for part in parts]) for key in ("segment", "measure")}
            print(
                f"{text:>44}{np.median(took):8.1f}{np.quantile(took, 0.95):8.1f}{took.max():8.1f}"
                f"{middle['segment']:9.1f}{middle['measure']:9.1f}"
            )
    for channels in (("DNA",), ("DNA", "GFP")):
        whole = with_profile(plan("unet", channels, spots=len(channels) > 1))
        measured = [Analysis(whole).measure(frame) for frame in frames]
        took = times_ms(Analysis(whole).measure, frames, rounds)
        middle = {key: np.median([found.timing_ms[key] for found in measured]) for key in ("segment", "measure")}
        text = f"unet, {len(channels)} ch., profile of {len(measured[0].profile)} features"
        print(
            f"{text:>44}{np.median(took):8.1f}{np.quantile(took, 0.95):8.1f}{took.max():8.1f}"
            f"{middle['segment']:9.1f}{middle['measure']:9.1f}"
        )
    ours = plan("unet", ("DNA",), False)
    with ThreadPoolExecutor(2) as pool:
        many = frames * rounds
        started = time.perf_counter()
        list(pool.map(lambda frame: measure_field(ours, frame), many))
        print(
            f"{'unet, 1 channel, two workers':>44}{len(many) / (time.perf_counter() - started):8.1f} frames per second"
        )
    labels = [Analysis(ours).measure(frame).labels["objects"] for frame in frames]
    tables = [(label, frame["DNA"]) for label, frame in zip(labels, frames, strict=True)]
    own = _median_of(lambda label, image: object_table(label, {"DNA": image}), tables)
    theirs = _median_of(lambda label, image: regionprops_table(label, image, PROPERTIES), tables)
    print(
        f"features alone: {own:.1f} ms, regionprops_table of the same columns {theirs:.1f} ms: {theirs / own:.1f} times"
    )


def _median_of(work: Callable[[Frame, Frame], object], tables: list[tuple[Frame, Frame]]) -> float:
    taken = []
    for _ in range(3):
        for label, image in tables:
            started = time.perf_counter()
            work(label, image)
            taken.append((time.perf_counter() - started) * 1e3)
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(os.environ.get("PHENOLOOP_DATA", "../shared/data")))
    parser.add_argument("--threads", type=int, default=2, help="threads of the network")
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    os.environ[THREADS_VARIABLE] = str(chosen.threads)
    print(f"{os.cpu_count()} processors, the network on {chosen.threads} threads, all else on one")
    for diameter in (16, 24):
        report(f"rendered, nuclei of {diameter} px", rendered_frames(diameter, 8), chosen.rounds)
    if (chosen.data / "dsb2018").is_dir():
        report("real, 520x696 cropped", real_frames(chosen.data, 8), chosen.rounds)


if __name__ == "__main__":
    main()
