"""How wells are written: ``B3``, ``b03`` and ``A1:D6`` to places on a plate, and back."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"([A-Za-z]{1,2})0*([1-9]\d{0,2})")


def well_name(row: int, column: int) -> str:
    """Return the name of a well from its zero-based place: ``(1, 2)`` is ``B3``, row 26 is ``AA``."""
    letters = chr(65 + row) if row < 26 else chr(64 + row // 26) + chr(65 + row % 26)
    return f"{letters}{column + 1}"


def well_place(name: str) -> tuple[int, int]:
    """Return the zero-based (row, column) of a well.

    Raises
    ------
    ValueError
        If `name` is no name of a well.
    """
    match = _NAME.fullmatch(name.strip())
    if match is None:
        raise ValueError(f"{name!r} is not a well; write it like B3, or a range like A1:D6")
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - 64
    return row - 1, int(match[2]) - 1


def expand(text: str, rows: int, columns: int) -> list[tuple[int, int]]:
    """Return the places that ``B3`` or ``A1:D6`` means on a plate of `rows` x `columns`.

    Raises
    ------
    ValueError
        If it is no well or range, or any part of it is off the plate.
    """
    first, colon, last = text.partition(":")
    corners = [well_place(part) for part in ((first, last) if colon else (first,))]
    for row, column in corners:
        if row >= rows or column >= columns:
            raise ValueError(
                f"{well_name(row, column)} is off the plate: it has rows A-{well_name(rows - 1, 0)[:-1]} "
                f"and columns 1-{columns}"
            )
    (top, left), (bottom, right) = corners[0], corners[-1]
    if bottom < top or right < left:
        raise ValueError(f"the range {text!r} runs backwards; write the upper left well first, like A1:D6")
    return [(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)]
