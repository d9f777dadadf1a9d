"""Images of nuclei with their truth, to train on for seconds and to score: real where they are at hand, else drawn."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[Any], NDArray[np.int32]]
DSB = Path(os.environ.get("PHENOLOOP_DATA", Path(__file__).parents[3] / "shared" / "data")) / "dsb2018"


def pairs(count: int, *, start: int = 0) -> list[Pair]:
    """`count` images of 256 px with labels: real nuclei where the data is, drawn ones elsewhere; always the same."""
    if (DSB / "manifest.csv").is_file():
        return _real(start, count)
    return [drawn(seed) for seed in range(start, start + count)]


def _real(start: int, count: int) -> list[Pair]:
    with (DSB / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["height"] == row["width"] == "256"]
    return [
        (
            cv2.imread(str(DSB / row["file"]), cv2.IMREAD_GRAYSCALE),
            cv2.imread(str(DSB / row["mask_file"]), cv2.IMREAD_UNCHANGED).astype(np.int32),
        )
        for row in rows[start : start + count]
    ]


def drawn(seed: int, side: int = 256, count: int = 40) -> Pair:
    """Ellipses of many sizes and brightnesses, some touching, on a noisy background."""
    rng = np.random.default_rng([11, seed])
    labels = np.zeros((side, side), np.int32)
    light = np.zeros((side, side), np.float32)
    for _ in range(count):
        centre = tuple(int(v) for v in rng.integers(0, side, 2))
        axes = tuple(int(v) for v in rng.integers(6, 14, 2))
        mask = (
            cv2.ellipse(np.zeros((side, side), np.uint8), centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1) > 0
        )
        if (labels[mask] > 0).mean() > 0.1:
            continue
        mask &= labels == 0
        labels[mask] = labels.max() + 1
        light[mask] = rng.uniform(40, 150)
    image = cv2.GaussianBlur(light, (0, 0), 1.0) + rng.normal(20, 4, light.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def f1(truth: NDArray[Any], found: NDArray[Any], iou: float = 0.5) -> float:
    """F1 of the objects at an overlap."""
    n, m = int(truth.max()), int(found.max())
    pairs = np.bincount((truth.astype(np.int64) * (m + 1) + found).ravel(), minlength=(n + 1) * (m + 1))
    overlap = pairs.reshape(n + 1, m + 1).astype(float)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    matched = int(((overlap / np.maximum(union, 1))[1:, 1:] > iou).sum())
    return 2 * matched / max(1, n + m)
