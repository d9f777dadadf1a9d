"""The grammar of expressions: text to a small tree, by a parser of our own, so that nothing of Python can be reached.

The language has numbers, quoted words, names with at most one dot, ``+ - * / %``, comparisons (chained as in Python),
``in [...]``, ``and or not`` and calls by name. There is no power, no index, no attribute of a value, no assignment.
Length, number of nodes and depth are capped before anything is built, so a hostile text costs microseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from phenoloop.errors import UsageError
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

MAX_LENGTH: Final = 500
MAX_NODES: Final = 120
MAX_DEPTH: Final = 16


class ExpressionError(UsageError):
    """An expression that cannot be used.

    Parameters
    ----------
    message : str
        What is wrong and the way out.
    at : int
        Zero-based offset of the offending character in the expression.
    """

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z_0-9.]))
  | (?P<text>'[^'\\\n]*'|"[^"\\\n]*")
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)?)
  | (?P<sign>==|!=|<>|<=|>=|\*\*|//|&&|\|\||[-+*/%<>(),\[\]])
  )""",
    re.VERBOSE | re.ASCII,
)
_Part = Callable[[], Node]
_WORDS: Final = frozenset({"and", "or", "not", "in"})
_COMPARE: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_AFTER_A_SHARE: Final = _COMPARE | {"and", "or", ")", ","}
_HINTS: Final = {
    "**": "there is no power here; write a product",
    "//": "there is no whole division here; use /",
    "&&": "write 'and'",
    "||": "write 'or'",
    "=": "to compare, write ==",
    "=>": "write >=",
    "=<": "write <=",
    "<>": "write !=",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not' or !=",
    "^": "there is no power here; write a product",
    ".": "only <channel or spots>.<feature> has a dot",
    "'": "a quote is not closed",
    '"': "a quote is not closed",
    "[": "a list may only follow 'in'",
    **dict.fromkeys("\u2018\u2019\u201c\u201d", "words are put in straight quotes, as in 'vehicle'"),
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(source: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    end = len(source.rstrip())
    while position < end:
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            start = position + len(source[position:]) - len(source[position:].lstrip())
            said = source[start : start + 2] if source[start : start + 2] in _HINTS else source[start]
            hint = _HINTS.get(said)
            raise ExpressionError(f"unexpected {said!r}" + (f": {hint}" if hint else ""), start)
        kind, text = match.lastgroup, match.group(match.lastgroup)
        found.append(_Token("word" if text in _WORDS else kind, text, match.start(match.lastgroup)))
        position = match.end()
        if len(found) > 4 * MAX_NODES:
            raise ExpressionError(f"the expression is too long (at most {MAX_NODES} parts); split it", found[-1].at)
    found.append(_Token("end", "", end))
    return found


def parse(source: str) -> Node:
    """Return the tree of an expression.

    Raises
    ------
    ExpressionError
        If it is not in the language, or too long, too deep, or has too many parts.
    """
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(source)} characters; at most {MAX_LENGTH} are allowed")
    if not source.strip():
        raise ExpressionError("the expression is empty")
    return _Parser(source).whole()


class _Parser:
    """Recursive descent; each level of depth is counted before it is entered."""

    def __init__(self, source: str) -> None:
        self._left = _tokens(source)
        self._next = 0
        self._nodes = 0
        self._depth = 0

    @property
    def _now(self) -> _Token:
        return self._left[self._next]

    def _take(self, *texts: str) -> _Token | None:
        token = self._now
        if token.kind in ("sign", "word") and token.text in texts:
            self._next += 1
            return token
        return None

    def _need(self, text: str, why: str) -> None:
        if self._take(text) is None:
            self._stop(f"expected {text!r} {why}")

    def _stop(self, expected: str) -> NoReturn:
        token = self._now
        what = "the expression ends here" if token.kind == "end" else f"unexpected {token.text!r}"
        hint = _HINTS.get(token.text)
        raise ExpressionError(f"{what}: {hint or expected}", token.at)

    def _count(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"the expression has too many parts (at most {MAX_NODES}); split it", node.at)
        return node

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"the expression is nested too deeply (at most {MAX_DEPTH} levels)", self._now.at)

    def whole(self) -> Node:
        node = self._either()
        if self._now.kind != "end":
            self._stop("expected an operator, or the end")
        return node

    def _either(self) -> Node:
        self._enter()
        node = self._joined("or", lambda: self._joined("and", self._negated))
        self._depth -= 1
        return node

    def _joined(self, word: str, part: _Part) -> Node:
        first = part()
        parts = [first]
        while self._take(word):
            parts.append(part())
        return first if len(parts) == 1 else self._count(Logic(first.at, word, tuple(parts)))

    def _negated(self) -> Node:
        if token := self._take("not"):
            self._enter()
            node = self._count(Not(token.at, self._negated()))
            self._depth -= 1
            return node
        return self._compared()

    def _compared(self) -> Node:
        first = self._sum()
        if self._take("in"):
            return self._member(first, negated=False)
        if self._take("not"):
            self._need("in", "after 'not'")
            return self._member(first, negated=True)
        operators, operands = [], [first]
        while self._now.kind == "sign" and self._now.text in _COMPARE:
            operators.append(self._now.text)
            self._next += 1
            operands.append(self._sum())
        if not operators:
            return first
        return self._count(Comparison(first.at, tuple(operators), tuple(operands)))

    def _member(self, item: Node, *, negated: bool) -> Node:
        opening = self._take("[", "(")
        if opening is None:
            self._stop("expected a list like ['a', 'b']")
        options: list[Number | Text] = []
        while True:
            node = self._signed()
            if isinstance(node, Negative) and isinstance(node.operand, Number):
                node = Number(node.at, -node.operand.value)
            if not isinstance(node, Number | Text):
                raise ExpressionError("a list holds numbers and words in quotes", node.at)
            options.append(node)
            if not self._take(","):
                break
        self._need("]" if opening.text == "[" else ")", "at the end of the list")
        return self._count(Membership(item.at, item, tuple(options), negated))

    def _sum(self) -> Node:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/", "%"), self._signed))

    def _chain(self, signs: tuple[str, ...], part: _Part) -> Node:
        node = part()
        while token := self._take(*signs):
            if token.text == "%" and (self._now.kind == "end" or self._now.text in _AFTER_A_SHARE):
                share = f"{node.value:g} % as {node.value / 100:g}" if isinstance(node, Number) else "50 % as 0.5"
                raise ExpressionError(f"'%' is the remainder of a division here; write {share}", token.at)
            node = self._count(Arithmetic(token.at, token.text, node, part()))
        return node

    def _signed(self) -> Node:
        if token := self._take("-", "+"):
            self._enter()
            operand = self._signed()
            self._depth -= 1
            return operand if token.text == "+" else self._count(Negative(token.at, operand))
        return self._atom()

    def _atom(self) -> Node:
        token = self._now
        if token.kind == "number":
            self._next += 1
            if not math.isfinite(value := float(token.text)):
                said = token.text if len(token.text) <= 20 else f"{token.text[:17]}..."
                raise ExpressionError(f"{said} is too large a number", token.at)
            return self._count(Number(token.at, value))
        if token.kind == "text":
            self._next += 1
            return self._count(Text(token.at, token.text[1:-1]))
        if token.kind == "name":
            self._next += 1
            if self._take("("):
                return self._count(Call(token.at, token.text, self._arguments()))
            return self._count(Name(token.at, token.text))
        if self._take("("):
            node = self._either()
            self._need(")", "to close '('")
            return node
        self._stop("expected a number, a name, a function or '('")

    def _arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        if self._take(")"):
            return ()
        while True:
            found.append(self._either())
            if self._take(")"):
                return tuple(found)
            self._need(",", "or ')' after an argument")
