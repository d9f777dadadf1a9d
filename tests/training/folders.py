"""Small folders of annotated images, drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from phenoloop.training.rendering import render


def annotated(folder: Path, sides: tuple[int, ...] = (96, 96, 96, 128, 128), diameter: float = 16) -> Path:
    """Write ``images/`` (8-bit PNG) and ``labels/`` (16-bit PNG), one pair per side."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for k, side in enumerate(sides):
        image, labels = render(np.random.default_rng([k, 5]), side, diameter)
        grey = (image * (255 / image.max())).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{k}.png"), grey)
        cv2.imwrite(str(folder / "labels" / f"{k}.png"), labels.astype(np.uint16))
    return folder
