"""The value of an expression: one pass over its tree with the data of a field, a well, or all rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.protocol import expression_values as values
from phenoloop.protocol.expression_syntax import ExpressionError
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
from phenoloop.protocol.expression_types import AGGREGATES
from phenoloop.protocol.expression_values import Value


class Evaluation:
    """Data in which names are looked up.

    Parameters
    ----------
    columns : mapping
        Name to an array of shape (n,), or to one number or word; None is unknown.
    n : int
        Rows: objects of a field, or rows of a table; 0 where each name is one value.
    """

    def __init__(self, columns: Mapping[str, Any], n: int) -> None:
        self._columns = columns
        self._n = n

    def value(self, node: Node) -> Value:
        """Return the value of a tree whose names and types were checked; NaN is unknown."""
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
