"""The headers of a plate: which wells, images and labels exist, written so that readers find it valid at every moment.

The array comes before its image, the image before the well that lists it, the well before the plate that lists it, and
no pixel is written before all of them. A file that changes is replaced whole. So a reader, or a run that is taken up
after the process was killed, finds a smaller plate, never a broken one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from phenoloop.errors import StorageError
from phenoloop.model import FrameAddress, Plan
from phenoloop.storage import ngff
from phenoloop.storage.headers import Headers, read_header
from phenoloop.storage.layout import ArrayLayout, well_path

_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(slots=True)
class FieldImage:
    """An image group.

    Attributes
    ----------
    folder : Path
        Of the group; its array is ``0``.
    field : str or None
        The field it shows; None when it only fills a gap in the numbers.
    length : int
        Entries along t that readers see.
    labels : dict of str to int
        The same for each of its labels.
    """

    folder: Path
    field: str | None
    length: int
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


class PlateTree:
    """The groups of one plate. Not safe to use from several threads: its owner holds a lock.

    Parameters
    ----------
    folder : Path
        ``<profile>.ome.zarr``, absolute; it appears with the first image.
    plan : Plan
        Names the wells, their places, the profile.
    profile : str
        Profile of the plate.
    layout : ArrayLayout
        Of every image's array.
    bit_depth : int or None
        Of the camera, for the display window.
    headers : Headers
        Writes them.
    """

    def __init__(
        self, folder: Path, plan: Plan, profile: str, layout: ArrayLayout, bit_depth: int | None, headers: Headers
    ) -> None:
        self.folder = folder
        self._headers = headers
        self.layout = layout
        # Labels have no channels, and one plane: what was segmented is a picture, not a stack.
        self.label_layout = dataclasses.replace(
            layout, dtype=np.dtype(np.uint32), channels=None, planes=None if layout.planes is None else 1
        )
        self._plan = plan
        self._profile = plan.profiles[profile]
        self._bit_depth = bit_depth
        self._places = {well.name: well for well in plan.wells}
        self._wells: dict[str, dict[int, FieldImage]] = {}

    def image_folder(self, address: FrameAddress) -> Path:
        """Return where the image group of an address is, or would be.

        Raises
        ------
        StorageError
            If the plan has no such well.
        """
        place = self._places.get(address.well)
        if place is None:
            raise StorageError(f"the protocol does not select the well {address.well}, so it can have no image.")
        return self.folder / well_path(place.row, place.column) / str(address.image)

    def images(self) -> list[FieldImage]:
        """Return all image groups."""
        return [image for images in self._wells.values() for image in images.values()]

    def find(self, address: FrameAddress) -> FieldImage | None:
        """Return the image group of an address, or None."""
        return self._wells.get(address.well, {}).get(address.image)

    def ensure(self, address: FrameAddress) -> FieldImage:
        """Return the image group of an address, made or made longer if need be.

        Raises
        ------
        StorageError
            If the disk refuses, or the group belongs to another field.
        """
        image = self.find(address)
        if image is None:
            return self._create(address, address.field, address.t + 1)
        if image.field != address.field:
            raise StorageError(
                f"image {address.image} of {address.well} is the field {image.field!r}, not {address.field!r}. This is "
                "a fault of phenoloop, please report it; nothing was written."
            )
        if image.length <= address.t:
            self._headers.put(image.folder / "0", self.layout.header(address.t + 1))
            image.length = address.t + 1
        return image

    def ensure_labels(self, name: str, address: FrameAddress) -> Path:
        """Return the array folder of an image's labels, made or made longer if need be.

        Raises
        ------
        StorageError
            If there is no such image, the name cannot be a folder, or the disk refuses.
        """
        if not _LABEL_NAME.fullmatch(name):
            raise StorageError(f"{name!r} cannot name labels; use letters, digits, _ and -, at most 40.")
        image = self.find(address)
        if image is None:
            raise StorageError(f"field {address.field} of {address.well} has no image yet, so it can have no labels.")
        folder = image.folder / "labels" / name
        length = max(image.length, address.t + 1)
        if image.labels.get(name, 0) < length:
            self._headers.put(folder / "0", self.label_layout.header(length))
        if name not in image.labels:
            self._headers.put(folder, ngff.group(ngff.label_image(self.label_layout, self._profile, name)))
            self._headers.put(folder.parent, ngff.group(ngff.labels_group([*image.labels, name])))
        image.labels[name] = max(length, image.labels.get(name, 0))
        return folder / "0"

    def finish(self) -> None:
        """Fill gaps in the image numbers of a well, and give all images and labels the same length along t.

        Only headers change: entries without chunks read as 0. ome-zarr-py needs both, because it looks for an image
        under its place in the list and puts all arrays of a plate side by side.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        length = max((image.length for image in self.images()), default=0)
        for well, images in self._wells.items():
            for number in sorted(set(range(max(images))) - images.keys()):
                gap = FrameAddress(
                    visit=-1, profile=self._profile.name, well=well, field="", channel="", t=0, z=0, image=number, c=0
                )
                self._create(gap, None, length)
        for image in self.images():
            if image.length < length:
                self._headers.put(image.folder / "0", self.layout.header(length))
                image.length = length
            for name, has in image.labels.items():
                if has < length:
                    self._headers.put(image.folder / "labels" / name / "0", self.label_layout.header(length))
                    image.labels[name] = length

    def load(self) -> None:
        """Take in the groups that lie on the disk.

        Raises
        ------
        StorageError
            If one cannot be read, or was not made for this plan.
        """
        names = {well_path(well.row, well.column): well.name for well in self._plan.wells}
        for path in wells_on_disk(self.folder):
            if path not in names:
                raise StorageError(f"{self.folder} holds the well {path}, which the protocol does not select.")
            images = self._wells.setdefault(names[path], {})
            for number in images_on_disk(self.folder / path):
                images[number] = self._found(self.folder / path / str(number))

    def _create(self, address: FrameAddress, field: str | None, length: int) -> FieldImage:
        folder = self.image_folder(address)
        place = self._places[address.well]
        own: dict[str, Any] = {"well": address.well, "field": field}
        own |= next(({"x_um": spot.x_um, "y_um": spot.y_um} for spot in place.fields if spot.name == field), {})
        self._headers.put(folder / "0", self.layout.header(length))
        self._headers.put(folder, ngff.group(ngff.image(self.layout, self._profile, self._bit_depth), own))
        well, row = folder.parent, folder.parent.parent
        if not (row / "zarr.json").exists():
            self._headers.put(row, ngff.group())
        images = self._wells.get(address.well, {})
        self._headers.put(well, ngff.group(ngff.well(sorted((*images, address.image)))))
        if not images:
            places = [self._places[name] for name in (*self._wells, address.well)]
            wells = {well_path(place.row, place.column): (place.row, place.column) for place in places}
            plate = ngff.plate(self._plan.name, self._plan.plate_rows, self._plan.plate_columns, wells)
            self._headers.put(self.folder, ngff.group(plate, {"profile": self._profile.name}))
        # Known only now: had the disk refused one of the files, the next attempt would write all of them again.
        image = FieldImage(folder=folder, field=field, length=length)
        self._wells.setdefault(address.well, {})[address.image] = image
        return image

    def _found(self, folder: Path) -> FieldImage:
        header = read_header(folder / "0")
        length = int(header["shape"][0])
        if header != self.layout.header(length):
            raise StorageError(f"{folder} was not made by this protocol or this version, so it cannot be continued.")
        image = FieldImage(
            folder=folder, field=read_header(folder)["attributes"][ngff.NAMESPACE]["field"], length=length
        )
        if (folder / "labels" / "zarr.json").is_file():
            for name in read_header(folder / "labels")["attributes"]["ome"]["labels"]:
                image.labels[name] = int(read_header(folder / "labels" / name / "0")["shape"][0])
        return image


def wells_on_disk(plate: Path) -> Iterator[str]:
    """Yield the paths (``B/3``) of the wells that a plate lists."""
    for well in read_header(plate)["attributes"]["ome"]["plate"]["wells"]:
        yield well["path"]


def images_on_disk(well: Path) -> Iterator[int]:
    """Yield the numbers of the images that a well lists."""
    for image in read_header(well)["attributes"]["ome"]["well"]["images"]:
        yield int(image["path"])
