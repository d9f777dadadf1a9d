"""From accepted fields to one list of numbers per well, and how numbers and counts are written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from phenoloop.model import FieldReadout
from phenoloop.numerics.rounding import significant

_WORDS: Final = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def by_well(wells: Sequence[str], fields: Sequence[FieldReadout], readout: str) -> tuple[list[list[float]], int]:
    """Sort the values of one readout by well.

    A place that was imaged again is no further replicate: its values are averaged to one.

    Parameters
    ----------
    wells : sequence of str
        In plate order.
    fields : sequence of FieldReadout
        Accepted fields; those of other wells, and those of other ways of imaging than ``main``, are left out.
    readout : str
        Which number of each field.

    Returns
    -------
    values : list of list of float
        For each well, one number for each place, in order of their names.
    unknown : int
        Accepted fields of these wells whose value is None or not finite.
    """
    places: dict[str, dict[str, list[float]]] = {well: {} for well in wells}
    unknown = 0
    for field in fields:
        if field.well not in places or field.imaging != "main":
            continue
        value = field.readouts.get(readout)
        if value is None or not math.isfinite(value):
            unknown += 1
        else:
            places[field.well].setdefault(field.field, []).append(value)
    values = [
        [math.fsum(looks) / len(looks) for _, looks in sorted(places[well].items(), key=lambda item: item[0])]
        for well in wells
    ]
    return values, unknown


def count_of(number: int) -> str:
    """Return a count as prose writes it: words up to twelve."""
    return _WORDS[number] if 0 <= number < len(_WORDS) else str(number)


def number(value: float) -> float | None:
    """Return a value fit for a report: nine significant digits, None where it is not finite."""
    return significant(value) if math.isfinite(value) else None


def left_out(unknown: int, readout: str) -> str:
    """Return the note about accepted fields without a value."""
    have = "field has" if unknown == 1 else "fields have"
    return f"{count_of(unknown)} accepted {have} no {readout}; left out"
