"""Sentences that differ in nothing but their numbers, or the well they name, are told as one, with how often."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from phenoloop.watch.verdict import number

_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")
_WELL: Final = re.compile(r"\b[A-Z]{1,2}\d{1,2}\b")


def told_once(sentences: Iterable[str], *, most: int | None = None) -> list[tuple[str, int]]:
    """Return sentences with how often they came, most frequent first.

    Numbers that differ between sentences of the same words become the range that they span, and wells that differ
    become "the well": ``57 objects, at least 66`` and ``60 objects, at least 66``: ``57 to 60 objects, at least 66``.

    Parameters
    ----------
    sentences : iterable of str
        As they were said.
    most : int, optional
        Only so many.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for sentence in sentences:
        groups[_NUMBER.sub("#", _WELL.sub("@", sentence))].append(sentence)
    told = [(_merged(some), len(some)) for some in groups.values()]
    return sorted(told, key=lambda pair: -pair[1])[:most]


def _merged(some: list[str]) -> str:
    if len({*some}) == 1:
        return some[0]
    wells = {tuple(_WELL.findall(sentence)) for sentence in some}
    plain = [_WELL.sub("the well", sentence) if len(wells) > 1 else sentence for sentence in some]
    columns = zip(*(_NUMBER.findall(sentence) for sentence in plain), strict=True)
    spans = iter([_span(column) for column in columns])
    return _NUMBER.sub(lambda _: next(spans), plain[0])


def _span(values: Iterable[str]) -> str:
    ordered = sorted({*values}, key=float)
    return ordered[0] if len(ordered) == 1 else f"{number(float(ordered[0]))} to {number(float(ordered[-1]))}"
