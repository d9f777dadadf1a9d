"""The reason of a rule with places for numbers: checked when it is read, and nothing but names can be filled in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from phenoloop.protocol.expressions import ExpressionError
from phenoloop.protocol.names import nearest

_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z_0-9]*)(?::([^{}]*))?\}", re.ASCII)
_FORM: Final = re.compile(r"(?:\.[0-9])?[efg%]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places. Picklable.

    Attributes
    ----------
    parts : tuple of (str, str, str)
        Text, then the name and the form that follow it; the last has no name.
    """

    parts: tuple[tuple[str, str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names it shows."""
        return tuple(dict.fromkeys(name for _, name, _ in self.parts if name))

    def fill(self, values: Mapping[str, float | str | None]) -> str:
        """Return the text with its places filled; what is not known is called unknown."""
        return "".join(text + (_shown(values.get(name), form) if name else "") for text, name, form in self.parts)


def _shown(value: float | str | None, form: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "unknown"
    return value if isinstance(value, str) else format(value, form or ".4g")


def compile_template(source: str, kinds: Mapping[str, str]) -> Template:
    """Read a template.

    Parameters
    ----------
    source : str
        For example ``"half-width {half_width_vesicles:.2g} after {n_fields} fields"``; ``{{`` is a brace.
    kinds : mapping of str to str
        Names that may be shown, each ``"number"`` or ``"text"``.

    Raises
    ------
    ExpressionError
        With the offset of what is wrong: an unknown name, a form that is not for numbers, a brace that is not closed.
    """
    parts: list[tuple[str, str, str]] = []
    text, at = "", 0
    while at < len(source):
        if source[at : at + 2] in ("{{", "}}"):
            text, at = text + source[at], at + 2
        elif source[at] == "}":
            raise ExpressionError("a brace closes here that was not opened; write }} for a brace", at)
        elif source[at] == "{":
            found = _PLACE.match(source, at)
            if found is None:
                raise ExpressionError("write {name} or {name:.3g}; nothing else can stand in braces", at)
            name, form = found[1], found[2] or ""
            if name not in kinds:
                raise ExpressionError(f"there is no {name!r} to show{nearest(name, kinds)}", at + 1)
            if form and (kinds[name] == "text" or not _FORM.fullmatch(form)):
                said = "a word has no form" if kinds[name] == "text" else f"{form!r} is no form; write .3g, .2f or .0%"
                raise ExpressionError(said, found.start(2))
            parts.append((text, name, form))
            text, at = "", found.end()
        else:
            text, at = text + source[at], at + 1
    return Template((*parts, (text, "", "")))
