"""What was recorded: a manifest.csv, read into an index of files by well, field, channel, time and plane."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phenoloop.protocol.wells import well_name, well_place

REQUIRED: Final = ("file", "well", "field", "channel")
_NUMBER: Final = re.compile(r"(\d+)")

Stack = tuple[tuple[Path, ...], ...]
"""Files of one well, field and channel: by time point, then by plane."""


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key under which names sort as people count: ``2`` before ``10``, ``f2`` before ``f10``."""
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(text) if part)


def same_well(text: str) -> str:
    """Return one spelling for every way of writing a well: ``o1`` and ``O01`` are ``O1``; other names are kept."""
    try:
        return well_name(*well_place(text))
    except ValueError:
        return text.strip()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? recorded: ...`` for an error message."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return (f"did you mean {near[0]!r}? " if near else "") + f"recorded: {shown or 'nothing'}"


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    file: Path
    well: str
    field: str
    channel: str
    time: str
    z: str


class Manifest:
    """A manifest that was read; nothing but itself has been opened.

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

    def __init__(self, path: Path) -> None:
        self.path = path
        index: dict[tuple[str, str, str], dict[str, dict[str, _Row]]] = {}
        for row in _rows(path):
            planes = index.setdefault((row.well, row.field, row.channel), {}).setdefault(row.time, {})
            if (twin := planes.get(row.z)) is not None:
                raise ValueError(
                    f"{path}, line {row.line}: well {row.well}, field {row.field}, channel {row.channel} is there "
                    f"already on line {twin.line}; remove one, or tell them apart in a column `time` or `z`"
                )
            planes[row.z] = row
        self._stacks: dict[tuple[str, str, str], Stack] = {
            key: tuple(
                tuple(times[time][z].file for z in sorted(times[time], key=_amount))
                for time in sorted(times, key=_amount)
            )
            for key, times in index.items()
        }
        self.wells: tuple[str, ...] = tuple(sorted({well for well, _, _ in index}, key=natural))
        self.channels: tuple[str, ...] = tuple(sorted({channel for _, _, channel in index}, key=natural))

    def fields(self, well: str) -> tuple[str, ...]:
        """Return the fields of a well, naturally sorted."""
        return tuple(sorted({field for its, field, _ in self._stacks if its == well}, key=natural))

    def stack(self, well: str, field: str, channel: str) -> Stack:
        """Return the files of a well, field and channel.

        Raises
        ------
        ValueError
            If it was not recorded.
        """
        stack = self._stacks.get((well, field, channel))
        if stack is None:
            raise ValueError(
                f"{self.path}: well {well}, field {field} has no channel {channel!r}; add its file, or take this field "
                "out of the manifest"
            )
        return stack

    def pick(
        self,
        wells: Sequence[str],
        channels: Sequence[str],
        *,
        well_names: Mapping[str, str],
        channel_names: Mapping[str, str],
    ) -> dict[tuple[str, str, str], Stack]:
        """Return the files a protocol uses, under the protocol's own names of well and channel.

        Parameters
        ----------
        wells, channels : sequence of str
            Names in the protocol.
        well_names, channel_names : mapping of str to str
            Name in the protocol to name in the manifest; a name that is missing here is the same in both.

        Raises
        ------
        ValueError
            If a well, a channel, or a channel of some field was not recorded, or two wells would show the same one.
        """
        to_well = {same_well(ours): same_well(theirs) for ours, theirs in well_names.items()}
        for channel in channels:
            theirs = channel_names.get(channel, channel)
            if theirs not in self.channels:
                raise ValueError(
                    f"{self.path}: channel {theirs!r} was not recorded; {nearest(theirs, self.channels)}. "
                    f"Name it as in the manifest, or map it: simulation.channels: {{{channel}: ...}}"
                )
        picked: dict[tuple[str, str, str], Stack] = {}
        shown_as: dict[str, str] = {}
        for well in wells:
            theirs = to_well.get(same_well(well), same_well(well))
            if theirs not in self.wells:
                raise ValueError(
                    f"{self.path}: well {theirs} was not recorded; {nearest(theirs, self.wells)}. "
                    f"Leave it out of plate.wells, or map it: simulation.wells: {{{well}: ...}}"
                )
            if (twin := shown_as.setdefault(theirs, well)) != well:
                raise ValueError(
                    f"simulation.wells: {twin} and {well} would both show well {theirs}, as if it had been recorded "
                    "twice; map each to a well of its own"
                )
            for field in self.fields(theirs):
                for channel in channels:
                    picked[well, field, channel] = self.stack(theirs, field, channel_names.get(channel, channel))
        return picked


def _amount(text: str) -> tuple[float, tuple[tuple[int, int, str], ...]]:
    """Return a key that sorts times and planes: numbers by size (``-1`` before ``0.5``), other text after them."""
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    return (value, ()) if math.isfinite(value) else (math.inf, natural(text))


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
