"""OME-Zarr plates as other programs write them: ome-zarr-py, and plain zarr with metadata written by hand."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

Pictures = Mapping[str, Mapping[str, NDArray[Any]]]
"""By well (``B/3``) and field: the counts of an image."""

ZARR = {"0.4": 2, "0.5": 3}
PIXEL = 0.65


def by_ome_zarr_py(folder: Path, version: str, pictures: Pictures, axes: str = "cyx") -> Path:
    """As its writer does it when nothing further is said: a pyramid, no units, no names of channels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own parts, by its own parts
        from ome_zarr.format import FormatV04, FormatV05
        from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata

        form = {"0.4": FormatV04, "0.5": FormatV05}[version]()
        root = zarr.open_group(str(folder), mode="w", zarr_format=ZARR[version])
        rows, columns = (sorted({path.split("/")[i] for path in pictures}) for i in (0, 1))
        write_plate_metadata(root, rows, columns, list(pictures), fmt=form)
        for path, fields in pictures.items():
            well = root.require_group(path)
            write_well_metadata(well, list(fields), fmt=form)
            for name, image in fields.items():
                write_image(np.asarray(image), well.require_group(name), axes=axes, fmt=form)
    return folder


def by_hand(
    folder: Path,
    version: str,
    pictures: Pictures,
    *,
    axes: str = "cyx",
    channels: tuple[str, ...] = ("DNA", "GFP"),
    unit: str | None = "micrometer",
    pixel: tuple[float, float] = (PIXEL, PIXEL),
    chunks: tuple[int, ...] | None = None,
    plate: Mapping[str, Any] | None = None,
    well: Mapping[str, Any] | None = None,
    image: Mapping[str, Any] | None = None,
    said: str | None = None,
    **array: Any,
) -> Path:
    """With units and names of channels.

    Parameters
    ----------
    folder, version, pictures, axes, channels, unit, pixel, chunks
        What is written; the order of the axes is that of the arrays.
    plate, well, image : mapping
        Put over the metadata of each.
    said : str
        Version that the metadata gives, if not `version`.
    **array
        For ``zarr.Group.create_array``.
    """
    version_said = version if said is None else said
    root = zarr.open_group(str(folder), mode="w", zarr_format=ZARR[version])

    def describe(group: Any, content: Mapping[str, Any]) -> None:
        if version == "0.5":
            group.attrs["ome"] = {"version": version_said, **content}
        else:
            group.attrs.update({key: _versioned(value, version_said) for key, value in content.items()})

    rows, columns = (sorted({path.split("/")[i] for path in pictures}) for i in (0, 1))
    wells = [
        {"path": path, "rowIndex": rows.index(path.split("/")[0]), "columnIndex": columns.index(path.split("/")[1])}
        for path in pictures
    ]
    names = {"rows": [{"name": row} for row in rows], "columns": [{"name": column} for column in columns]}
    describe(root, {"plate": {**names, "wells": wells, **(plate or {})}})
    for path, fields in pictures.items():
        group = root.require_group(path)
        describe(group, {"well": {"images": [{"path": name} for name in fields], **(well or {})}})
        for name, counts in fields.items():
            counts = np.asarray(counts)
            here = group.require_group(name)
            stored = here.create_array("0", shape=counts.shape, dtype=counts.dtype, chunks=chunks or "auto", **array)
            stored[...] = counts
            scale = [*[1.0] * (counts.ndim - 2), *pixel]
            kinds = {"t": "time", "c": "channel"}
            told = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
            for axis in told:
                if unit is not None and axis["type"] == "space":
                    axis["unit"] = unit
            scaling = [{"type": "scale", "scale": scale}]
            multiscales = [{"axes": told, "datasets": [{"path": "0", "coordinateTransformations": scaling}]}]
            omero = {"channels": [{"label": label} for label in channels]}
            describe(here, {"multiscales": multiscales, "omero": omero, **(image or {})})
    return folder


def _versioned(value: Any, version: str) -> Any:
    """0.4 says its version inside each block."""
    if isinstance(value, dict):
        return {**value, "version": version}
    return [{**one, "version": version} for one in value] if isinstance(value, list) else value


def edit(path: Path, change: Any) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
