"""The frames of one profile: when one may be written, when it is durable, and which are there."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from phenoloop.errors import StorageError
from phenoloop.model import FrameAddress, Plan, StoredFrame
from phenoloop.ports import Image, Labels
from phenoloop.storage.chunks import Chunks
from phenoloop.storage.headers import Headers, read_header
from phenoloop.storage.layout import ArrayLayout
from phenoloop.storage.tree import PlateTree, images_on_disk, wells_on_disk
from phenoloop.storage.under_way import UnderWay, name_of


class PlateStore:
    """A new OME-Zarr 0.5 plate; `open` takes up one that exists. Safe to use from several threads.

    Parameters
    ----------
    folder : Path
        ``<profile>.ome.zarr``; it appears with the first frame.
    plan : Plan
        Names the wells, their places, the profile.
    profile : str
        Profile of all frames of this plate.
    shape : tuple of int
        (height, width) of every frame in pixels.
    dtype : numpy dtype
        Of every frame; an unsigned integer.
    bit_depth : int or None
        Of the camera, for the display window; None: that of the dtype.
    synced : bool
        Whether `settle` waits for the disk (True), or for the operating system only.

    Raises
    ------
    StorageError
        If the plate exists already, or `dtype` is no unsigned integer.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        profile: str,
        shape: tuple[int, int],
        dtype: DTypeLike,
        *,
        bit_depth: int | None = None,
        synced: bool = True,
    ) -> None:
        if (folder / "zarr.json").exists():
            raise StorageError(f"{folder} exists already; images are never overwritten. Choose another run folder.")
        self._begin(folder, plan, profile, shape, np.dtype(dtype), bit_depth, synced=synced)

    @classmethod
    def open(
        cls, folder: Path, plan: Plan, profile: str, *, bit_depth: int | None = None, synced: bool = True
    ) -> PlateStore:
        """Take up a plate that exists, also after a crash; shape and dtype are those of its images.

        Raises
        ------
        StorageError
            If it cannot be read, or was not made for this plan.
        """
        store = cls.__new__(cls)
        try:
            well = folder / next(wells_on_disk(folder))
            header = read_header(well / str(next(images_on_disk(well))) / "0")
            height, width = header["shape"][-2:]
            store._begin(
                folder, plan, profile, (height, width), np.dtype(header["data_type"]), bit_depth, synced=synced
            )
            store._tree.load()
        except (KeyError, IndexError, TypeError, ValueError, StopIteration) as error:
            raise StorageError(f"{folder} is no plate of phenoloop ({error!r}). Restore it from a copy.") from error
        return store

    def _begin(
        self,
        folder: Path,
        plan: Plan,
        profile: str,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        bit_depth: int | None,
        *,
        synced: bool,
    ) -> None:
        if dtype.kind != "u":
            raise StorageError(f"frames are {dtype}; only unsigned integers can be stored, as cameras give them.")
        self.folder = folder.resolve()
        self._profile = plan.profiles[profile]
        self._channels = [channel.name for channel in self._profile.channels]
        self.layout = ArrayLayout(
            shape=shape,
            dtype=dtype,
            channels=len(self._channels),
            planes=self._profile.planes if self._profile.z_offsets_um else None,
        )
        self._headers = Headers(synced=synced)
        self._tree = PlateTree(self.folder, plan, profile, self.layout, bit_depth, self._headers)
        self._frames = Chunks(self.layout, synced=synced)
        # Labels can be made again from the images, so nobody waits for the disk.
        self._labels = Chunks(self._tree.label_layout, synced=False)
        self._lock = threading.RLock()
        self._under_way = UnderWay()
        self._closed = False

    def write(self, frame: StoredFrame, pixels: Image) -> None:
        """Begin to write one frame; waits only while too many are on their way.

        A frame that does not fit this plate is not written and becomes a failure of its visit (see `settle`).

        Parameters
        ----------
        frame : StoredFrame
            Its address says the slot.
        pixels : ndarray, shape (y, x)
            Not copied: must not be changed afterwards.

        Raises
        ------
        StorageError
            If the slot was written before, or the disk refuses the image's headers.
        """
        address = frame.address
        with self._lock:
            self._refuse_closed()
            if misfit := self._misfit(address, pixels):
                self._under_way.failed(address, misfit)
                return
            if address in self._under_way or self.stored(address):
                raise StorageError(
                    f"{name_of(address)} would be written twice. This is a fault of phenoloop, please report it; the "
                    "frame on disk was left as it is."
                )
            try:
                image = self._tree.ensure(address)
            except StorageError as error:
                self._under_way.failed(address, str(error))
                raise
            writing = self._frames.begin(image.folder / "0", address.t, address.c, address.z, pixels)
            self._under_way.begun(address, writing)
        self._under_way.wait_for_room()

    def settle(self, visit: int) -> Sequence[tuple[FrameAddress, str]]:
        """Wait until every frame of a visit is durable.

        Returns
        -------
        list of (FrameAddress, str)
            The frames that could not be kept, with reasons; told once.

        Raises
        ------
        StorageError
            If the disk refuses a header, without which no frame of the plate can be found.
        """
        failures = self._under_way.settle(visit)
        self._headers.wait()
        return failures

    def ensure_field(self, address: FrameAddress) -> None:
        """Make the image of a field exist up to ``address.t``, filled with 0, though none of its frames was kept.

        Raises
        ------
        StorageError
            If the disk refuses it.
        """
        with self._lock:
            self._refuse_closed()
            self._tree.ensure(address)

    def stored(self, address: FrameAddress) -> bool:
        """Return whether a frame is on disk, whole."""
        array = self._tree.image_folder(address) / "0"
        return all((array / chunk).is_file() for chunk in self.layout.chunks(address.t, address.c, address.z))

    def read(self, address: FrameAddress) -> Image | None:
        """Return a frame (y, x) from the disk; None when it is not stored."""
        if not self.stored(address):
            return None
        return self._frames.read(self._tree.image_folder(address) / "0", address.t, address.c, address.z)

    def count_stored(self) -> int:
        """Return how many whole frames lie on the disk, counted from the files."""
        with self._lock:
            arrays = [image.folder / "0" for image in self._tree.images()]
        channels, planes = range(self.layout.channels or 1), range(self.layout.planes or 1)
        return sum(
            all((array / chunk).is_file() for chunk in self.layout.chunks(*slot))
            for array in arrays
            for slot in itertools.product((int(t.name) for t in (array / "c").glob("[0-9]*")), channels, planes)
        )

    def write_labels(self, name: str, address: FrameAddress, labels: Labels) -> None:
        """Write (or replace) the labels of a field's visit; channel and plane of the address do not matter.

        Parameters
        ----------
        name : str
            Letters, digits, ``_`` and ``-``; at most 40.
        address : FrameAddress
            Any frame of the field's visit.
        labels : ndarray of int, shape (y, x)
            0 is background.

        Raises
        ------
        StorageError
            If there is no such image, the labels do not fit it, or the disk refuses.
        """
        if labels.shape != self.layout.shape:
            raise StorageError(f"labels {name} have the shape {labels.shape}, the image has {self.layout.shape}.")
        with self._lock:
            self._refuse_closed()
            array = self._tree.ensure_labels(name, address)
        if reason := self._labels.begin(array, address.t, 0, 0, labels.astype(np.uint32, copy=False)).wait():
            raise StorageError(f"labels {name} of {name_of(address)} could not be written: {reason}")

    def read_labels(self, name: str, address: FrameAddress) -> Labels | None:
        """Return the labels (y, x) of a field's visit as int32; None when there are none."""
        array = self._tree.image_folder(address) / "labels" / name / "0"
        if not all((array / chunk).is_file() for chunk in self._tree.label_layout.chunks(address.t, 0, 0)):
            return None
        return self._labels.read(array, address.t, 0, 0).astype(np.int32)

    def close(self) -> None:
        """Wait for what is on its way, and make all images equally long along t; again does nothing.

        Raises
        ------
        StorageError
            If the disk refuses, or a frame failed that nobody asked about with `settle`.
        """
        with self._lock:
            if self._closed:
                return
            lost = [failure for visit in self._under_way.visits() for failure in self.settle(visit)]
            self._tree.finish()
            self._headers.close()
            self._closed = True
        if lost:
            address, reason = lost[0]
            raise StorageError(f"{len(lost)} frames were lost, the first is {name_of(address)}: {reason}")

    def _misfit(self, address: FrameAddress, pixels: Image) -> str:
        """Return why a frame cannot lie in this plate; empty when it can."""
        if address.profile != self._profile.name:
            return f"the frame is of the profile {address.profile}, this plate of {self._profile.name}"
        if not 0 <= address.c < len(self._channels) or self._channels[address.c] != address.channel:
            return f"channel {address.channel!r} has the index {address.c}, this plate has {self._channels}"
        if not 0 <= address.z < self._profile.planes or min(address.t, address.image) < 0:
            return f"there is no slot t={address.t} z={address.z} in image {address.image}"
        if pixels.shape != self.layout.shape or pixels.dtype != self.layout.dtype:
            return (
                f"the frame has the shape {pixels.shape} and is {pixels.dtype}; the first of this plate had "
                f"{self.layout.shape} and was {self.layout.dtype}, and all images of a plate must agree"
            )
        return ""

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageError(f"{self.folder} is closed.")
