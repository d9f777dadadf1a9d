"""What an expression means in its scope: which names it may use, of what type, and how it is computed.

There are three scopes. *Object*: one value per object, inside the aggregates of a readout. *Field*: one per field,
the readouts themselves. *Well*: one row of the plate map. Types and names are checked when the expression is compiled,
so that evaluating one never fails for the data: what is missing or NaN is unknown, a comparison with it is unknown, and
``and``, ``or``, ``not`` follow Kleene.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Scalar, features
from phenoloop.protocol import expression_values as values
from phenoloop.protocol.expression_syntax import (
    Arithmetic,
    Call,
    Comparison,
    ExpressionError,
    Logic,
    Membership,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Text,
    parse,
)
from phenoloop.protocol.expression_values import Value

__all__ = ["ExpressionError", "Readout", "WellCondition", "compile_readout", "compile_well", "object_names"]

AGGREGATES: Final = ("mean", "median", "sum", "count", "fraction", "quantile", "min", "max")
FUNCTIONS: Final = (*AGGREGATES, "z", "abs", "log", "log10", "sqrt", "clip")

_Type = Literal["number", "condition", "text"]
_EACH: Final = "each object"
_ONE: Final = "one"


def object_names(channels: Iterable[str], spots: Iterable[str]) -> tuple[str, ...]:
    """Return every name a readout may use, in the order of the feature table."""
    return (
        *(feature.name for feature in features.SHAPE),
        *(f"{channel}.{feature.name}" for channel in channels for feature in features.INTENSITY),
        *(f"{name}.{feature.name}" for name in spots for feature in features.SPOTS),
    )


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """Return the known word nearest to `word`, whatever its case, or None where none is near."""
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    near = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word nearest to `word`, or nothing."""
    near = nearest_word(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""


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
    check = _Check(dict.fromkeys(names, "number"), objects=True)
    kind, level = check.visit(tree)
    if kind != "number":
        raise ExpressionError(
            f"a readout is a number, and this is a {kind}; for the share of objects write fraction(...)", tree.at
        )
    if level == _EACH:
        raise ExpressionError("this is one number per object; a readout is one per field: write mean(...)", tree.at)
    return Readout(source, tree, tuple(check.used), check.counts)


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
    check = _Check(columns, objects=False)
    kind, _ = check.visit(tree)
    if kind != "condition":
        raise ExpressionError(f"this is a {kind}, and a condition is needed: compare it with something", tree.at)
    return WellCondition(source, tree, tuple(check.used))


class _Check:
    """Names and types, before any data is seen."""

    def __init__(self, columns: Mapping[str, str], *, objects: bool) -> None:
        self._columns = columns
        self._objects = objects
        self.used: dict[str, None] = {}
        self.counts = False

    def visit(self, node: Node) -> tuple[_Type, str]:
        match node:
            case Number():
                return "number", _ONE
            case Text():
                if self._objects:
                    raise ExpressionError("features are numbers; a quoted word has no place here", node.at)
                return "text", _ONE
            case Name():
                return self._name(node)
            case Negative():
                return "number", self._all("number", [node.operand], "'-'")
            case Arithmetic():
                return "number", self._all("number", [node.left, node.right], f"{node.operator!r}")
            case Comparison():
                return "condition", self._comparison(node.operators, node.operands)
            case Membership():
                return "condition", self._comparison(("==",), (node.item, *node.options))
            case Not():
                return "condition", self._all("condition", [node.operand], "'not'")
            case Logic():
                return "condition", self._all("condition", node.operands, f"{node.operator!r}")
            case Call():
                return self._call(node)
        raise ExpressionError("not in the language", node.at)

    def _name(self, node: Name) -> tuple[_Type, str]:
        kind = self._columns.get(node.name)
        if kind is None:
            self._unknown(node)
        self.used[node.name] = None
        return ("text" if kind == "text" else "number"), (_EACH if self._objects else _ONE)

    def _unknown(self, node: Name) -> NoReturn:
        names = list(self._columns)
        if not self._objects:
            listed = ", ".join(names) or "none: the protocol has no plate map"
            raise ExpressionError(
                f"the plate map has no column {node.name!r}{nearest(node.name, names)} (columns: {listed}). "
                "Words are put in quotes",
                node.at,
            )
        if node.name in FUNCTIONS:
            raise ExpressionError(f"{node.name} is a function: write {node.name}(...)", node.at)
        prefix, dot, feature = node.name.partition(".")
        owned = [name.partition(".")[2] for name in names if name.startswith(f"{prefix}.")]
        if dot and owned:
            hint = f"{nearest(feature, owned)} ({prefix} has: {', '.join(owned)})"
            raise ExpressionError(f"{prefix!r} has no feature {feature!r}{hint}", node.at)
        owners = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
        if dot:
            hint = nearest(prefix, owners) or f"; known: {', '.join(owners) or 'none'}"
            raise ExpressionError(f"no channel or spots are named {prefix!r}{hint}", node.at)
        bare = [name for name in names if "." not in name]
        if node.name in owners:
            raise ExpressionError(f"{node.name!r} is not a number; write {node.name}.<feature>", node.at)
        hint = nearest(node.name, [*bare, *owners]) or f" (known: {', '.join(bare)}, and <channel or spots>.<feature>)"
        raise ExpressionError(f"no feature is named {node.name!r}{hint}", node.at)

    def _all(self, wanted: _Type, nodes: Iterable[Node], what: str) -> str:
        level = _ONE
        for node in nodes:
            kind, its_level = self.visit(node)
            if kind != wanted:
                raise ExpressionError(f"{what} works on {wanted}s, and this is a {kind}", node.at)
            level = _EACH if _EACH in (level, its_level) else _ONE
        return level

    def _comparison(self, operators: tuple[str, ...], operands: tuple[Node, ...]) -> str:
        kinds = [self.visit(node) for node in operands]
        first = kinds[0][0]
        for node, (kind, _) in zip(operands, kinds, strict=True):
            if kind == "condition":
                raise ExpressionError("a condition cannot be compared; join conditions by 'and' or 'or'", node.at)
            if kind != first:
                raise ExpressionError(f"a {first} is compared with a {kind}: {self._sides(operands)}", node.at)
        if first == "text" and any(operator not in ("==", "!=") for operator in operators):
            raise ExpressionError("words can be compared by == , != and in only", operands[0].at)
        return _EACH if any(level == _EACH for _, level in kinds) else _ONE

    def _sides(self, operands: tuple[Node, ...]) -> str:
        for node in operands:
            if isinstance(node, Name):
                kind = self._columns[node.name]
                return (
                    f"the column {node.name!r} holds {'words, write them in quotes' if kind == 'text' else 'numbers'}"
                )
        return "they have no order"

    def _call(self, node: Call) -> tuple[_Type, str]:
        name, arguments = node.function, node.arguments
        if name not in FUNCTIONS:
            raise ExpressionError(
                f"there is no function {name!r}{nearest(name, FUNCTIONS)} (functions: {', '.join(FUNCTIONS)})", node.at
            )
        if not self._objects and name in (*AGGREGATES, "z") and not (name in ("min", "max") and len(arguments) > 1):
            raise ExpressionError(f"{name}(...) is over objects; a plate map has none", node.at)
        if name in ("abs", "log", "log10", "sqrt"):
            return "number", self._all("number", self._exactly(node, 1), f"{name}()")
        if name == "clip":
            return "number", self._all("number", self._exactly(node, 3), "clip(value, low, high)")
        if name == "z":
            self._each("number", self._exactly(node, 1)[0], "z()")
            return "number", _EACH
        if name in ("min", "max") and len(arguments) > 1 and self.visit(arguments[1])[0] == "number":
            return "number", self._all("number", arguments, f"{name}()")
        return self._aggregate(node)

    def _aggregate(self, node: Call) -> tuple[_Type, str]:
        name, arguments = node.function, list(node.arguments)
        if name == "count":
            self.counts = True
            if len(arguments) > 1:
                raise ExpressionError("count() takes nothing, or one condition", node.at)
            for argument in arguments:
                self._each("condition", argument, "count()")
            return "number", _ONE
        if name == "quantile":
            if len(arguments) < 2 or not isinstance(arguments[1], Number) or not 0 <= arguments[1].value <= 1:
                raise ExpressionError("write quantile(value, q) with q a number from 0 to 1, such as 0.9", node.at)
            del arguments[1]
        if not 1 <= len(arguments) <= 2:
            raise ExpressionError(f"{name}() takes a value per object, and optionally a condition", node.at)
        self._each("condition" if name == "fraction" else "number", arguments[0], f"{name}()")
        if len(arguments) == 2:
            self._each("condition", arguments[1], f"the second argument of {name}()")
        return "number", _ONE

    def _exactly(self, node: Call, number: int) -> tuple[Node, ...]:
        if len(node.arguments) != number:
            raise ExpressionError(f"{node.function}() takes {number} argument{'s' * (number > 1)}", node.at)
        return node.arguments

    def _each(self, wanted: _Type, node: Node, what: str) -> None:
        kind, level = self.visit(node)
        if kind != wanted:
            raise ExpressionError(f"{what} needs a {wanted}, and this is a {kind}", node.at)
        if level != _EACH:
            raise ExpressionError(f"{what} needs something per object, and this is one {kind} for the field", node.at)


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
        if isinstance(one, str) and isinstance(other, str):
            return np.asarray(float((one == other) == (operator == "==")))
        if isinstance(one, str) or isinstance(other, str):
            return np.asarray(np.nan)  # a word against an empty cell
        return values.compare(operator, self.value(left), self.value(right))

    def _word(self, node: Node) -> str | None:
        found = (
            node.value if isinstance(node, Text) else self._columns.get(node.name) if isinstance(node, Name) else None
        )
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
