"""What OME-Zarr 0.5 wants to be told: the ``zarr.json`` of plate, well, image and labels, made by yaozarrs's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel
from yaozarrs import v05

from phenoloop.model import ProfilePlan
from phenoloop.storage.layout import ArrayLayout, row_name

NAMESPACE: Final = "phenoloop"
"""Key of our own attributes, beside ``ome``."""

_COLOURS: Final = ("0080FF", "00FF00", "FF0000", "FF00FF", "FFFF00", "00FFFF")


def group(ome: Mapping[str, Any] | None = None, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the ``zarr.json`` of a group with NGFF metadata and attributes of our own."""
    attributes: dict[str, Any] = {}
    if ome is not None:
        attributes["ome"] = ome
    if own:
        attributes[NAMESPACE] = own
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def plate(name: str, rows: int, columns: int, wells: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Return the metadata of a plate: its whole grid, and the wells that hold an image.

    Parameters
    ----------
    name : str
        For viewers.
    rows, columns : int
        Size of the plate.
    wells : mapping of str to (int, int)
        Path (``B/3``) to zero-based row and column; at least one, or NGFF has no plate.
    """
    return _plain(
        v05.Plate(
            plate=v05.PlateDef(
                name=name,
                rows=[v05.Row(name=row_name(row)) for row in range(rows)],
                columns=[v05.Column(name=str(column + 1)) for column in range(columns)],
                wells=[
                    v05.PlateWell(path=path, rowIndex=row, columnIndex=column) for path, (row, column) in wells.items()
                ],
            )
        )
    )


def well(images: Sequence[int]) -> dict[str, Any]:
    """Return the metadata of a well with these image groups."""
    return _plain(v05.Well(well=v05.WellDef(images=[v05.FieldOfView(path=str(image)) for image in images])))


def image(layout: ArrayLayout, profile: ProfilePlan, bit_depth: int | None) -> dict[str, Any]:
    """Return the metadata of one field's image: axes, pixel size in micrometres, channels.

    Parameters
    ----------
    layout : ArrayLayout
        Of its array.
    profile : ProfilePlan
        How it is imaged.
    bit_depth : int or None
        Of the camera, for the display window; None: that of the dtype.
    """
    brightest = float(2**bit_depth - 1) if bit_depth else float(np.iinfo(layout.dtype).max)
    window = v05.OmeroWindow(start=0, min=0, end=brightest, max=brightest)
    channels = [
        v05.OmeroChannel(
            label=channel.name,
            active=True,
            window=window,
            color="FFFFFF" if len(profile.channels) == 1 else _COLOURS[index % len(_COLOURS)],
        )
        for index, channel in enumerate(profile.channels)
    ]
    return _plain(
        v05.Image(multiscales=[_multiscale(layout, profile, profile.name)], omero=v05.Omero(channels=channels))
    )


def labels_group(names: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of the folder that holds an image's labels."""
    return _plain(v05.LabelsGroup(labels=list(names)))


def label_image(layout: ArrayLayout, profile: ProfilePlan, name: str) -> dict[str, Any]:
    """Return the metadata of one labels image; its source is the image two folders up."""
    return _plain(
        v05.LabelImage.model_validate(
            {
                "multiscales": [_multiscale(layout, profile, name)],
                "image-label": v05.ImageLabel(version="0.5", source=v05.LabelSource(image="../../")),
            }
        )
    )


def _multiscale(layout: ArrayLayout, profile: ProfilePlan, name: str) -> v05.Multiscale:
    pixel = profile.pixel_size_um
    offsets = profile.z_offsets_um
    step = abs(offsets[-1] - offsets[0]) / (len(offsets) - 1) if len(offsets) > 1 else 1.0
    # t counts the visits of a field, which come when the loop sends them: it has no unit.
    kinds: dict[str, tuple[Any, float]] = {
        "t": (v05.TimeAxis(name="t"), 1.0),
        "c": (v05.ChannelAxis(name="c"), 1.0),
        "z": (v05.SpaceAxis(name="z", unit="micrometer"), step or 1.0),
        "y": (v05.SpaceAxis(name="y", unit="micrometer"), pixel),
        "x": (v05.SpaceAxis(name="x", unit="micrometer"), pixel),
    }
    return v05.Multiscale(
        name=name,
        axes=[kinds[axis][0] for axis in layout.axes],
        datasets=[
            v05.Dataset(
                path="0",
                coordinateTransformations=[v05.ScaleTransformation(scale=[kinds[axis][1] for axis in layout.axes])],
            )
        ],
    )


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
