"""Features per field: the ratio of ``skimage.measure.regionprops_table`` to ours, side by side, for the same columns.

Then how far the two agree, and what each further family costs.

Run: ``python benchmarks/features.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table
from skimage.segmentation import expand_labels

from phenoloop.measure.features import object_table
from phenoloop.measure.profile import field_profile
from phenoloop.model import FieldProfilePlan, features
from phenoloop.platform import keep_freed_memory

PROPERTIES = (
    "label",
    "area",
    "centroid",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "orientation",
    "extent",
    "perimeter",
    "intensity_mean",
    "intensity_min",
    "intensity_max",
    "intensity_std",
)


def ellipses(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return labels of about `count` ellipses that do not overlap."""
    canvas = np.zeros((size, size), dtype=np.float32)
    side = int(np.ceil(np.sqrt(count)))
    step = size / side
    for k in range(count):
        centre = (int((k % side + 0.5) * step), int((k // side + 0.5) * step))
        axes = (int(step * rng.uniform(0.25, 0.42)), int(step * rng.uniform(0.2, 0.35)))
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(k + 1), -1)
    return canvas.astype(np.int32)


def median_ms(work: Callable[[], object], repeats: int = 9) -> float:
    """Return the median time of a call, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return float(np.median(times)) * 1e3


def with_ring(labels: NDArray[np.int32], stack: NDArray[np.uint16]) -> dict[str, NDArray[np.float64]]:
    """Return what our table holds by scikit-image alone: its own columns, and the mean over a ring of 2 to 8 px."""
    table = regionprops_table(labels, stack, PROPERTIES)
    ring = expand_labels(labels, 8)
    ring[expand_labels(labels, 2) > 0] = 0
    table.update({f"ring-{k}": v for k, v in regionprops_table(ring, stack, ("label", "intensity_mean")).items()})
    return table


def agreement(labels: NDArray[np.int32], channels: dict[str, NDArray[np.uint16]]) -> None:
    """Print the largest difference between our columns and scikit-image's."""
    theirs = regionprops_table(labels, np.stack(list(channels.values()), axis=-1), PROPERTIES)
    ours = object_table(labels, channels)
    pairs = {
        "area": "area",
        "x": "centroid-1",
        "y": "centroid-0",
        "major_axis": "axis_major_length",
        "minor_axis": "axis_minor_length",
        "eccentricity": "eccentricity",
        "extent": "extent",
        "perimeter": "perimeter",
    }
    for k, name in enumerate(channels):
        pairs |= {f"{name}.{stat}": f"intensity_{stat}-{k}" for stat in ("mean", "min", "max")}
        pairs[f"{name}.sd"] = f"intensity_std-{k}"
    differences = {our: float(np.abs(ours[our] - theirs[their]).max()) for our, their in pairs.items()}
    turn = np.abs(ours["orientation"] - theirs["orientation"])  # a direction has no sign, and a round object has none
    long = ours["major_axis"] - ours["minor_axis"] > 1e-6
    differences["orientation"] = float(np.minimum(turn, np.pi - turn)[long].max())
    print("\nlargest absolute difference to scikit-image (by definition, none): ", end="")
    print(", ".join(f"{name} {value:.1g}" for name, value in differences.items()))


def families(labels: NDArray[np.int32], channels: dict[str, NDArray[np.uint16]]) -> None:
    """Print what each family costs besides the basic ones."""
    basic = median_ms(lambda: object_table(labels, channels))
    print(f"\nbasic families {basic:.1f} ms; each further family of {labels.max()} objects, 2 channels, adds:")
    for family in features.FAMILIES:
        if family in features.BASIC or family.startswith("spot"):
            continue
        took = median_ms(lambda: object_table(labels, channels, families=[family]))  # noqa: B023
        count = len(features.columns(list(channels), [], [family])) - len(features.columns(list(channels), []))
        print(f"{family:>16}{took - basic:>8.1f} ms{count:>6} columns")
    every = median_ms(lambda: object_table(labels, channels, families=features.FAMILIES))
    print(f"{'all':>16}{every:>8.1f} ms{len(features.columns(list(channels), [], features.FAMILIES)):>6} columns")
    table = object_table(labels, channels, families=features.FAMILIES)
    profile = FieldProfilePlan(columns=features.of_phenotype(table))
    summed = median_ms(lambda: field_profile(table, profile))
    print(
        f"whole profile of the field: {every + summed:.1f} CPU ms, {summed:.1f} of them its "
        f"{len(profile.columns)} medians (without spots; with segmentation and spots: benchmarks/realtime.py)"
    )


def main() -> None:
    keep_freed_memory()  # as the live path does
    rng = np.random.default_rng(0)
    print("2 channels, median CPU ms, same input; ours holds ring and ratio, which the first ratio gives away")
    print(f"{'field':>12}{'objects':>9}{'ours':>9}{'scikit-image':>14}{'ratio':>8}{'with ring':>14}{'ratio':>8}")
    for size, count in ((512, 150), (512, 200), (2048, 200), (2048, 2000)):
        labels = ellipses(size, count, rng)
        channels = {name: rng.poisson(200, labels.shape).astype(np.uint16) for name in ("DNA", "GFP")}
        stack = np.stack(list(channels.values()), axis=-1)
        theirs = median_ms(lambda: regionprops_table(labels, stack, PROPERTIES))  # noqa: B023
        ours = median_ms(lambda: object_table(labels, channels))  # noqa: B023
        same = median_ms(lambda: with_ring(labels, stack))  # noqa: B023
        print(
            f"{size:>6}x{size:<5}{int(labels.max()):>9}{ours:>9.1f}"
            f"{theirs:>14.1f}{theirs / ours:>8.1f}{same:>14.1f}{same / ours:>8.1f}"
        )
    labels = ellipses(512, 150, rng)
    channels = {name: rng.poisson(200, labels.shape).astype(np.uint16) for name in ("DNA", "GFP")}
    agreement(labels, channels)
    families(labels, channels)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
