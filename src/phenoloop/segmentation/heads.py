"""What the maps of a network mean, and how they become objects: one decoder per declared output head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import Plane, disk, gaussian

Head = Literal["distance", "flows", "probability"]
"""What the output channels are.

``distance``: foreground logit, normalised distance (0 at the outline, 1 at the middle of an object).
``flows``: y and x component of the direction to the middle of the object, foreground logit (the order of Cellpose);
where there is a fourth channel, it is the normalised distance.
``probability``: foreground logit only; objects that touch are divided by their shape.
"""
MAPS: Final[dict[str, tuple[int, ...]]] = {"distance": (2,), "flows": (3, 4), "probability": (1,)}
"""How many channels each head may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Objects at the network's resolution.

    Attributes
    ----------
    basins : ndarray of int32, shape (y, x)
        To which object a pixel belongs if it is foreground; reaches a little beyond the outlines. Dense from 1.
    logit : ndarray of float32, shape (y, x)
        Foreground above the threshold, whose value is 0 here.
    distance : ndarray of float32, shape (y, x), or None
        What the network says of the normalised distance, where its head has it.
    """

    basins: NDArray[np.int32]
    logit: Plane
    distance: Plane | None = None

    def objects(self) -> NDArray[np.int32]:
        """Return the objects within their outlines, numbered as the basins; shape (y, x)."""
        return within(self.basins, self.logit)


def within(basins: NDArray[np.int32], logit: Plane) -> NDArray[np.int32]:
    """Return `basins` where `logit` is above 0, else 0."""
    inside = (logit > 0).view(np.uint8)
    return np.asarray(cv2.bitwise_and(basins, basins, mask=inside), dtype=np.int32)


def decode(maps: NDArray[np.float32], head: Head, threshold: float, seed: float) -> Decoded:
    """Return the objects that the maps of a network show.

    Parameters
    ----------
    maps : ndarray of float32, shape (k, y, x)
        As many as `MAPS` says of the head.
    head : str
        What they mean.
    threshold : float
        Probability above which a pixel is foreground, 0..1.
    seed : float
        Height that the peak of an object's distance map must have, 0..1.
    """
    offset = np.float32(np.log(threshold / (1 - threshold)))
    if head == "distance":
        return _from_distance(maps[0] - offset, maps[1], seed)
    if head == "flows":
        return _from_flows(maps[:2], maps[2] - offset, maps[3] if len(maps) > 3 else None, seed)
    return _from_probability(maps[0] - offset)


_BEYOND: Final = -1.5
"""Basins reach down to this logit, so that an outline drawn at another resolution finds them."""
_PEAK: Final = 5.0
"""Radius within which an object has one peak, px."""
_SMOOTH: Final = 0.8
_WIDE: Final = 2.0


def _from_distance(logit: Plane, distance: Plane, seed: float) -> Decoded:
    landscape = gaussian(distance, _WIDE)
    peaks = (landscape >= cv2.dilate(landscape, disk(_PEAK))) & (landscape > seed) & (logit > 0)
    return Decoded(basins=_flooded(landscape, peaks, logit), logit=logit, distance=distance)


def _from_probability(logit: Plane) -> Decoded:
    inside = (logit > 0).astype(np.uint8)
    framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # the image's border is no outline
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1].astype(np.float32)
    landscape = gaussian(depth, 1.0)
    # a peak must be the highest within its own depth: the larger the object, the wider
    deepest = float(landscape.max())
    wide = landscape
    for limit in (64, 32, 16, 8, 4):
        if limit < 2 * deepest:
            wide = np.where(landscape <= limit, cv2.dilate(landscape, disk(0.7 * limit)), wide)
    peaks = (landscape >= wide) & (inside > 0)
    return Decoded(basins=_flooded(landscape, peaks, logit), logit=logit)


_STEPS: Final = (2.0,) * 6 + (1.0,) * 8
"""Lengths of the steps, px: as far as the middle of the largest object that the network knows."""
_SINK: Final = 2.0


def _from_flows(flows: NDArray[np.float32], logit: Plane, distance: Plane | None, seed: float) -> Decoded:
    """Let each pixel walk along the flow (Stringer et al. 2021, doi 10.1038/s41592-020-01018-x); who meet are one.

    Where the network also gives the distance, objects whose distance nowhere reaches `seed` are dropped: haze, debris.
    """
    height, width = logit.shape
    pixels = np.flatnonzero(logit > _BEYOND)
    way = _scaled(flows, _STEPS[0])
    end = _walked(way, pixels)
    arrived = np.bincount(end, minlength=height * width).astype(np.float32).reshape(height, width)
    sinks = (gaussian(arrived, _SINK / 2) > 0.5).view(np.uint8)
    count, sink = cv2.connectedComponents(sinks, connectivity=8, ltype=cv2.CV_32S)
    owner = sink.ravel()[end]
    found = np.zeros(count, dtype=np.bool_)
    if distance is None:
        found[owner] = True
    else:
        inside = (logit.ravel()[pixels] > 0) & (gaussian(distance, _SMOOTH).ravel()[pixels] > seed)
        found[owner[inside]] = True
    found[0] = False
    basins = np.zeros(height * width, dtype=np.int32)
    basins[pixels] = np.where(found, np.cumsum(found), 0).astype(np.int32)[owner]
    return Decoded(basins=basins.reshape(height, width), logit=logit, distance=distance)


def _scaled(flows: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Return the way of a pixel, (x, y) as OpenCV wants it, in steps of at most `step` px; shape (y, x, 2)."""
    length = np.maximum(cv2.magnitude(flows[0], flows[1]), 1)  # Cellpose's are five times as long
    way = np.empty((*length.shape, 2), dtype=np.float32)
    np.divide(flows[1], length, out=way[..., 0])
    np.divide(flows[0], length, out=way[..., 1])
    way *= step
    return way


