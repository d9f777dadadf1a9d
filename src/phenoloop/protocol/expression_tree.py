"""The parts an expression can have; there are no others. Plain and picklable."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression; `at` is its offset in the text."""

    at: int


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A literal number."""

    value: float


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A quoted word."""

    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A column: ``area``, ``DNA.mean``, ``treatment``."""

    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function and its arguments."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """Unary minus."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Arithmetic(Node):
    """``left operator right`` with one of ``+ - * / %``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """``a < b <= c``: every neighbouring pair must hold."""

    operators: tuple[str, ...]
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Membership(Node):
    """``item in [options]``; `negated` for ``not in``."""

    item: Node
    options: tuple[Number | Text, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Not(Node):
    """Logical negation."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """``and`` or ``or`` of two or more conditions."""

    operator: str
    operands: tuple[Node, ...]
