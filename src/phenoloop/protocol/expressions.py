"""Expressions from source to value: compiled once in their scope, then computed for each field or well.

There are four scopes. *Object*: one value per object, inside the aggregates of a readout. *Field*: one per field,
the readouts themselves. *Well*: one row of the plate map. *Table*: every row of a table at once. Types and names are
checked when the expression is compiled, so that evaluating one never fails for the data: what is missing or NaN is
unknown, a comparison with it is unknown, and ``and``, ``or``, ``not`` follow Kleene.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Scalar, features
from phenoloop.protocol.expression_evaluation import Evaluation
from phenoloop.protocol.expression_syntax import ExpressionError, parse
from phenoloop.protocol.expression_tree import Node
from phenoloop.protocol.expression_types import EACH, TypeCheck

__all__ = [
    "ExpressionError",
    "PerObject",
    "Readout",
    "TableCondition",
    "WellCondition",
    "compile_object",
    "compile_readout",
    "compile_table",
    "compile_well",
    "object_names",
]


def object_names(channels: Iterable[str], spots: Iterable[str]) -> tuple[str, ...]:
    """Return every name a readout may use, in the order of the feature table."""
    return tuple(features.catalogue(tuple(channels), spots))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A checked expression. Picklable.

    Attributes
    ----------
    source : str
        As written.
    tree : Node
        As parsed.
    names_used : tuple of str
        Columns it looks at, in order of first use.
    """

    source: str
    tree: Node
    names_used: tuple[str, ...]

    def _rows(self, columns: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.float64]:
        """Return one value per row, shape (n,); a condition is 1 or 0, NaN is unknown."""
        return np.array(np.broadcast_to(Evaluation(columns, n).value(self.tree), (n,)), dtype=np.float64)

    def _one(self, columns: Mapping[str, Any], n: int) -> float | None:
        """Return the one value, None where it is unknown."""
        result = float(Evaluation(columns, n).value(self.tree))
        return None if np.isnan(result) else result

    def _numbers(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """Return the columns that it looks at, as numbers."""
        return {name: np.asarray(columns[name], dtype=np.float64) for name in self.names_used}


@dataclass(frozen=True, slots=True)
class Readout(Compiled):
    """A readout: one number per field from the table of its objects.

    Attributes
    ----------
    uses_count : bool
        It depends on how many objects there are, so a gate on their number would select on the readout itself.
    """

    uses_count: bool

    def evaluate(self, columns: Mapping[str, NDArray[Any]], n: int) -> float | None:
        """Return the readout of one field.

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (n,)
            Feature table; NaN is unknown.
        n : int
            Number of objects.

        Returns
        -------
        float or None
            None is unknown.

        Raises
        ------
        KeyError
            If a column that the readout names is not in the table.
        """
        return self._one(self._numbers(columns), n)


@dataclass(frozen=True, slots=True)
class PerObject(Compiled):
    """A number or a condition per object."""

    def evaluate(self, columns: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.float64]:
        """Return one value per object, shape (n,); a condition is 1 or 0, NaN is unknown.

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (n,)
            Feature table.
        n : int
            Number of objects.

        Raises
        ------
        KeyError
            If a column that it names is not in the table.
        """
        return self._rows(self._numbers(columns), n)


@dataclass(frozen=True, slots=True)
class WellCondition(Compiled):
    """A condition over one row of the plate map."""

    def evaluate(self, row: Mapping[str, Scalar]) -> bool | None:
        """Return whether the condition holds for a well; None is unknown (a cell that it needs is empty)."""
        result = self._one(row, 0)
        return None if result is None else bool(result)


@dataclass(frozen=True, slots=True)
class TableCondition(Compiled):
    """A condition over all rows of a table."""

    def evaluate(self, columns: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.float64]:
        """Return 1, 0 or NaN (unknown) for each row, shape (n,).

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (n,)
            Numbers as float64, NaN is unknown; words as objects, None is unknown.
        n : int
            Number of rows.
        """
        return self._rows(columns, n)


def compile_readout(source: str, names: Iterable[str]) -> Readout:
    """Compile a readout.

    Parameters
    ----------
    source : str
        For example ``mean(vesicles.count)``.
    names : iterable of str
        Columns of the object table (see `object_names`).

    Raises
    ------
    ExpressionError
        If it is not in the language, names no column, or is not one number per field.
    """
    tree = parse(source)
    check = TypeCheck(dict.fromkeys(names, "number"), objects=True)
    kind, level = check.visit(tree)
    if kind != "number":
        raise ExpressionError(
            f"a readout is a number, and this is a {kind}; for the share of objects write fraction(...)", tree.at
        )
    if level == EACH:
        raise ExpressionError("this is one number per object; a readout is one per field: write mean(...)", tree.at)
    return Readout(source, tree, tuple(check.used), check.counts)


def compile_object(source: str, names: Iterable[str], *, condition: bool) -> PerObject:
    """Compile a condition or a number per object.

    Parameters
    ----------
    source : str
        For example ``z(DNA.mean) > 4``; what is relative is so to the objects of the field.
    names : iterable of str
        Columns of the object table (see `object_names`).
    condition : bool
        Whether a condition is wanted, or a number.

    Raises
    ------
    ExpressionError
        If it is not in the language, names no column, or is not of that kind.
    """
    tree = parse(source)
    check = TypeCheck(dict.fromkeys(names, "number"), objects=True)
    kind, level = check.visit(tree)
    wanted = "condition" if condition else "number"
    if kind != wanted:
        hint = ": compare it with something, as in z(DNA.mean) > 4" if condition else ": write it without comparison"
        raise ExpressionError(f"a {wanted} per object is needed, and this is a {kind}{hint}", tree.at)
    if level != EACH:
        raise ExpressionError(f"this is one {kind} for the field; one per object is needed, without mean(...)", tree.at)
    return PerObject(source, tree, tuple(check.used))


def compile_well(source: str, columns: Mapping[str, str]) -> WellCondition:
    """Compile a condition over the columns of the plate map.

    Parameters
    ----------
    source : str
        For example ``treatment == 'vehicle'``.
    columns : mapping of str to str
        Column to its type, ``"number"`` or ``"text"``.

    Raises
    ------
    ExpressionError
        If it is not in the language, names no column, mixes numbers with words, or is no condition.
    """
    return WellCondition(source, *_condition(source, TypeCheck(columns, objects=False)))


def compile_table(source: str, columns: Mapping[str, str], place: str) -> TableCondition:
    """Compile a condition over the rows of a table.

    Parameters
    ----------
    source : str
        For example ``mean_vesicles > 3 and n_fields < 4``.
    columns : mapping of str to str
        Column to its type, ``"number"`` or ``"text"``.
    place : str
        What has the columns, for messages: ``"a rule about wells"``.

    Raises
    ------
    ExpressionError
        If it is not in the language, names no column, mixes numbers with words, or is no condition.
    """
    return TableCondition(source, *_condition(source, TypeCheck(columns, objects=False, place=place)))


def _condition(source: str, check: TypeCheck) -> tuple[Node, tuple[str, ...]]:
    """Return the tree of a condition, and the names in it."""
    tree = parse(source)
    kind, _ = check.visit(tree)
    if kind != "condition":
        raise ExpressionError(f"this is a {kind}, and a condition is needed: compare it with something", tree.at)
    return tree, tuple(check.used)
