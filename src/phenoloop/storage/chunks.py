"""Pixels of our own plates to chunk files and back, by tensorstore (others: microscope.virtual.zarr_pictures)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from phenoloop.storage.layout import ArrayLayout

_LONGEST: Final = 2**31
"""Length of t that tensorstore is told. The one that readers see stands in ``zarr.json``, which we write ourselves:
then a revisit costs one small file, and opening an array costs no read."""

_SYSTEM: Final = re.compile(r'([^":]+) \[os_error_code=')


class Writing:
    """A frame on its way to the disk."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def wait(self) -> str:
        """Wait until all chunks of the frame are on the disk (synced, where the writer syncs).

        Returns
        -------
        str
            Why it could not be kept; empty when it was.
        """
        error = self._future.exception()
        if error is None:
            return ""
        text = str(error)
        # The system's own words when there are any: the rest is paths and places in tensorstore's source.
        cause = _SYSTEM.search(text)
        return f"the disk refused it: {cause[1].strip()}" if cause else text or repr(error)


class Chunks:
    """Writes and reads the frames of arrays that share one layout. Safe to use from several threads.

    Parameters
    ----------
    layout : ArrayLayout
        Of every array.
    synced : bool
        Whether a write is over only when the disk has it. A chunk appears under its name when it is complete, in
        either case.
    """

    def __init__(self, layout: ArrayLayout, *, synced: bool) -> None:
        self.layout = layout
        # No cache: what is read comes from the disk, and memory stays flat for days.
        self._context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": synced})
        self._header = layout.header(_LONGEST)

    def begin(self, array: Path, t: int, c: int, z: int, pixels: NDArray[Any]) -> Writing:
        """Begin to write a frame into the array of an absolute folder.

        `pixels` (y, x) is not copied and must not change before the write is over.
        """
        place = self._open(array)[self.layout.index(t, c, z)]
        return Writing(place.write(pixels, can_reference_source_data_indefinitely=True))

    def read(self, array: Path, t: int, c: int, z: int) -> NDArray[Any]:
        """Return a frame (y, x); one that was never written is 0 everywhere."""
        return np.asarray(self._open(array)[self.layout.index(t, c, z)].read().result())

    def _open(self, array: Path) -> Any:
        return ts.open(
            {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": f"{array.as_posix()}/"},
                "metadata": self._header,
                # By default a chunk of zeros is left out, and a dark frame would look as if it had never been taken.
                "store_data_equal_to_fill_value": True,
            },
            open=True,
            assume_metadata=True,
            context=self._context,
        ).result()
