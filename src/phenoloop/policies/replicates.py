"""Which wells hold the same treatment: what the plate map says of them agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Scalar, Setup

MOST_ALIKE: Final = 8
"""Wells whose map rows agree are taken for replicates up to this many: a whole plate of `sample` is none."""


def replicate_groups(setup: Setup, columns: Sequence[str] | None) -> dict[int, tuple[int, ...]]:
    """Return, for each well that has replicates, their places (its own too), in plate order; controls have none.

    Parameters
    ----------
    setup : Setup
        Wells and their rows of the plate map.
    columns : sequence of str or None
        Columns in which replicates agree; None: all columns, and then at most `MOST_ALIKE` wells make a group.

    Raises
    ------
    ProtocolError
        If no well has one of the columns.
    """
    known = list(dict.fromkeys(name for row in setup.properties for name in row))
    for name in columns or ():
        if name not in known:
            there = ", ".join(known) or "no columns"
            message = f"the plate map has no column {name!r}; it has {there}"
            raise ProtocolError(Problem(where="policy.replicates", message=message))
    controls = set(setup.controls)
    groups: dict[tuple[Scalar, ...], list[int]] = {}
    for i, (well, row) in enumerate(zip(setup.wells, setup.properties, strict=False)):
        said = tuple(row.get(name) for name in (known if columns is None else columns))
        if well not in controls and any(value is not None for value in said):
            groups.setdefault(said, []).append(i)
    return {
        i: tuple(alike)
        for alike in groups.values()
        if len(alike) > 1 and (columns is not None or len(alike) <= MOST_ALIKE)
        for i in alike
    }
