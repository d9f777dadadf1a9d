"""How a field is shown: one contrast for all pictures of a report, so that wells compare by eye, and thin outlines."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Contrast = Mapping[str, tuple[float, float]]
"""Channel -> (shown as black, shown as full)."""

TINTS: Final[tuple[tuple[float, float, float], ...]] = (
    (0.20, 0.42, 0.95),
    (0.95, 0.86, 0.25),
    (0.90, 0.35, 0.65),
    (0.75, 0.75, 0.75),
)
"""Blue and yellow first: told apart with every common form of colour blindness."""
OUTLINES: Final[tuple[tuple[int, int, int], ...]] = ((255, 255, 255), (255, 140, 0), (0, 220, 220))
"""Objects white, spots orange."""


class FieldPicture(NamedTuple):
    """The pixels of one field.

    Attributes
    ----------
    image : ndarray, shape (c, y, x)
        Unsigned integers, as stored.
    channels : tuple of str
        Names along the first axis.
    labels : mapping of str to ndarray of int, each of shape (y, x)
        By name, objects first, then spots; may be empty.
    visit : int
        The visit in which it was taken; 0 where that is not known.
    """

    image: NDArray[Any]
    channels: tuple[str, ...]
    labels: Mapping[str, NDArray[Any]]
    visit: int = 0


def shared_contrast(pictures: Iterable[FieldPicture]) -> Contrast:
    """Return one contrast per channel for all pictures: 1st percentile of the darkest to 99.8th of the brightest."""
    found: dict[str, tuple[float, float]] = {}
    for picture in pictures:
        for name, plane in zip(picture.channels, picture.image, strict=True):
            low, high = (float(value) for value in np.percentile(plane[::2, ::2], (1, 99.8)))
            before = found.get(name, (low, high))
            found[name] = (min(low, before[0]), max(high, before[1]))
    return found


def draw(picture: FieldPicture, contrast: Contrast, *, size: int = 256) -> NDArray[np.uint8]:
    """Return the middle of a field as RGB, channels tinted and added up, objects and spots outlined.

    Parameters
    ----------
    picture : FieldPicture
        Pixels and labels.
    contrast : mapping
        From `shared_contrast`.
    size : int
        Side of the result. Up to twice as many pixels are taken from the middle of the field and reduced by averaging.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3) or smaller for a small field
        Ready for `data_uri`.
    """
    import cv2

    height, width = picture.image.shape[1:]
    side = min(height, width, 2 * size)
    if side >= size * 1.5:
        side = round(size * 1.25)  # keep spots of a few pixels visible: reduce a little, crop the rest
    top, left = (height - side) // 2, (width - side) // 2
    window = (slice(top, top + side), slice(left, left + side))
    shown = min(size, side)
    canvas: NDArray[np.float32] = np.zeros((shown, shown, 3), np.float32)
    for i, (name, plane) in enumerate(zip(picture.channels, picture.image, strict=True)):
        low, high = contrast[name]
        scaled = np.clip((plane[window].astype(np.float32) - low) / max(high - low, 1e-6), 0, 1) ** 0.7
        reduced = cv2.resize(scaled, (shown, shown), interpolation=cv2.INTER_AREA)
        canvas += reduced[:, :, None] * np.asarray(TINTS[i % len(TINTS)], np.float32)
    rgb = np.ascontiguousarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    for i, labels in enumerate(picture.labels.values()):
        _outline(rgb, labels[window], OUTLINES[i % len(OUTLINES)])
    return rgb


def data_uri(rgb: NDArray[np.uint8], *, quality: int = 82) -> str:
    """Return an RGB picture as a WebP data URI (PNG where this OpenCV cannot write WebP)."""
    import cv2

    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    kinds: tuple[tuple[str, list[int]], ...] = ((".webp", [cv2.IMWRITE_WEBP_QUALITY, quality]), (".png", []))
    for suffix, options in kinds:
        done, encoded = cv2.imencode(suffix, bgr, options)
        if done:
            return f"data:image/{suffix[1:]};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
    raise AssertionError("OpenCV always writes PNG")


def _outline(rgb: NDArray[np.uint8], labels: NDArray[Any], colour: tuple[int, int, int]) -> None:
    """Draw the outermost pixels of each object, a little transparent."""
    import cv2

    small = cv2.resize(labels.astype(np.int32), (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_NEAREST)
    border = np.zeros(small.shape, bool)
    rows, columns = np.diff(small, axis=0) != 0, np.diff(small, axis=1) != 0
    border[:-1] |= rows
    border[1:] |= rows
    border[:, :-1] |= columns
    border[:, 1:] |= columns
    border &= small > 0
    rgb[border] = (0.35 * rgb[border] + 0.65 * np.asarray(colour)).astype(np.uint8)
