"""Where a frame lies inside a plate: names of rows, folders and chunks, and the Zarr header of an array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

TILE_PX: Final = 1024
"""Largest edge of a chunk: a frame is one chunk, unless a viewer would have to read megabytes for a corner of it."""


def plate_folder(images: Path, profile: str) -> Path:
    """Return the folder of a profile's plate inside the images folder of a run."""
    return images / f"{profile}.ome.zarr"


def row_name(row: int) -> str:
    """Return the letters of a zero-based row: A ... Z, AA, AB ..."""
    name = ""
    row += 1
    while row > 0:
        row, letter = divmod(row - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


def well_path(row: int, column: int) -> str:
    """Return the path of a well's group inside its plate, ``B/3``; both indices are zero-based."""
    return f"{row_name(row)}/{column + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayLayout:
    """The shape of one image's array, ``(t, [c], [z], y, x)``; how long `t` is, is not fixed.

    Attributes
    ----------
    shape : tuple of int
        (height, width) in pixels.
    dtype : numpy dtype
        Of the pixels.
    channels, planes : int or None
        None: the array has no such axis.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    channels: int | None
    planes: int | None

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes in their order."""
        return (
            "t",
            *(["c"] if self.channels is not None else []),
            *(["z"] if self.planes is not None else []),
            "y",
            "x",
        )

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of a chunk: the frame in equal parts of at most `TILE_PX`."""
        height, width = (math.ceil(edge / math.ceil(edge / TILE_PX)) for edge in self.shape)
        return height, width

    def index(self, t: int, c: int, z: int) -> tuple[int, ...]:
        """Return the leading indices of a frame, without those of axes that this array does not have."""
        return (t, *([c] if self.channels is not None else []), *([z] if self.planes is not None else []))

    def chunks(self, t: int, c: int, z: int) -> tuple[str, ...]:
        """Return the files of a frame, relative to the array's folder. A frame is stored when all of them exist."""
        lead = "/".join(["c", *map(str, self.index(t, c, z))])
        rows, columns = (math.ceil(edge / part) for edge, part in zip(self.shape, self.tile, strict=True))
        return tuple(f"{lead}/{row}/{column}" for row in range(rows) for column in range(columns))

    def header(self, length: int) -> dict[str, Any]:
        """Return the ``zarr.json`` (Zarr 3) of an array with `length` entries along t; unwritten ones read as 0."""
        leading = [*([self.channels] if self.channels is not None else []), *([self.planes] if self.planes else [])]
        bytes_codec: dict[str, Any] = {"name": "bytes"}
        if self.dtype.itemsize > 1:
            bytes_codec["configuration"] = {"endian": "little"}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [length, *leading, *self.shape],
            "data_type": self.dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [1] * (1 + len(leading)) + list(self.tile)},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                bytes_codec,
                # Byte shuffle and LZ4: half the bytes of a camera frame for half a millisecond.
                {
                    "name": "blosc",
                    "configuration": {
                        "cname": "lz4",
                        "clevel": 5,
                        "shuffle": "shuffle",
                        "typesize": self.dtype.itemsize,
                        "blocksize": 0,
                    },
                },
            ],
            "attributes": {},
            "dimension_names": list(self.axes),
        }
