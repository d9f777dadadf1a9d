"""Agreement of the threshold segmenter with annotated nuclei (DSB 2018), by image size, and its speed.

Run: ``python benchmarks/segmentation.py [DATA]``, where DATA holds ``dsb2018`` (default ``$PHENOLOOP_DATA``).
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.segmentation.threshold import Threshold

OVERLAPS = (0.5, 0.7, 0.8)


def matches(truth: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Return matched objects at each overlap, annotated objects, found objects."""
    n, m = int(truth.max()), int(found.max())
    pairs = np.bincount((truth.astype(np.int64) * (m + 1) + found).ravel(), minlength=(n + 1) * (m + 1))
    shared = pairs.reshape(n + 1, m + 1).astype(float)
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    overlap = (shared / np.maximum(union, 1))[1:, 1:]
    return np.array([*(float((overlap > limit).sum()) for limit in OVERLAPS), (shared[1:].sum(1) > 0).sum(), m])


def main() -> None:
    cv2.setNumThreads(1)
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PHENOLOOP_DATA", "../shared/data"))
    segmenter = Threshold(Threshold.Params())
    totals: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(6))
    with (data / "dsb2018" / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        image = cv2.imread(str(data / "dsb2018" / row["file"]), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(data / "dsb2018" / row["mask_file"]), cv2.IMREAD_UNCHANGED)
        started = time.thread_time()
        found = segmenter.segment(image).labels
        seconds = (time.thread_time() - started) / (image.size / 512**2)
        for key in (f"{image.shape[0]}x{image.shape[1]}", "all"):
            totals[key] += np.append(matches(truth, found), seconds / len(rows) if key == "all" else 0)
    print(f"{'size':>10}{'nuclei':>8}{'found':>8}" + "".join(f"  F1@{limit}" for limit in OVERLAPS))
    for key, total in sorted(totals.items(), key=lambda item: item[0] == "all"):
        scores = 2 * total[:3] / (total[3] + total[4])
        print(f"{key:>10}{total[3]:8.0f}{total[4]:8.0f}" + "".join(f"{score:8.3f}" for score in scores))
    print(f"mean {totals['all'][5] * 1e3:.1f} CPU ms per 512x512 of image, one thread")


if __name__ == "__main__":
    main()
