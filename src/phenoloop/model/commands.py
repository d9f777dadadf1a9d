"""What is to be done: the commands of the loop. Which input ends each of them, `phenoloop.model.messages` says."""

from __future__ import annotations

from dataclasses import dataclass

from phenoloop.model.messages import Command
from phenoloop.model.records import Decided
from phenoloop.model.visits import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire(Command):
    """Go to a well and take these frames; not before `at_s`, nor before the time that the visit names."""

    visit: Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Command):
    """Analyse one field of a visit."""

    visit: int
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter(Command):
    """Find the exposures of every channel that asks for it, at the first field of these wells."""

    wells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Command):
    """Ask a person about a batch.

    Attributes
    ----------
    proposed : Decided
        The decision as it will stand if the answer is go.
    about : tuple of int
        Numbers of the visits that are asked about; the others go whatever the answer.
    within_s : float or None
        Wall-clock seconds until `otherwise` counts as the answer; None: no end.
    otherwise : str or None
        ``"skip"``, ``"go"`` or ``"stop"``.
    """

    proposed: Decided
    about: tuple[int, ...]
    within_s: float | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Command):
    """Close everything and end. `exit`: completed, budget, stopped or failed."""

    exit: str
    reason: str
