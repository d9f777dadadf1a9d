"""How a plate is drawn: which colour a well gets. Page and terminal agree because both ask here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

CIVIDIS: Final = (
    (0, 34, 78),
    (18, 53, 112),
    (59, 73, 108),
    (87, 93, 109),
    (112, 113, 115),
    (138, 134, 120),
    (165, 156, 116),
    (195, 179, 105),
    (225, 204, 85),
    (254, 232, 56),
)
"""Ten steps of the colour map `cividis` (Nunez, Anderton, Renslow 2018, doi:10.1371/journal.pone.0199239): the same
order of lightness for people with and without colour blindness, and on a grey print."""

RGB = tuple[int, int, int]


class DrawnWell(NamedTuple):
    """One place of the drawn plate, in its grid: `state` is ``off`` (not selected), ``unseen`` or ``seen``."""

    well: str
    row: int
    column: int
    state: str
    control: bool
    call: str | None
    sign: str
    share: float | None
    fill: str
    ink: str
    title: str


def colour(share: float) -> RGB:
    """Return the colour of a share in 0..1 (clipped), linear between the ten steps."""
    place = min(max(share, 0.0), 1.0) * (len(CIVIDIS) - 1)
    i = min(int(place), len(CIVIDIS) - 2)
    low, high, part = CIVIDIS[i], CIVIDIS[i + 1], place - i
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return red, green, blue


def hex_colour(rgb: RGB) -> str:
    """Return ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def ink_on(rgb: RGB) -> RGB:
    """Return black or white, whichever has the higher contrast on a colour (WCAG 2 relative luminance)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in rgb)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def shares(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return each value as its share of the range of all (0.5 for all where they are equal); None stays None."""
    known = [value for value in values.values() if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return {
        name: None if value is None else (value - low) / (high - low) if high > low else 0.5
        for name, value in values.items()
    }


def row_name(row: int) -> str:
    """Return the letters of a zero-based row: A ... Z, AA, AB ..."""
    return chr(65 + row) if row < 26 else row_name(row // 26 - 1) + chr(65 + row % 26)
