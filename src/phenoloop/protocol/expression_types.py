"""Names and types of an expression, checked before any data is seen: one number per object, or one for the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NoReturn

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
from phenoloop.protocol.names import nearest

AGGREGATES: Final = ("mean", "median", "sum", "count", "fraction", "quantile", "min", "max")
FUNCTIONS: Final = (*AGGREGATES, "z", "abs", "log", "log10", "sqrt", "clip")

EACH: Final = "each object"
_ONE: Final = "one"
_Type = Literal["number", "condition", "text"]


def _some(names: list[str]) -> str:
    """Return the names, or the first of very many."""
    if len(names) <= 20:
        return ", ".join(names)
    return f"{', '.join(names[:12])} and {len(names) - 12} more, see docs/features.md"


class TypeCheck:
    """Walks a tree and finds out what it is, which columns it looks at, and whether it counts objects.

    Parameters
    ----------
    columns : mapping of str to str
        Column to its type, ``"number"`` or ``"text"``.
    objects : bool
        Columns hold one value per object; else the expression is about one row of a table.
    place : str
        What has the columns, in words; the plate map unless said otherwise.
    """

    def __init__(self, columns: Mapping[str, str], *, objects: bool, place: str = "") -> None:
        self._columns = columns
        self._objects = objects
        self._place = place
        self.used: dict[str, None] = {}
        self.counts = False

    def visit(self, node: Node) -> tuple[_Type, str]:
        """Return the type and the level of a part, or refuse it."""
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
        return ("text" if kind == "text" else "number"), (EACH if self._objects else _ONE)

    def _unknown(self, node: Name) -> NoReturn:
        names = list(self._columns)
        if self._place:
            near = nearest(node.name, names) or f" (it has {_some(names)}); words are put in quotes"
            raise ExpressionError(f"{self._place} has no {node.name!r}{near}", node.at)
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
            hint = f"{nearest(feature, owned)} ({prefix} has: {_some(owned)})"
            raise ExpressionError(f"{prefix!r} has no feature {feature!r}{hint}", node.at)
        owners = list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))
        if dot:
            hint = nearest(prefix, owners) or f"; known: {', '.join(owners) or 'none'}"
            raise ExpressionError(f"no channel or spots are named {prefix!r}{hint}", node.at)
        bare = [name for name in names if "." not in name]
        if node.name in owners:
            raise ExpressionError(f"{node.name!r} is not a number; write {node.name}.<feature>", node.at)
        hint = nearest(node.name, [*bare, *owners]) or f" (known: {_some(bare)}, and <channel or spots>.<feature>)"
        raise ExpressionError(f"no feature is named {node.name!r}{hint}", node.at)

    def _all(self, wanted: _Type, nodes: Iterable[Node], what: str) -> str:
        level = _ONE
        for node in nodes:
            kind, its_level = self.visit(node)
            if kind != wanted:
                raise ExpressionError(f"{what} works on {wanted}s, and this is a {kind}", node.at)
            level = EACH if EACH in (level, its_level) else _ONE
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
        return EACH if any(level == EACH for _, level in kinds) else _ONE

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
            place = self._place or "a plate map"
            raise ExpressionError(f"{name}(...) is over objects; {place} has none", node.at)
        if name in ("abs", "log", "log10", "sqrt"):
            return "number", self._all("number", self._exactly(node, 1), f"{name}()")
        if name == "clip":
            return "number", self._all("number", self._exactly(node, 3), "clip(value, low, high)")
        if name == "z":
            self._each("number", self._exactly(node, 1)[0], "z()")
            return "number", EACH
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
        if level != EACH:
            raise ExpressionError(f"{what} needs something per object, and this is one {kind} for the field", node.at)
