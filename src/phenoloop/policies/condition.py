"""A condition over readouts: compiled once, three-valued, and said in words with the number that made it true."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from phenoloop.errors import Problem, ProtocolError
from phenoloop.protocol.expressions import ExpressionError, WellCondition, compile_well
from phenoloop.protocol.names import nearest

_SIMPLE: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition over the readouts of one field. Picklable.

    Attributes
    ----------
    source : str
        As written.
    compiled : WellCondition
        Its meaning; the names are readouts.
    """

    source: str
    compiled: WellCondition

    @property
    def readouts(self) -> tuple[str, ...]:
        """The readouts it looks at."""
        return self.compiled.names_used

    def of(self, readouts: Mapping[str, float | None]) -> bool | None:
        """Return whether it holds; None is unknown."""
        return self.compiled.evaluate(dict(readouts))

    def threshold(self) -> tuple[str, str, float] | None:
        """Return readout, direction (``<`` or ``>``) and number of a plain comparison; None for anything else."""
        found = _SIMPLE.fullmatch(self.source)
        return None if found is None else (found[1], found[2][0], float(found[3]))

    def said(self, readouts: Mapping[str, float | None], *, holds: bool = True) -> str:
        """Return it with what was read: ``dividing 0.91 > 0.8``; not `holds`: ``dividing 0.3, not > 0.8``."""
        found = _SIMPLE.fullmatch(self.source)
        if found is not None:
            value = readouts.get(found[1])
            read = "unknown" if value is None else f"{value:.3g}"
            return f"{found[1]} {read}{'' if holds else ', not'} {found[2]} {found[3]}"
        values = (f"{name} {value:.3g}" for name in self.readouts if (value := readouts.get(name)) is not None)
        return f"{self.source} {'holds' if holds else 'holds no more'} ({', '.join(values)})"


def compiled(source: str, readouts: Sequence[str], where: str) -> Condition:
    """Compile a condition over readouts.

    Parameters
    ----------
    source : str
        Such as ``dividing > 0.8``.
    readouts : sequence of str
        Names that the protocol measures.
    where : str
        Dotted path of the key, for the problem.

    Raises
    ------
    ProtocolError
        If it is not in the language, is no condition, or names what is not measured.
    """
    try:
        found = compile_well(source, dict.fromkeys(readouts, "number"))
    except ExpressionError as error:
        unknown = next((name for name in re.findall(r"[A-Za-z_]\w*", source) if name not in readouts), "")
        message = ""
        if unknown and unknown in error.message:
            message = f"there is no readout {unknown!r}{nearest(unknown, readouts)}"
        listed = f" (readouts: {', '.join(readouts) or 'none'})"
        raise ProtocolError(Problem(where=where, message=(message or error.message) + listed)) from error
    return Condition(source, found)


def can_settle(when: Condition, until: Condition | None, where: str) -> None:
    """Refuse two thresholds that hold at once: what fires would be over at the same moment, again and again.

    Raises
    ------
    ProtocolError
        If `when` and `until` are plain comparisons of one readout that overlap.
    """
    fires, calms = when.threshold(), None if until is None else until.threshold()
    if fires is None or calms is None or fires[0] != calms[0]:
        return
    apart = fires[1] != calms[1] and (calms[2] <= fires[2] if fires[1] == ">" else calms[2] >= fires[2])
    if not apart:
        assert until is not None
        said = f"{until.source!r} holds for values of which {when.source!r} holds too; leave a gap between them"
        raise ProtocolError(Problem(where=where, message=said))
