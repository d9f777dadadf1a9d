"""Where an expression can be true: interval arithmetic over the ranges of its names, before any data is seen.

The answer is a list of boxes that together hold every case in which the expression is true (or false); an empty list is
a proof that there is none. Of two sides that both vary, the difference is a name of its own, so ``a > 0.1 * b`` and
``a <= 0.1 * b`` are known to exclude each other although nothing is known of a and b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from phenoloop.protocol.expression_spans import Box, Range, minus, names, span, text_of
from phenoloop.protocol.expression_tree import Comparison, Logic, Membership, Name, Node, Not, Text

MAX_BOXES: Final = 64
"""More boxes than these are given up for the one they came from: still every case, only less exact."""
_NEGATED: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def never(node: Node, ranges: Box) -> bool:
    """Return whether a condition cannot be true."""
    return not cases(node, ranges, True)


def always(node: Node, ranges: Box) -> bool:
    """Return whether a condition cannot be false; it may still be unknown."""
    return not cases(node, ranges, False)


def together(first: Sequence[Box], node: Node, truth: bool = True) -> list[Box]:
    """Return the cases among `first` in which a condition is `truth` too; `first` where they are too many to tell."""
    found: list[Box] = []
    for box in first:
        found += cases(node, box, truth)
        if len(found) > MAX_BOXES:
            return list(first)
    return found


def cases(node: Node, ranges: Box, truth: bool) -> list[Box]:
    """Return boxes that hold every case in which a condition is true, or false.

    Parameters
    ----------
    node : Node
        A condition, checked for its types.
    ranges : mapping of str to Range
        Of every name in it.
    truth : bool
        Which of the two.
    """
    match node:
        case Not():
            return cases(node.operand, ranges, not truth)
        case Logic():
            if (node.operator == "and") == truth:
                found: list[Box] = [ranges]
                for operand in node.operands:
                    found = together(found, operand, truth)
                return found
            return _few([box for operand in node.operands for box in cases(operand, ranges, truth)], ranges)
        case Comparison():
            pairs = list(zip(node.operators, node.operands, node.operands[1:], strict=False))
            return _pairs([(op if truth else _NEGATED[op], a, b) for op, a, b in pairs], ranges, every=truth)
        case Membership():
            inside = truth != node.negated
            one = [("==" if inside else "!=", node.item, option) for option in node.options]
            return _pairs(one, ranges, every=not inside)
    return [ranges]


def _few(found: list[Box], whole: Box) -> list[Box]:
    return found if len(found) <= MAX_BOXES else [whole]


def _pairs(pairs: Sequence[tuple[str, Node, Node]], ranges: Box, *, every: bool) -> list[Box]:
    if not every:
        return _few([box for pair in pairs for box in _pair(*pair, ranges)], ranges)
    found: list[Box] = [ranges]
    for pair in pairs:
        found = [box for one in found for box in _pair(*pair, one)]  # one box from one box
    return found


def _pair(operator: str, left: Node, right: Node, box: Box) -> list[Box]:
    """Return the box in which a comparison holds with both sides known, or nothing."""
    if _constant(left) and not _constant(right):
        left, right, operator = right, left, _FLIPPED[operator]
    known = _known(left, right, box)
    if known is None:
        return []
    if isinstance(right, Text) and isinstance(left, Name):
        words = known[left.name].words or ()
        kept = tuple(word for word in words if (word == right.value) == (operator == "=="))
        return _with(known, left.name, replace(known[left.name], words=kept))
    if isinstance(right, Text) or isinstance(left, Text) or _is_word(left, known) or _is_word(right, known):
        same = text_of(left) == text_of(right)
        return [known] if not same or operator == "==" else []
    one, other = span(left, known), span(right, known)
    if not _can(operator, one, other):
        return []
    if _constant(right):
        key = text_of(left)
        return _with(known, key, _cut(known.get(key, Range(*one)), operator, other))
    # Of two things that vary, only what is known of their difference can be kept.
    texts = text_of(left), text_of(right)
    if texts[0] == texts[1]:
        return [known] if operator in ("<=", ">=", "==") else []
    if texts[0] > texts[1]:
        left, right, operator, texts = right, left, _FLIPPED[operator], texts[::-1]
        one, other = other, one
    key = f"{texts[0]} - {texts[1]}"
    difference = known.get(key, Range(minus(one[0], other[1], -math.inf), minus(one[1], other[0], math.inf)))
    found = _with(known, key, _cut(difference, operator, (0.0, 0.0)))
    for node, its_operator, limits in ((left, operator, other), (right, _FLIPPED[operator], one)):
        if isinstance(node, Name):
            found = [
                box
                for one_box in found
                for box in _with(one_box, node.name, _cut(one_box[node.name], its_operator, limits))
            ]
    return found


def _with(box: Box, key: str, found: Range) -> list[Box]:
    return [] if found.empty else [{**box, key: found}]


def _known(left: Node, right: Node, box: Box) -> Box | None:
    """Return the box in which both sides are known: a spread, say, needs two fields."""
    for name in dict.fromkeys([*names(left), *names(right)]):
        for needed, least in box[name].needs if name in box else ():
            if needed in box:
                cut = _cut(box[needed], ">=", (least, least))
                if cut.empty:
                    return None
                box = {**box, needed: cut}
    return box


def _cut(found: Range, operator: str, limits: tuple[float, float]) -> Range:
    low, high = limits
    if operator in ("<", "<="):
        top = _below(high, whole=found.whole) if operator == "<" else high
        found = replace(found, high=min(found.high, top))
    elif operator in (">", ">="):
        bottom = _above(low, whole=found.whole) if operator == ">" else low
        found = replace(found, low=max(found.low, bottom))
    elif operator == "==":
        found = replace(found, low=max(found.low, low), high=min(found.high, high))
    elif low == high:  # !=
        if found.low == low:
            found = replace(found, low=_above(low, whole=found.whole))
        if found.high == low:
            found = replace(found, high=_below(low, whole=found.whole))
    if found.whole and math.isfinite(found.low):
        found = replace(found, low=float(math.ceil(found.low)))
    if found.whole and math.isfinite(found.high):
        found = replace(found, high=float(math.floor(found.high)))
    return found


def _below(value: float, *, whole: bool) -> float:
    if whole and math.isfinite(value):
        return float(math.ceil(value) - 1)
    return math.nextafter(value, -math.inf)


def _above(value: float, *, whole: bool) -> float:
    if whole and math.isfinite(value):
        return float(math.floor(value) + 1)
    return math.nextafter(value, math.inf)


def _can(operator: str, one: tuple[float, float], other: tuple[float, float]) -> bool:
    match operator:
        case "<":
            return one[0] < other[1]
        case "<=":
            return one[0] <= other[1]
        case ">":
            return one[1] > other[0]
        case ">=":
            return one[1] >= other[0]
        case "==":
            return one[0] <= other[1] and other[0] <= one[1]
    return not one[0] == one[1] == other[0] == other[1]


def _constant(node: Node) -> bool:
    return not names(node)


def _is_word(node: Node, box: Box) -> bool:
    return isinstance(node, Name) and node.name in box and box[node.name].words is not None
