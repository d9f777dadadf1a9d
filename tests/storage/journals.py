"""Two journals compared in all but what a clock on the wall says: the first thing in which they differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phenoloop.storage.lines import checked


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()
"""Stands for what one of two journals does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first thing in which two journals differ: in which line, where in it, and what each of them says."""

    line: int
    where: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"line {self.line}: {self.where}: {self.first!r} in the first, {self.second!r} in the second"


def equal_but_wall(first: Path, second: Path) -> Difference | None:
    """Compare two journals in everything but wall-clock values (`wall`) and the checksums that cover these.

    Returns
    -------
    Difference or None
        The first difference; None when they are equal.

    Raises
    ------
    JournalError
        If one of them cannot be trusted.
    """
    ones, others = checked(first), checked(second)
    while True:
        one, other = next(ones, None), next(others, None)
        if one is None or other is None:
            if one is other:
                return None
            longer = one or other
            assert longer is not None
            kind = longer.document.get("type")
            return Difference(
                line=longer.number, where="message", first=kind if one else ABSENT, second=kind if other else ABSENT
            )
        for document in (one.document, other.document):
            document.pop("wall", None)
        if one.document != other.document:
            kind = one.document.get("type") or "line"
            where, mine, theirs = _where(one.document, other.document, str(kind))
            return Difference(line=one.number, where=where, first=mine, second=theirs)


def _where(one: Any, other: Any, place: str) -> tuple[str, Any, Any]:
    """Return the dotted place of the first difference of two unequal JSON values, and both values there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(key for key in other if key not in one)):
            mine, theirs = one.get(key, ABSENT), other.get(key, ABSENT)
            if mine != theirs:
                return _where(mine, theirs, f"{place}.{key}")
    if isinstance(one, list) and isinstance(other, list):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            if mine != theirs:
                return _where(mine, theirs, f"{place}[{index}]")
        return f"{place}: length", len(one), len(other)
    return place, one, other
