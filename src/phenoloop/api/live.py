"""What a caller holds: a run while it goes on, and what is left of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phenoloop.model import Plan, Setup
from phenoloop.runner import Loop, RunSignals
from phenoloop.storage.run_folder import RunFolder

EXIT_CODES: Mapping[str, int] = {"completed": 0, "budget": 0, "stopped": 130, "failed": 1, "incomplete": 1}
"""Exit of a run to exit status of the command line."""


class LiveRun:
    """A run that goes on. Its methods may be called from any thread.

    Attributes
    ----------
    signals : RunSignals
        For watching only; no slot can touch the loop.
    plan : Plan
        The protocol as understood.
    setup : Setup
        What policy and question were told.
    folder : RunFolder
        Where it is kept.
    """

    def __init__(self, loop: Loop, signals: RunSignals, setup: Setup, folder: RunFolder) -> None:
        self._loop = loop
        self.signals = signals
        self.plan: Plan = loop.machine.plan
        self.setup = setup
        self.folder = folder

    def pause(self) -> None:
        """Hold before the next frame."""
        self._loop.pause()

    def resume(self) -> None:
        """Go on."""
        self._loop.resume()

    def answer(self, answer: str, by: str = "a person at the terminal") -> bool:
        """Answer the batch that waits for a person; False where none does.

        Parameters
        ----------
        answer : str
            ``"go"``, ``"skip"`` (its wells are then not imaged again under that profile) or ``"stop"``.
        by : str
            Who; kept in the journal.
        """
        return self._loop.answer(answer, by)

    def stop(self, reason: str = "stopped by the user") -> None:
        """End now; what was taken is kept, and the run can be resumed."""
        self._loop.stop(reason)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that has ended.

    Attributes
    ----------
    folder : RunFolder
        Where it is kept.
    report : mapping
        Content of ``report.json``.
    exit_code : int
        For the command line.
    """

    folder: RunFolder
    report: dict[str, Any]
    exit_code: int
