"""What an OME-Zarr plate of any program says of itself (NGFF 0.4 and 0.5): wells, fields, channels, size of a pixel.

Only what is needed is asked for, and the first of the multiscales at full resolution: plates in the wild leave out
units and names of channels, so both can be said in the protocol.

References
----------
J. Moore et al., "OME-Zarr: a cloud-optimized bioimaging file format with international community support",
Histochemistry and Cell Biology 160 (2023) 223-251; https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phenoloop.microscope.virtual.recording import Key, Recording, Stack, same_well
from phenoloop.microscope.virtual.zarr_pictures import ArrayPlane, array_header

VERSIONS: Final = ("0.4", "0.5")
_MICROMETRES: Final = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "\u00b5m": 1.0,
    "millimeter": 1e3,
    "meter": 1e6,
}
_AXES: Final = ("t", "c", "z", "y", "x")
_SQUARE: Final = 0.01
"""Share by which the sides of a pixel may differ."""
_REMEDY: Final = "leave its well out of plate.wells, or its channel out of the protocol"


def read_plate(
    folder: Path, wells: Collection[str], *, acquisition: int | None = None, sized: bool = False
) -> Recording:
    """Return what a plate holds.

    Parameters
    ----------
    folder : Path
        Of the plate.
    wells : collection of str
        Wells that are looked into, as `same_well` spells them; of the others only the name is read.
    acquisition : int, optional
        Which of several acquisitions.
    sized : bool
        The size of a pixel is known; the images need not say it.

    Raises
    ------
    ValueError
        If this is no plate, of another version, damaged, or does not say what is needed; the message names the place
        and the way out.
    """
    absent = f"there is no OME-Zarr plate {folder}; correct simulation.plate (relative to the protocol)"
    root, header = _ome(folder, absent)
    plate = _plate_of(folder, root)
    stacks: dict[Key, Stack] = {}
    sizes: dict[Path, float] = {}
    names: list[str] = []
    chosen = _acquisition(folder, plate, acquisition)
    for said in _listed(header, plate, "wells"):
        name = _well_name(header, plate, said)
        names.append(name)
        if name not in wells:
            continue
        well = folder / _text(header, said, "path")
        content, of_well = _ome(well, f"{folder}: the plate lists well {name}, but {well} is not there; copy it again")
        for image in _listed(of_well, content.get("well", {}), "images"):
            if chosen is not None and image.get("acquisition", chosen) != chosen:
                continue
            field = _text(of_well, image, "path")
            found = _image(well / field, sized=sized)
            stacks.update(((name, field, channel), stack) for channel, stack in found.stacks.items())
            sizes[well / field] = found.pixel_um
    one = next(iter(sizes.items()), None)
    for path, size in sizes.items():
        if one is not None and abs(size - one[1]) > _SQUARE * one[1]:
            raise ValueError(
                f"{path}: a pixel is {size:g} um there, and {one[1]:g} um in {one[0]}; one run needs pictures of one "
                "size, leave the others out of plate.wells"
            )
    pixel_um = None if one is None or sized else one[1]
    return Recording(folder, stacks, remedy=_REMEDY, defined_by=[header.resolve()], pixel_um=pixel_um, also=names)


def _plate_of(folder: Path, root: Mapping[str, Any]) -> Mapping[str, Any]:
    plate: Any = root.get("plate")
    if isinstance(plate, dict):
        return plate
    what = next((words for key, words in _NO_PLATE.items() if key in root), "a Zarr group without a plate")
    raise ValueError(f"{folder}: is {what}, not a plate; name the folder whose metadata has `plate`")


_NO_PLATE: Final = {
    "well": "a well",
    "multiscales": "a single image",
    "bioformats2raw.layout": "a series of images (bioformats2raw writes a plate only from formats that have one)",
}


def _ome(folder: Path, absent: str) -> tuple[Mapping[str, Any], Path]:
    """Return the OME metadata of a group, and the file that holds it."""
    newer, older = folder / "zarr.json", folder / ".zattrs"
    path = newer if newer.is_file() else older
    if not path.is_file():
        if folder.is_file():
            raise ValueError(f"{folder}: is a file, not the folder of an OME-Zarr plate; unpack it")
        raise ValueError(absent)
    try:
        content: Any = json.loads(path.read_bytes())
        found: Any = content.get("attributes", {}).get("ome", {}) if path == newer else content
        parts = (found, found.get("plate"), found.get("well"), *found.get("multiscales", ()))
        version = next((str(one["version"]) for one in parts if isinstance(one, dict) and "version" in one), None)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: is no metadata of OME-Zarr ({error!r}); copy the plate again") from error
    if version not in (None, *VERSIONS):
        raise ValueError(
            f"{path}: is OME-Zarr {version}, and {' and '.join(VERSIONS)} can be read; write the plate again as one of "
            "these"
        )
    return found, path


def _listed(path: Path, block: Any, key: str) -> Sequence[Mapping[str, Any]]:
    items = block.get(key) if isinstance(block, dict) else None
    if not (isinstance(items, list) and all(isinstance(item, dict) for item in items)):
        raise ValueError(f"{path}: has no list {key!r}; it is no metadata of OME-Zarr, copy the plate again")
    return items


def _text(path: Path, block: Mapping[str, Any], key: str) -> str:
    value = block.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{path}: an entry has no {key!r}: {json.dumps(block)}; the program that wrote it is at fault")
    return value


def _well_name(path: Path, plate: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    try:
        row, column = plate["rows"][said["rowIndex"]]["name"], plate["columns"][said["columnIndex"]]["name"]
    except (KeyError, IndexError, TypeError):  # before 0.4 the path was all there was, and some programs kept to it
        row, _, column = _text(path, said, "path").rpartition("/")
    return same_well(f"{row}{column}")


def _acquisition(folder: Path, plate: Mapping[str, Any], wanted: int | None) -> int | None:
    known = [one.get("id") for one in plate.get("acquisitions") or [] if isinstance(one, dict)]
    shown = ", ".join(map(str, known)) or "none is named"
    if wanted is None and len(known) > 1:
        raise ValueError(
            f"{folder}: holds several acquisitions ({shown}); choose one: simulation: {{acquisition: ...}}"
        )
    if wanted is not None and wanted not in known:
        raise ValueError(
            f"{folder}: has no acquisition {wanted} (acquisitions: {shown}); correct simulation.acquisition"
        )
    return wanted


@dataclass(frozen=True, slots=True)
class _Image:
    stacks: Mapping[str, Stack]
    pixel_um: float


def _image(folder: Path, *, sized: bool) -> _Image:
    content, path = _ome(folder, f"{folder}: the well lists this image, but it is not there; copy it again")
    scales = _listed(path, content, "multiscales")
    if not scales:
        raise ValueError(f"{path}: has no multiscales; copy the plate again")
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales[0].get("axes") or ()]
    names = [str(axis.get("name", "")).lower() for axis in axes]
    if names[-2:] != ["y", "x"] or names != [name for name in _AXES if name in names]:
        raise ValueError(
            f"{path}: its axes are {', '.join(names) or 'not named'}; t, c, z, y, x can be read, in this order"
        )
    dataset = _listed(path, scales[0], "datasets")[0]
    array = folder / _text(path, dataset, "path")
    header = array_header(array)
    if len(header.shape) != len(names):
        said = f"has {len(header.shape)} axes, and its image names {len(names)}"
        raise ValueError(f"{array}: {said}; copy the plate again")
    pixel_um = 1.0 if sized else _pixel_um(path, axes, dataset, scales[0])
    length = {name: header.shape[i] if name in names else 1 for i, name in enumerate(names)}
    leading = names[:-2]

    def plane(**at: int) -> ArrayPlane:
        return ArrayPlane(array, header, tuple(at[name] for name in leading))

    times, planes = range(length.get("t", 1)), range(length.get("z", 1))
    stacks = {
        name: tuple(tuple(plane(t=t, c=c, z=z) for z in planes) for t in times)
        for c, name in enumerate(_channels(content, length.get("c", 1)))
    }
    return _Image(stacks, pixel_um)


def _channels(content: Mapping[str, Any], count: int) -> list[str]:
    """Return the labels of the channels; where they are not given, empty or not unique, their numbers from 0."""
    omero: Any = content.get("omero")
    said = omero.get("channels") if isinstance(omero, dict) else None
    labels = [one.get("label") for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    known = [str(label).strip() for label in labels if label not in (None, "")]
    unique = len(known) == count and len(set(known)) == count
    return known if unique else [str(c) for c in range(count)]


def _pixel_um(
    path: Path, axes: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any], scale: Mapping[str, Any]
) -> float:
    """Return the size of a pixel at full resolution."""
    way_out = "say it in the protocol: simulation: {pixel_size: 0.5 um}"
    sides = [1.0, 1.0]
    for one in itertools.chain(*(block.get("coordinateTransformations") or () for block in (dataset, scale))):
        if one.get("type") == "scale":
            sides = [side * float(factor) for side, factor in zip(sides, one["scale"][-2:], strict=True)]
    units = [str(axis.get("unit")) for axis in axes[-2:]]
    if unknown := next((unit for unit in units if unit not in _MICROMETRES), None):
        said = "gives no unit of length" if unknown == "None" else f"gives lengths in {unknown!r}"
        raise ValueError(f"{path}: {said} (scale {sides[0]:g}), so the size of a pixel is not known; {way_out}")
    height, width = (side * _MICROMETRES[unit] for side, unit in zip(sides, units, strict=True))
    if not (width > 0 and abs(height - width) <= _SQUARE * width):
        raise ValueError(f"{path}: its pixels are {width:g} x {height:g} um, not square; if that is wrong, {way_out}")
    return width
