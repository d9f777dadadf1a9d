"""The plate map: one row of a table per well, cells typed by column, an empty cell unknown."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Scalar
from phenoloop.protocol.names import nearest
from phenoloop.protocol.wells import well_name, well_place

_MISSING: Final = frozenset({"", "na", "n/a", "nan", "none"})


@dataclass(frozen=True, slots=True)
class PlateMap:
    """A plate map.

    Attributes
    ----------
    file : str
        Path, for messages.
    sha256 : str
        Hash of its bytes.
    columns : mapping of str to str
        Column, without the well column, to ``"number"`` or ``"text"``.
    rows : mapping of str to mapping of str to Scalar
        Row by well name (``B3``, whatever zeros the file writes).
    lines : mapping of str to int
        Line of each well in the file.
    """

    file: str
    sha256: str
    columns: Mapping[str, str]
    rows: Mapping[str, Mapping[str, Scalar]]
    lines: Mapping[str, int]


def read_plate_map(path: Path) -> PlateMap:
    """Read a CSV file with a column ``well``.

    Cells are separated by commas, by tabs, or by semicolons as Excel writes where the comma is the decimal sign; there
    ``0,5`` is a number.

    Raises
    ------
    ProtocolError
        If it is not there, has no rows or no column ``well``, or names a well twice or badly; with file and line.
    """
    file = str(path)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ProtocolError(Problem(f"cannot read the plate map: {error.strerror}", file)) from error
    except UnicodeDecodeError as error:
        raise ProtocolError(Problem("the plate map is not UTF-8 text; save it as 'CSV UTF-8'", file)) from error
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise ProtocolError(Problem("the plate map is empty; it needs a header with the column 'well'", file, 1, 1))
    separator = next((sign for sign in ";\t" if sign in lines[0] and "," not in lines[0]), ",")
    try:
        table = list(_rows(text, separator))
    except csv.Error as error:
        raise ProtocolError(Problem(f"the plate map cannot be read as a table: {error}", file)) from error
    header = [name.strip() for name in table[0][1]]
    _check_header(header, file, lines[0])
    place = header.index("well")
    cells: dict[str, list[str]] = {}
    at: dict[str, int] = {}
    for line, row in table[1:]:
        if not any(cell.strip() for cell in row):
            continue
        source = lines[line - 1] if line <= len(lines) else ""
        if len(row) != len(header):
            said = f"this row has {len(row)} cells and the header has {len(header)}; put text with commas in quotes"
            raise ProtocolError(Problem(said, file, line, 1, source=source))
        try:
            name = well_name(*well_place(row[place]))
        except ValueError as error:
            raise ProtocolError(Problem(str(error), file, line, 1, source=source)) from error
        if name in cells:
            said = f"the well {name} stands here twice; the first is in line {at[name]}"
            raise ProtocolError(Problem(said, file, line, 1, source=source))
        cells[name] = [cell.strip() for cell in row]
        at[name] = line
    if not cells:
        raise ProtocolError(Problem("the plate map has a header and no wells", file, 1, 1, source=lines[0]))
    columns, rows = _typed(header, place, cells, "," if separator == ";" else ".")
    return PlateMap(file, hashlib.sha256(data).hexdigest(), columns, rows, at)


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line that it ends in; lines may end as on any system."""
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    for row in reader:
        yield reader.line_num, row


def _check_header(header: list[str], file: str, source: str) -> None:
    if "well" not in header:
        said = f"the plate map has no column 'well'{nearest('well', header)} (columns: {', '.join(header)})"
        if any(name.casefold() == "well" for name in header):
            said = "the column must be spelt 'well', in lower case"
        raise ProtocolError(Problem(said, file, 1, 1, source=source))
    for name in header:
        if not name or header.count(name) > 1:
            said = f"the column {name!r} stands here twice" if name else "a column has no name"
            raise ProtocolError(Problem(said, file, 1, 1, source=source))


def _typed(
    header: list[str], place: int, cells: Mapping[str, list[str]], decimal: str
) -> tuple[dict[str, str], dict[str, dict[str, Scalar]]]:
    columns: dict[str, str] = {}
    rows: dict[str, dict[str, Scalar]] = {well: {} for well in cells}
    for index, name in enumerate(header):
        if index == place:
            continue
        numbers = {well: _number(row[index], decimal) for well, row in cells.items()}
        given = [well for well, row in cells.items() if row[index].casefold() not in _MISSING]
        numeric = bool(given) and all(numbers[well] is not None for well in given)
        columns[name] = "number" if numeric else "text"
        for well, row in cells.items():
            rows[well][name] = numbers[well] if numeric else (row[index] or None)
    return columns, rows


def _number(text: str, decimal: str) -> float | int | None:
    if "_" in text:
        return None  # 1_2 is the name of something, though Python would read 12
    try:
        value = float(text.replace(decimal, "."))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(text) if text.lstrip("+-").isdigit() else value
