"""How a picture file becomes counts, bit for bit: TIFF (palette, grey) and PNG, one channel, 8 or 16 bits unsigned."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TIFF: Final = (".tif", ".tiff")
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY: Final = 0


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that holds one plane (a `phenoloop.microscope.virtual.recording.Picture`)."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def shape(self) -> tuple[tuple[int, int], np.dtype[Any]]:
        """Return shape and dtype (see `picture_shape`)."""
        return picture_shape(self.path)

    def read(self) -> NDArray[Any]:
        """Return the counts (see `read_picture`)."""
        return read_picture(self.path)


def picture_shape(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return shape (height, width) and dtype of a picture, from its header where that says enough.

    Raises
    ------
    ValueError
        If it cannot be used (see `read_picture`).
    """
    if path.suffix.lower() in _TIFF:
        import tifffile

        with _opened(path), tifffile.TiffFile(path) as tiff:
            series = tiff.series[0] if tiff.series else None
            if series is not None and len(series.shape) == 2:
                return (int(series.shape[0]), int(series.shape[1])), _counts(path, np.dtype(series.dtype))
    elif (header := _png_header(path)) is not None:
        width, height, bits, colour = header
        if colour == _GREY and bits in (8, 16):
            return (height, width), np.dtype(np.uint8 if bits == 8 else np.uint16)
    picture = read_picture(path)  # the header does not say whether its colours are all grey
    return (picture.shape[0], picture.shape[1]), picture.dtype


def read_picture(path: Path) -> NDArray[Any]:
    """Return the counts of a picture.

    The indices of a palette TIFF are its counts. A picture in colour whose channels are all equal is grey; its
    transparency says nothing of light and is dropped.

    Returns
    -------
    ndarray of uint8 or uint16, shape (y, x)

    Raises
    ------
    ValueError
        If it is missing, damaged, of another format, a stack, really in colour, or not of 8 or 16 bits unsigned; the
        message names the file and the way out.
    """
    if path.suffix.lower() in _TIFF:
        import tifffile

        with _opened(path):
            picture = np.asarray(tifffile.imread(path))
    elif (header := _png_header(path)) is not None:
        import cv2

        if 0 < header[2] < 8:
            raise ValueError(f"{path}: has {header[2]} bits per pixel; save it with 8 or 16 bits")

        # Not cv2.imread: on Windows it cannot open a path with letters outside the code page.
        decoded: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise ValueError(f"{path}: cannot be read as PNG, it may be damaged; copy it again")
        picture = np.asarray(decoded)
    else:
        raise ValueError(f"{path}: neither TIFF nor PNG; save it as one of these, without loss")
    while picture.ndim > 2 and picture.shape[0] == 1:
        picture = picture[0]
    return _grey(path, picture)


class _opened:
    """Turns what goes wrong inside a TIFF reader into one sentence that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        _must_exist(self._path)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            raise ValueError(
                f"{self._path}: cannot be read as TIFF, it may be damaged ({error}); copy it again"
            ) from error


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; correct the manifest or bring the file back")


def _png_header(path: Path) -> tuple[int, int, int, int] | None:
    """Return width, height, bits and colour type, or None for a file that is no PNG."""
    _must_exist(path)
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or not head.startswith(_PNG_SIGNATURE):
        return None
    width, height, bits, colour = struct.unpack(">IIBB", head[16:26])
    return width, height, bits, colour


def _grey(path: Path, picture: NDArray[Any]) -> NDArray[Any]:
    if picture.ndim == 3 and picture.shape[-1] in (3, 4):
        colours = picture[..., :3]
        if (colours != colours[..., :1]).any():
            raise ValueError(f"{path}: a picture in colour; save each channel as a grey picture of its own")
        picture = colours[..., 0]
    if picture.ndim != 2:
        raise ValueError(f"{path}: holds a stack of shape {picture.shape}; save each plane as a file of its own")
    return np.ascontiguousarray(picture, _counts(path, picture.dtype))


def _counts(path: Path, dtype: np.dtype[Any]) -> np.dtype[Any]:
    native = dtype.newbyteorder("=")
    if native not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise ValueError(f"{path}: its pixels are {dtype}, not counts of a camera; save it as 8 or 16 bit unsigned")
    return native
