"""How a field is shown: one contrast for all pictures of a report, so that wells compare by eye, and thin outlines."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
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
TINT_NAMES: Final = ("blue", "yellow", "pink", "grey")
OUTLINES: Final[tuple[tuple[int, int, int], ...]] = ((255, 255, 255), (255, 140, 0), (0, 220, 220))
"""Objects white, spots orange."""
OUTLINE_NAMES: Final = ("white", "orange", "cyan")
BAR: Final = 0.3
"""The longest scale bar, as a share of the picture."""


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
    pixel_um : float or None
        Side of a pixel; None where it is not known: then there is no scale bar.
    """

    image: NDArray[Any]
    channels: tuple[str, ...]
    labels: Mapping[str, NDArray[Any]]
    visit: int = 0
    pixel_um: float | None = None


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
    """Return the middle of a field as RGB, channels tinted and added up, objects and spots outlined, with a scale bar.

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
    side = _side(picture, size)
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
    if (bar := bar_um(picture, size=size)) is not None and picture.pixel_um is not None:
        _bar(rgb, round(bar / picture.pixel_um * shown / side))
    return rgb


def bar_um(picture: FieldPicture, *, size: int = 256) -> float | None:
    """Return how many micrometres the scale bar of `draw` is long: 1, 2 or 5 times a power of ten."""
    if picture.pixel_um is None:
        return None
    longest = BAR * _side(picture, size) * picture.pixel_um
    unit = 10.0 ** math.floor(math.log10(longest))
    return max(unit * k for k in (1, 2, 5) if unit * k <= longest)


def tint_said(channels: Sequence[str], contrast: Contrast | None = None) -> str:
    """Return which channel is shown in which colour, and from which to which pixel value."""
    said = []
    for i, name in enumerate(channels):
        text = f"{name} {TINT_NAMES[i % len(TINTS)]}"
        if contrast is not None:
            low, high = contrast[name]
            text += f" ({low:.0f} to {high:.0f} counts)"
        said.append(text)
    return ", ".join(said)


def outlines_said(labels: Sequence[str]) -> str:
    """Return which objects have outlines of which colour; empty where there are none."""
    return ", ".join(f"{name} {OUTLINE_NAMES[i % len(OUTLINES)]}" for i, name in enumerate(labels))


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


def _side(picture: FieldPicture, size: int) -> int:
    """Return how many pixels of the field, from its middle, a picture of a size shows."""
    side = min(*picture.image.shape[1:], 2 * size)
    # Keep spots of a few pixels visible: reduce a little, crop the rest.
    return round(size * 1.25) if side >= size * 1.5 else side


def _bar(rgb: NDArray[np.uint8], length: int) -> None:
    """Draw a white bar with a black edge into the lower right corner."""
    height, width = rgb.shape[:2]
    thick, off = max(2, height // 80), max(3, height // 32)
    rgb[height - off - thick - 1 : height - off + 1, width - off - length - 1 : width - off + 1] = 0
    rgb[height - off - thick : height - off, width - off - length : width - off] = 255


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
