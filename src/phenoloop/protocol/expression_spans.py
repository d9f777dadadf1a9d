"""The least and the greatest that a number can be, from the ranges of the names in it: interval arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Range:
    """What a name can be.

    Attributes
    ----------
    low, high : float
        Both included; infinite where nothing is known.
    whole : bool
        Whole numbers only.
    words : tuple of str or None
        The words it can be; None for a number.
    needs : tuple of (str, float)
        It is known only where these other names are at least so much.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    words: tuple[str, ...] | None = None
    needs: tuple[tuple[str, float], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return not self.words if self.words is not None else self.low > self.high


Box = Mapping[str, Range]
"""Ranges by name, and of expressions by their text."""


def span(node: Node, box: Box) -> tuple[float, float]:
    """Return the least and the greatest that a number can be where it is known."""
    found = _span(node, box)
    said = box.get(text_of(node)) if not isinstance(node, Name | Number) else None
    if said is not None:
        found = max(found[0], said.low), min(found[1], said.high)
    return found


def _span(node: Node, box: Box) -> tuple[float, float]:
    match node:
        case Number():
            return node.value, node.value
        case Name():
            known = box.get(node.name, Range())
            return known.low, known.high
        case Negative():
            low, high = span(node.operand, box)
            return -high, -low
        case Arithmetic():
            return _arithmetic(node.operator, span(node.left, box), span(node.right, box))
        case Call():
            return _call(node.function, [span(argument, box) for argument in node.arguments])
    return -math.inf, math.inf


def _arithmetic(operator: str, one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    match operator:
        case "+":
            return _plus(one[0], other[0], -math.inf), _plus(one[1], other[1], math.inf)
        case "-":
            return minus(one[0], other[1], -math.inf), minus(one[1], other[0], math.inf)
        case "*":
            return _hull([_times(a, b) for a in one for b in other])
        case "/" if other[0] > 0 or other[1] < 0:
            return _hull([_over(a, b) for a in one for b in other])
        case "%" if other[0] > 0:
            return 0.0, other[1]
    return -math.inf, math.inf


def _call(function: str, spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    low, high = spans[0]
    match function:
        case "abs":
            return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
        case "sqrt":
            return math.sqrt(max(low, 0.0)), math.sqrt(high) if high >= 0 else math.inf
        case "log" | "log10":
            step = math.log if function == "log" else math.log10
            return (step(low) if low > 0 else -math.inf), step(high) if 0 < high < math.inf else math.inf
        case "clip":
            (a, b), (c, d) = spans[1], spans[2]
            return min(max(low, a), c), min(max(high, b), d)
        case "min":
            return min(one[0] for one in spans), min(one[1] for one in spans)
        case "max":
            return max(one[0] for one in spans), max(one[1] for one in spans)
    return -math.inf, math.inf


def _hull(values: Sequence[float]) -> tuple[float, float]:
    if any(math.isnan(value) for value in values):
        return -math.inf, math.inf
    return min(values), max(values)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _over(a: float, b: float) -> float:
    return a / b if not (math.isinf(a) and math.isinf(b)) else math.nan


def _plus(a: float, b: float, otherwise: float) -> float:
    found = a + b
    return otherwise if math.isnan(found) else found


def minus(a: float, b: float, otherwise: float) -> float:
    """Return a difference, or `otherwise` where both are infinite."""
    return _plus(a, -b, otherwise)


def names(node: Node) -> list[str]:
    """Return the names in a tree, from left to right."""
    match node:
        case Name():
            return [node.name]
        case Negative() | Not():
            return names(node.operand)
        case Arithmetic():
            return names(node.left) + names(node.right)
        case Call():
            return [name for argument in node.arguments for name in names(argument)]
        case Comparison() | Logic():
            return [name for operand in node.operands for name in names(operand)]
        case Membership():
            return names(node.item)
    return []


def text_of(node: Node) -> str:
    """Return a part in one form, whatever its spaces and brackets were."""
    match node:
        case Number():
            return repr(node.value)
        case Text():
            return repr(node.value)
        case Name():
            return node.name
        case Negative():
            return f"(-{text_of(node.operand)})"
        case Arithmetic():
            return f"({text_of(node.left)} {node.operator} {text_of(node.right)})"
        case Call():
            return f"{node.function}({', '.join(text_of(argument) for argument in node.arguments)})"
    return ""