def _walked(way: NDArray[np.float32], pixels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where each of some pixels (flat indices) ends, as a flat index."""
    height, width = way.shape[:2]
    # OpenCV takes coordinates as a picture, a limited number a side: (column, row) of each pixel, then some zeros
    side = max(1, math.ceil(math.sqrt(pixels.size)))
    walkers = np.zeros((side * side, 2), dtype=np.float32)
    rows = pixels // width
    walkers[: pixels.size, 0], walkers[: pixels.size, 1] = pixels - rows * width, rows
    walkers[: pixels.size] += way.reshape(-1, 2)[pixels]  # the first step starts in the middle of a pixel
    place = walkers.reshape(side, side, 2)
    moved = np.empty_like(place)
    second_map: Any = None  # there is one map of pairs; OpenCV's stub knows only pairs of maps
    for before, step in pairwise(_STEPS):
        if step != before:
            way *= step / before  # by powers of two, which rounds nothing
        cv2.remap(way, place, second_map, cv2.INTER_LINEAR, dst=moved, borderMode=cv2.BORDER_REPLICATE)
        place += moved
    x, y = np.rint(walkers[: pixels.size]).astype(np.intp).T
    end: NDArray[np.intp] = np.clip(y, 0, height - 1) * width + np.clip(x, 0, width - 1)
    return end


def _flooded(landscape: Plane, peaks: NDArray[np.bool_], logit: Plane) -> NDArray[np.int32]:
    """Return the basin of each peak, as one watershed would; only where peaks share a patch of foreground it is run."""
    from skimage.segmentation import watershed  # half a second to import

    _, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    if not seeds.any():
        return np.zeros(landscape.shape, dtype=np.int32)
    reach = (logit > _BEYOND).astype(np.uint8)
    patches, patch = cv2.connectedComponents(reach, connectivity=4, ltype=cv2.CV_32S)
    at = np.flatnonzero(seeds)
    patch_of, seed_of = patch.ravel()[at].astype(np.intp), seeds.ravel()[at].astype(np.int32)
    lowest, highest = np.full(patches, np.iinfo(np.int32).max, dtype=np.int32), np.zeros(patches, dtype=np.int32)
    np.minimum.at(lowest, patch_of, seed_of)
    np.maximum.at(highest, patch_of, seed_of)
    alone = np.where(lowest == highest, highest, 0).astype(np.int32)
    alone[0] = 0
    shared = lowest < highest
    shared[0] = False
    basins: NDArray[np.int32] = alone[patch]
    if shared.any():
        disputed = shared[patch]
        basins += watershed(-landscape, np.where(disputed, seeds, 0), mask=disputed)  # type: ignore[no-untyped-call]
    return basins
