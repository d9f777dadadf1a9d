"""What segmenters of other packages share: which version runs, what they need not be asked, what warms them up."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane


def version_of(*packages: str) -> str:
    """Return the version of the first of some packages that is installed, ``"unknown"`` if none is known to pip."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "unknown"


def worth_a_look(plane: Plane) -> bool:
    """Return whether there can be an object: not in a flat image, nor where a side is too short for a network."""
    return min(plane.shape) >= 4 and bool(plane.max() > plane.min())


def noise(shape: tuple[int, int]) -> NDArray[Any]:
    """Return an image, always the same one, that goes through a whole network: to load it, and to see it work."""
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
