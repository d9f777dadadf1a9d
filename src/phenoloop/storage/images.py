"""The images of a run: one plate per profile, each begun by the profile's first frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from phenoloop.errors import StorageError
from phenoloop.model import FrameAddress, Plan, StoredFrame
from phenoloop.ports import Image, Labels
from phenoloop.storage.layout import plate_folder
from phenoloop.storage.plate import PlateStore


class RunImages:
    """All plates of a run, as an `ports.ImageStore`. Safe to use from several threads.

    Plates that the folder holds already are taken up, so that a resumed run goes on where it was killed.

    Parameters
    ----------
    folder : Path
        ``images`` of the run folder.
    plan : Plan
        Names wells and profiles.
    bit_depth : int or None
        Of the camera, for the display window.
    synced : bool
        Whether `settle` waits for the disk.

    Raises
    ------
    StorageError
        If a plate that exists cannot be read, or was not made for this plan.
    """

    def __init__(self, folder: Path, plan: Plan, *, bit_depth: int | None = None, synced: bool = True) -> None:
        self.folder = folder
        self._plan = plan
        self._bit_depth = bit_depth
        self._synced = synced
        self._lock = threading.Lock()
        # Fields without a frame, of a profile that has no frame yet: the shape of their images is not known.
        self._empty: dict[str, list[FrameAddress]] = {}
        self._plates = {
            profile: PlateStore.open(plate_folder(folder, profile), plan, profile, bit_depth=bit_depth, synced=synced)
            for profile in plan.profiles
            if (plate_folder(folder, profile) / "zarr.json").is_file()
        }

    def write(self, frame: StoredFrame, pixels: Image) -> None:
        """Begin to write one frame into the slot of its address; see `PlateStore.write`."""
        self._plate_for(frame.address.profile, pixels).write(frame, pixels)

    def settle(self, visit: int) -> Sequence[tuple[FrameAddress, str]]:
        """Wait until every frame of a visit is durable; return those that could not be kept, with reasons."""
        return [failure for plate in self._open() for failure in plate.settle(visit)]

    def ensure_field(self, address: FrameAddress) -> None:
        """Make the image of a field exist though none of its frames was kept, as soon as its shape is known."""
        with self._lock:
            plate = self._plates.get(address.profile)
            if plate is None:
                self._empty.setdefault(address.profile, []).append(address)
        if plate is not None:
            plate.ensure_field(address)

    def stored(self, address: FrameAddress) -> bool:
        """Return whether a frame is on disk, whole."""
        plate = self._plates.get(address.profile)
        return plate is not None and plate.stored(address)

    def read(self, address: FrameAddress) -> Image | None:
        """Return a frame (y, x) from the disk; None when it is not stored."""
        plate = self._plates.get(address.profile)
        return None if plate is None else plate.read(address)

    def count_stored(self) -> int:
        """Return how many whole frames lie on the disk, counted from the files."""
        return sum(plate.count_stored() for plate in self._open())

    def write_labels(self, name: str, address: FrameAddress, labels: Labels) -> None:
        """Write (or replace) the labels of a field's visit; see `PlateStore.write_labels`."""
        plate = self._plates.get(address.profile)
        if plate is None:
            raise StorageError(f"the profile {address.profile} has no image yet, so it can have no labels.")
        plate.write_labels(name, address, labels)

    def read_labels(self, name: str, address: FrameAddress) -> Labels | None:
        """Return the labels (y, x) of a field's visit; None when there are none."""
        plate = self._plates.get(address.profile)
        return None if plate is None else plate.read_labels(name, address)

    def close(self) -> None:
        """Close all plates; the first refusal is raised after all were tried."""
        errors = []
        for plate in self._open():
            try:
                plate.close()
            except StorageError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _open(self) -> list[PlateStore]:
        with self._lock:
            return list(self._plates.values())

    def _plate_for(self, profile: str, pixels: Image) -> PlateStore:
        with self._lock:
            plate = self._plates.get(profile)
            if plate is None:
                if profile not in self._plan.profiles:
                    raise StorageError(f"the protocol has no profile {profile!r}.")
                if pixels.ndim != 2:
                    raise StorageError(
                        f"a frame has the shape {pixels.shape}; only single-plane grey images are stored."
                    )
                height, width = pixels.shape
                plate = PlateStore(
                    plate_folder(self.folder, profile),
                    self._plan,
                    profile,
                    (height, width),
                    pixels.dtype,
                    bit_depth=self._bit_depth,
                    synced=self._synced,
                )
                for address in self._empty.pop(profile, []):
                    plate.ensure_field(address)
                self._plates[profile] = plate
            return plate
