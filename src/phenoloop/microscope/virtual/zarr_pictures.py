"""Planes of Zarr arrays that others wrote, version 2 and 3, whatever their chunks and codecs, by tensorstore."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DRIVERS: Final = {2: "zarr", 3: "zarr3"}
_OPEN: Final = 64
"""Arrays that are kept open; opening one reads its header again."""


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What an array says of itself.

    Attributes
    ----------
    version : int
        Of Zarr, 2 or 3.
    shape : tuple of int
        All axes.
    dtype : str
        As numpy names it.
    """

    version: int
    shape: tuple[int, ...]
    dtype: str


def array_header(folder: Path) -> ArrayHeader:
    """Return the header of an array.

    Raises
    ------
    ValueError
        If there is none, it cannot be read, or its pixels are no counts of a camera.
    """
    newer = (folder / "zarr.json").is_file()
    path = folder / ("zarr.json" if newer else ".zarray")
    try:
        said: Any = json.loads(path.read_bytes())
        shape, dtype = tuple(int(size) for size in said["shape"]), said["data_type" if newer else "dtype"]
    except FileNotFoundError as error:
        raise ValueError(f"{folder}: there is no Zarr array; bring it back, or copy the plate again") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is no header of a Zarr array ({error!r}); copy the plate again") from error
    try:
        native = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        native = None
    if native not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise ValueError(f"{folder}: its pixels are {dtype}, not counts of a camera; save it as 8 or 16 bit unsigned")
    return ArrayHeader(3 if newer else 2, shape, native.name)


@dataclass(frozen=True, slots=True)
class ArrayPlane:
    """One plane of an array (a `phenoloop.microscope.virtual.recording.Picture`).

    Attributes
    ----------
    path : Path
        Folder of the array.
    header : ArrayHeader
        Its header; the last two axes are y and x.
    index : tuple of int
        Place along the axes before these.
    """

    path: Path
    header: ArrayHeader
    index: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.path}[{', '.join(map(str, self.index))}]" if self.index else str(self.path)

    def shape(self) -> tuple[tuple[int, int], np.dtype[Any]]:
        """Return shape and dtype, from the header."""
        height, width = self.header.shape[-2:]
        return (height, width), np.dtype(self.header.dtype)

    def read(self) -> NDArray[Any]:
        """Return the counts; chunks that are not there are 0, which is how Zarr leaves out what is dark.

        Raises
        ------
        ValueError
            If it cannot be decoded.
        """
        try:
            pixels = np.asarray(_opened(self.path, self.header.version)[self.index].read().result())
        except (ValueError, OSError) as error:
            reason = str(error).split(" [", maxsplit=1)[0]
            raise ValueError(f"{self}: cannot be read as Zarr ({reason}); copy the plate again") from error
        return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


@lru_cache(maxsize=_OPEN)
def _opened(array: Path, version: int) -> Any:
    import tensorstore

    where = {"driver": "file", "path": f"{array.as_posix()}/"}
    return tensorstore.open({"driver": _DRIVERS[version], "kvstore": where}, open=True, read=True).result()
