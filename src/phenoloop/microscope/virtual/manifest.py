"""A manifest.csv: a line for each picture file, with its well, field and channel, and its time and plane."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phenoloop.microscope.virtual.pictures import PictureFile
from phenoloop.microscope.virtual.recording import Recording, amount, same_well

REQUIRED: Final = ("file", "well", "field", "channel")


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    file: Path
    well: str
    field: str
    channel: str
    time: str
    z: str


def read_manifest(path: Path) -> Recording:
    """Return what a manifest lists; nothing but itself is opened.

    Parameters
    ----------
    path : Path
        A CSV file with the columns ``file,well,field,channel`` and optionally ``time`` (else ``time_s``) and ``z``;
        others are ignored, and so are rows without a well. Files are relative to it, or absolute.

    Raises
    ------
    ValueError
        If it is missing, is no such table, lacks a column or a value, or names one picture twice; the message names the
        line and the way out.
    """
    index: dict[tuple[str, str, str], dict[str, dict[str, _Row]]] = {}
    for row in _rows(path):
        planes = index.setdefault((row.well, row.field, row.channel), {}).setdefault(row.time, {})
        if (twin := planes.get(row.z)) is not None:
            raise ValueError(
                f"{path}, line {row.line}: well {row.well}, field {row.field}, channel {row.channel} is there "
                f"already on line {twin.line}; remove one, or tell them apart in a column `time` or `z`"
            )
        planes[row.z] = row
    stacks = {
        key: tuple(
            tuple(PictureFile(times[time][z].file) for z in sorted(times[time], key=amount))
            for time in sorted(times, key=amount)
        )
        for key, times in index.items()
    }
    remedy = "add its file, or take this field out of the manifest"
    return Recording(path, stacks, remedy=remedy, defined_by=[path.resolve()])


def _rows(path: Path) -> list[_Row]:
    if not path.is_file():
        raise ValueError(f"there is no manifest {path}; correct simulation.manifest (relative to the protocol)")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            table = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as CSV ({error}); save it as CSV in UTF-8") from error
    if not table:
        raise ValueError(f"{path}: is empty; its first line must be {','.join(REQUIRED)}")
    header = [name.strip() for name in table[0][1]]
    _check_header(path, header)
    rows = [row for line, cells in table[1:] if (row := _row(path, line, header, cells)) is not None]
    if not rows:
        raise ValueError(f"{path}: no line names a file and its well; one line for each picture is needed")
    return rows


def _check_header(path: Path, header: list[str]) -> None:
    for name in REQUIRED:
        if name not in header:
            if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
                raise ValueError(f"{path}: columns must be separated by commas; save it as CSV with commas")
            near = difflib.get_close_matches(name, [other for other in header if other not in REQUIRED], n=1)
            hint = f"rename {near[0]!r}" if near else "add it"
            raise ValueError(f"{path}: no column {name!r}; {hint}. Its columns: {', '.join(header)}")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: the column {twice[0]!r} is there twice; rename or remove one")


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> _Row | None:
    if len(cells) != len(header):
        raise ValueError(
            f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}; "
            "put text that holds a comma in quotes"
        )
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    if not values["well"]:
        return None  # a picture that is no part of the plate
    for name in REQUIRED:
        if not values[name]:
            raise ValueError(f"{path}, line {line}: the column {name!r} is empty; fill it, or empty `well` too")
    return _Row(
        line=line,
        file=path.parent / values["file"].replace("\\", "/"),
        well=same_well(values["well"]),
        field=values["field"],
        channel=values["channel"],
        time=values.get("time") or values.get("time_s", ""),
        z=values.get("z", ""),
    )
