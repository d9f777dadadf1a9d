"""Spots: F1 on rendered truth with noise; the responding wells of BBBC016 at each detector setting; milliseconds.

Run: ``python benchmarks/spots.py [DATA]``, where DATA holds ``bbbc016`` (default ``$PHENOLOOP_DATA``).
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from phenoloop.measure.analysis import use_one_thread
from phenoloop.measure.objects import Objects
from phenoloop.measure.spots import spot_features, spot_pattern, spot_sizes
from phenoloop.model import SpotsPlan
from phenoloop.numerics.spots import find_spots
from phenoloop.platform import keep_freed_memory
from phenoloop.ports import Segmenter
from phenoloop.segmentation.threshold import Threshold
from phenoloop.segmentation.unet import Unet

RESPONDING = ("O01", "O05", "O06", "O07", "O08", "O09")
"""The doses that the data set's authors call responding; the analysis is handed pixels only."""
DIAMETERS, THRESHOLDS, REACHES = (3.0, 4.0, 5.0, 6.0), (5.0, 8.0, 12.0), (15.0, 25.0, 50.0)


def render(
    seed: int, *, count: int, low: float, sigma: tuple[float, float], noise: float, size: int = 512
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Return puncta over uneven cytoplasm with shot and read noise, and their places (y, x), at least 6 px apart."""
    rng = np.random.default_rng(seed)
    places: list[NDArray[np.float64]] = []
    while len(places) < count:
        place = rng.uniform(6, size - 6, 2)
        if not places or np.hypot(*(np.array(places) - place).T).min() >= 6:
            places.append(place)
    y, x = np.mgrid[:size, :size]
    light = 200 + 0.5 * x + 40 * np.sin(x / 23) * np.cos(y / 31)
    for place in places:
        near = np.s_[max(0, int(place[0]) - 12) : int(place[0]) + 13, max(0, int(place[1]) - 12) : int(place[1]) + 13]
        away = (y[near] - place[0]) ** 2 + (x[near] - place[1]) ** 2
        light[near] += rng.uniform(low, 3 * low) * np.exp(-away / 2 / rng.uniform(*sigma) ** 2)
    image = rng.poisson(light) + rng.normal(100, noise, light.shape)
    return np.clip(image, 0, 65535).astype(np.uint16), np.array(places)


def f1(truth: NDArray[np.float64], found: NDArray[np.float64], within: float = 2.0) -> float:
    """Return F1 of the best one-to-one assignment of places at most `within` px apart."""
    if not len(found):
        return 0.0
    distance = cdist(truth, found)
    one, other = linear_sum_assignment(np.where(distance <= within, distance, 1e3))
    matched = np.count_nonzero(distance[one, other] <= within)
    return float(2 * matched / (len(truth) + len(found)))


def rendered() -> None:
    scenes: dict[str, dict[str, Any]] = {
        "plain": {"count": 300, "low": 150, "sigma": (1.4, 1.4), "noise": 3},
        "read noise of 10 counts": {"count": 300, "low": 150, "sigma": (1.4, 1.4), "noise": 10},
        "mixed sizes": {"count": 300, "low": 150, "sigma": (1.0, 2.0), "noise": 3},
        "few": {"count": 30, "low": 150, "sigma": (1.4, 1.4), "noise": 3},
        "crowded": {"count": 1200, "low": 150, "sigma": (1.2, 1.6), "noise": 3},
        "dim (peak 4 to 12 SD of the noise)": {"count": 300, "low": 80, "sigma": (1.4, 1.4), "noise": 3},
    }
    print("F1 on rendered truth with shot and read noise, mean of five images (lowest), diameter 4 px")
    print(f"{'scene':<38}" + "".join(f"{f'threshold {threshold:g}':>18}" for threshold in THRESHOLDS))
    for name, scene in scenes.items():
        row = []
        for threshold in THRESHOLDS:
            scores = []
            for seed in range(5):
                image, truth = render(seed, **scene)
                spots = find_spots(image, threshold=threshold)
                scores.append(f1(truth, np.column_stack([spots.y, spots.x]).astype(np.float64)))
            row.append(f"{np.mean(scores):.3f} ({min(scores):.3f})")
        print(f"{name:<38}" + "".join(f"{cell:>18}" for cell in row))


def read(folder: Path) -> dict[tuple[str, str], dict[str, NDArray[Any]]]:
    """Return the frames by channel, by well and field."""
    fields: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            channel = "DNA" if row["channel"] == "DNA" else "GFP"
            fields.setdefault((row["well"], row["field"]), {})[channel] = tifffile.imread(folder / row["file"])
    return fields


def gap(wells: Sequence[str], values: Sequence[float]) -> float:
    """Return the lowest mean of a responding well over the highest of the others."""
    mean = {
        well: float(np.mean([value for its, value in zip(wells, values, strict=True) if its == well])) for well in wells
    }
    others = max(value for well, value in mean.items() if well not in RESPONDING)
    return min(mean[well] for well in RESPONDING) / others


def real(folder: Path, name: str, segmenter: Segmenter) -> None:
    fields = read(folder)
    wells = [well for well, _ in fields]
    objects = [Objects(segmenter.segment(frames["DNA"]).labels) for frames in fields.values()]
    images = [frames["GFP"] for frames in fields.values()]
    print(
        f"\nBBBC016, {len(fields)} fields of {len(set(wells))} wells, cells by `{name}`: spots per cell, the lowest of"
    )
    print("the six responding wells over the highest of the others; the bar is 2")
    print(f"{'diameter':>9}{'threshold':>11}" + "".join(f"{f'within {reach:g}':>12}" for reach in REACHES))
    lowest = np.inf
    for diameter, threshold in product(DIAMETERS, THRESHOLDS):
        row = []
        for reach in REACHES:
            plan = SpotsPlan(name="foci", channel="GFP", diameter_px=diameter, threshold=threshold, within_px=reach)
            counts = [
                float(spot_features(image, plan, its.around, its.area)[0]["foci.count"].mean())
                for image, its in zip(images, objects, strict=True)
            ]
            row.append(gap(wells, counts))
        lowest = min(lowest, *row)
        print(f"{diameter:>9g}{threshold:>11g}" + "".join(f"{value:>12.2f}" for value in row))
    print(f"lowest of all: {lowest:.2f}")
    plan = SpotsPlan(name="foci", channel="GFP")
    times: dict[str, list[float]] = {"find and sum up": [], "sizes": [], "pattern": []}
    for image, its in zip(images, objects, strict=True):
        started = time.thread_time()
        _, spots = spot_features(image, plan, its.around, its.area)
        found = time.thread_time()
        spot_sizes(spots, plan, its)
        sized = time.thread_time()
        spot_pattern(spots, plan, its)
        for name, took in zip(times, (found - started, sized - found, time.thread_time() - sized), strict=True):
            times[name].append(took * 1e3)
    print("CPU ms per field: " + ", ".join(f"{name} {np.median(took):.1f}" for name, took in times.items()))


def main() -> None:
    use_one_thread()
    keep_freed_memory()
    rendered()
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PHENOLOOP_DATA", "../shared/data"))
    if (data / "bbbc016" / "manifest.csv").is_file():
        real(data / "bbbc016", "unet", Unet(Unet.Params()))
        real(data / "bbbc016", "threshold", Threshold(Threshold.Params()))
    else:
        print(f"\nno bbbc016/manifest.csv in {data}: name the folder, or set PHENOLOOP_DATA")


if __name__ == "__main__":
    main()
