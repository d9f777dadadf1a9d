"""Where in its file every key and value stands: a line and a column for each path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from phenoloop.errors import Problem

Path = tuple[str | int, ...]
"""Keys and list indices from the root of the file."""

COMMA_TRAP: Final = "a comma inside { } ends the value: put the expression in quotes"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value begin; one-based.

    `offset` is how far the text of a value is from its beginning: 1 inside quotes, None where it begins a line later.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    offset: int | None = 0


@dataclass(slots=True)
class Source:
    """A YAML file as plain data that remembers its places.

    Attributes
    ----------
    file : str
        Path as the user gave it.
    lines : list of str
        Its text.
    data : dict
        Plain values.
    places : dict of path to Place
        Every key and every item.
    """

    file: str
    lines: list[str]
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)

    def at(self, message: str, line: int | None, column: int | None = None, where: str = "") -> Problem:
        """Return a problem at a line and column of this file."""
        source = self.lines[line - 1] if line is not None and 0 < line <= len(self.lines) else ""
        return Problem(message, self.file, line, column, where, source)

    def problem(
        self, path: Sequence[str | int], message: str, *, key: bool = False, within: int | None = None
    ) -> Problem:
        """Return a problem at a path.

        Parameters
        ----------
        path : sequence of str or int
            Keys and indices; parts that are not in the file (a missing key, the tag of a union) are passed over.
        message : str
            What is wrong and the way out.
        key : bool
            Point at the key rather than at its value.
        within : int, optional
            Offset inside the text of the value, for an expression.
        """
        found = self.find(path)
        place = self.places.get(found)
        where = dotted(path)
        if place is None:  # the root: point at its first key
            place = next(iter(self.places.values()), Place(1, 1, 1, 1))
            key = True
        # What begins on a later line is a block; its key says better what is meant than its first line.
        if key or len(found) < len(path) or place.line > place.key_line:
            return self.at(message, place.key_line, place.key_column, where)
        inside = 0 if within is None or place.offset is None else place.offset + within
        return self.at(message, place.line, place.column + inside, where)

    def find(self, path: Sequence[str | int]) -> Path:
        """Return the longest part of `path` that stands in the file."""
        found: Path = ()
        for part in path:
            if (*found, part) in self.places:
                found = (*found, part)
        return found

    def value(self, path: Sequence[str | int]) -> Any:
        """Return the plain value at a path that stands in the file; None at its root."""
        found: Any = self.data if path else None
        for part in path:
            found = found[part]
        return found

    def has(self, *path: str | int) -> bool:
        """Return whether a path stands in the file."""
        return path in self.places


def dotted(path: Sequence[str | int]) -> str:
    """Return ``imaging.channels[1].exposure``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
