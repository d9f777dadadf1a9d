"""Every error the user can meet, and the exit code each one ends in.

An error is one paragraph: what happened, where, and the way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SHOWN: Final = 200
"""Characters of a line that an error shows at most; a file may be one line of many thousands."""


class PhenoloopError(Exception):
    """Base of all errors that are told without a traceback.

    Attributes
    ----------
    exit_code : int
        Exit status of the command line: 1 the run failed, 2 protocol or usage, 3 hardware.
    """

    exit_code = 1


class UsageError(PhenoloopError):
    """A path, option or argument that cannot be used; no device was touched."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file.

    Attributes
    ----------
    message : str
        What is wrong and the way out, one or two sentences.
    file : str
        Path as the user gave it.
    line, column : int or None
        One-based position, or None when the problem is not at a place. A column without a line counts in the value of
        the key that `where` names, until whoever knows the file finds its line.
    where : str
        Dotted path of the key, e.g. ``policy.explore``.
    source : str
        The offending line of the file, for the caret.
    """

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    where: str = ""
    source: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}"
            if self.column is not None:
                place += f":{self.column}"
        head = ": ".join(part for part in (place, self.where, self.message) if part)
        if self.line is None or not self.source:
            return head
        gutter = f"{self.line:>6} | "
        shown, at = _window(self.source.rstrip(), (self.column or 1) - 1)
        caret = " " * (len(gutter) - 2) + "| " + " " * at + "^"
        return f"{head}\n{gutter}{shown}\n{caret}"


def _window(line: str, at: int) -> tuple[str, int]:
    """Return the part of a long line around a place, and where the place lies in it."""
    start = max(0, at - _SHOWN // 2) if len(line) > _SHOWN else 0
    before, after = ("..." if start else ""), ("..." if len(line) > start + _SHOWN else "")
    return before + line[start : start + _SHOWN] + after, len(before) + at - start


class ProtocolError(PhenoloopError):
    """A protocol, plate map or microscope file that cannot be run as written.

    Parameters
    ----------
    *problems : Problem
        All that was found; at least one.
    """

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class HardwareError(PhenoloopError):
    """The microscope cannot be used; nothing was imaged."""

    exit_code = 3


class FrameError(PhenoloopError):
    """One frame could not be taken at the state that was asked for, after all retries."""


class JournalError(PhenoloopError):
    """A journal that cannot be trusted; the message names the line."""


class StorageError(PhenoloopError):
    """The disk refused data; acquisition stops rather than expose what cannot be kept."""


class AnalysisError(PhenoloopError):
    """One field could not be analysed; becomes a `MeasurementFailed` with this text as its reason."""


class PluginError(UsageError):
    """A plug-in that is unknown or cannot be loaded."""
