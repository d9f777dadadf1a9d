"""Evidence for ``focus: auto``: scores of sharp real images, of enlarged ones, and of their defocused copies.

Run: ``python benchmarks/focus.py [DATA]``, where DATA holds ``dsb2018`` and ``bbbc016`` (default ``$PHENOLOOP_DATA``).
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.focus import AUTO_MIN_FOCUS, focus_score
from phenoloop.numerics.images import noise_sd

Image = NDArray[np.uint8]


def read(data: Path, name: str) -> list[Image]:
    """Return the DNA images of a data set."""
    with (data / name / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        files = [row["file"] for row in csv.DictReader(stream) if row["channel"] == "DNA"]
    return [plane(data / name / file) for file in files]


def plane(path: Path) -> Image:
    """Return one grey plane of a TIFF or PNG."""
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile  # reads the raw indices of a palette image; OpenCV would expand them to colour

        return np.asarray(tifffile.imread(path), dtype=np.uint8)
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def defocus(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Return a blurred copy with the pixel noise of the original."""
    sharp = image.astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), sigma) + rng.normal(0, noise_sd(sharp), image.shape)
    return np.clip(np.round(blurred), 0, 255).astype(np.uint8)


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PHENOLOOP_DATA", "../shared/data"))
    rng = np.random.default_rng(0)
    print(f"{'':28}{'min':>7}{'2 %':>7}{'50 %':>7}{'98 %':>7}   below {AUTO_MIN_FOCUS}")
    for name in ("dsb2018", "bbbc016"):
        images = read(data, name)
        rows = {"as it is": images}
        for factor in (2, 3):
            rows[f"enlarged {factor} times"] = [
                cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for image in images[::3]
            ]
        for sigma in (1.5, 3.0, 5.0, 8.0):
            rows[f"blurred by {sigma} px"] = [defocus(image, sigma, rng) for image in images]
        for what, variants in rows.items():
            scores = np.array([focus_score(image) for image in variants])
            known = scores[np.isfinite(scores)]
            quantiles = np.quantile(known, [0, 0.02, 0.5, 0.98])
            print(
                f"{name + ' ' + what:28}"
                + "".join(f"{value:7.3f}" for value in quantiles)
                + f"   {np.count_nonzero(known < AUTO_MIN_FOCUS)} of {scores.size}, unknown {scores.size - known.size}"
            )


if __name__ == "__main__":
    main()
