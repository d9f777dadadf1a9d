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
from phenoloop.protocol import expression_values as values
from phenoloop.protocol.expression_syntax import ExpressionError, parse
from phenoloop.protocol.expression_tree import (
    Arithmetic,
    Call,
    Comparison,
    Logic,
    Membership,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Text,
)
from phenoloop.protocol.expression_types import AGGREGATES, EACH, TypeCheck
from phenoloop.protocol.expression_values import Value

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
class Readout:
    """A compiled readout: one number per field from the table of its objects. Picklable.

    Attributes
    ----------
    source : str
        As written.
    tree : Node
        As parsed.
    names_used : tuple of str
        Columns it looks at, in order of first use.
    uses_count : bool
        It depends on how many objects there are, so a gate on their number would select on the readout itself.
    """

    source: str
    tree: Node
    names_used: tuple[str, ...]
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
        table = {name: np.asarray(columns[name], dtype=np.float64) for name in self.names_used}
        result = float(_Evaluation(table, n).value(self.tree))
        return None if np.isnan(result) else result


@dataclass(frozen=True, slots=True)
class PerObject:
    """A compiled number or condition per object. Picklable.

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
        table = {name: np.asarray(columns[name], dtype=np.float64) for name in self.names_used}
        return np.array(np.broadcast_to(_Evaluation(table, n).value(self.tree), (n,)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class WellCondition:
    """A compiled condition over one row of the plate map. Picklable.

    Attributes
    ----------
    source : str
        As written.
    tree : Node
        As parsed.
    names_used : tuple of str
        Columns it looks at.
    """

    source: str
    tree: Node
    names_used: tuple[str, ...]

    def evaluate(self, row: Mapping[str, Scalar]) -> bool | None:
        """Return whether the condition holds for a well; None is unknown (a cell that it needs is empty)."""
        result = float(_Evaluation(row, 0).value(self.tree))
        return None if np.isnan(result) else bool(result)


@dataclass(frozen=True, slots=True)
class TableCondition:
    """A compiled condition over all rows of a table. Picklable.

    Attributes
    ----------
    source : str
        As written.
    tree : Node
        As parsed.
    names_used : tuple of str
        Columns it looks at.
    """

    source: str
    tree: Node
    names_used: tuple[str, ...]

    def evaluate(self, columns: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.float64]:
        """Return 1, 0 or NaN (unknown) for each row, shape (n,).

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (n,)
            Numbers as float64, NaN is unknown; words as objects, None is unknown.
        n : int
            Number of rows.
        """
        return np.array(np.broadcast_to(_Evaluation(columns, n).value(self.tree), (n,)), dtype=np.float64)


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
    tree = parse(source)
    check = TypeCheck(columns, objects=False)
    kind, _ = check.visit(tree)
    if kind != "condition":
        raise ExpressionError(f"this is a {kind}, and a condition is needed: compare it with something", tree.at)
    return WellCondition(source, tree, tuple(check.used))


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
    tree = parse(source)
    check = TypeCheck(columns, objects=False, place=place)
    kind, _ = check.visit(tree)
    if kind != "condition":
        raise ExpressionError(f"this is a {kind}, and a condition is needed: compare it with something", tree.at)
    return TableCondition(source, tree, tuple(check.used))


class _Evaluation:
    """One pass over the tree with the data of one field or one well."""

    def __init__(self, columns: Mapping[str, Any], n: int) -> None:
        self._columns = columns
        self._n = n

    def value(self, node: Node) -> Value:
        match node:
            case Number():
                return np.asarray(node.value)
            case Name():
                cell = self._columns.get(node.name)
                return np.asarray(np.nan if cell is None else cell, dtype=np.float64)
            case Negative():
                return -self.value(node.operand)
            case Arithmetic():
                return values.arithmetic(node.operator, self.value(node.left), self.value(node.right))
            case Comparison():
                return self._comparison(node)
            case Membership():
                found = np.asarray(0.0)
                for option in node.options:
                    found = values.either(found, self._pair("==", node.item, option))
                return values.negate(found) if node.negated else found
            case Not():
                return values.negate(self.value(node.operand))
            case Logic():
                join = values.both if node.operator == "and" else values.either
                result = self.value(node.operands[0])
                for operand in node.operands[1:]:
                    result = join(result, self.value(operand))
                return result
            case Call():
                return self._call(node)
        raise ExpressionError("not in the language", node.at)

    def _comparison(self, node: Comparison) -> Value:
        result = np.asarray(1.0)
        for operator, left, right in zip(node.operators, node.operands, node.operands[1:], strict=False):
            result = values.both(result, self._pair(operator, left, right))
        return result

    def _pair(self, operator: str, left: Node, right: Node) -> Value:
        one, other = self._word(left), self._word(right)
        if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
            return values.compare_words(operator, one, other)
        if isinstance(one, str) and isinstance(other, str):
            return np.asarray(float((one == other) == (operator == "==")))
        if isinstance(one, str) or isinstance(other, str):
            return np.asarray(np.nan)  # a word against an empty cell
        return values.compare(operator, self.value(left), self.value(right))

    def _word(self, node: Node) -> str | NDArray[np.object_] | None:
        found = (
            node.value if isinstance(node, Text) else self._columns.get(node.name) if isinstance(node, Name) else None
        )
        if isinstance(found, np.ndarray):
            return found if found.dtype == np.object_ else None
        return found if isinstance(found, str) else None

    def _call(self, node: Call) -> Value:
        name, arguments = node.function, node.arguments
        if name == "count":
            if not arguments:
                return np.asarray(float(self._n))
            return np.asarray(float(np.count_nonzero(self._spread(arguments[0]) == 1)))
        if name == "z":
            return values.robust_z(self._spread(arguments[0]))
        if name not in AGGREGATES:
            return values.elementwise(name, *(self.value(argument) for argument in arguments))
        if name in ("min", "max") and len(arguments) > 1 and not _is_condition(arguments[1]):
            return values.elementwise(name, *(self.value(argument) for argument in arguments))
        share = None
        if name == "quantile" and isinstance(arguments[1], Number):
            share, arguments = arguments[1].value, (arguments[0], *arguments[2:])
        chosen = self._spread(arguments[1]) == 1 if len(arguments) > 1 else np.ones(self._n, dtype=np.bool_)
        return values.reduce(name, self._spread(arguments[0]), chosen, share)

    def _spread(self, node: Node) -> Value:
        return np.broadcast_to(self.value(node), (self._n,))


def _is_condition(node: Node) -> bool:
    return isinstance(node, Comparison | Membership | Not | Logic)
