"""The question that waits for a person: who may answer, and what happens when nobody does in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from phenoloop.model import Answered, Confirm, Input

AT_THE_TERMINAL: Final = "a person at the terminal"
STOPPED: Final = "the run was stopped"


class Approvals:
    """Holds the one question that is open, and posts its one answer.

    Time here is the wall's, also on the virtual clock: people live by it. The answer is an input of the journal, so a
    replay needs no person and no clock.

    Parameters
    ----------
    post : callable
        Takes the answer.
    """

    def __init__(self, post: Callable[[Input], None]) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._open: Confirm | None = None
        self._deadline: float | None = None
        self._held = False

    @property
    def open(self) -> bool:
        """Whether a question waits for its answer."""
        return self._open is not None

    def ask(self, command: Confirm) -> None:
        """Open a question; the clock starts."""
        with self._lock:
            self._open = command
            self._restart()

    def answer(self, answer: str, by: str, *, judged: bool = False) -> bool:
        """Answer the open question; any thread. Returns False where none is open: it was answered by somebody else."""
        with self._lock:
            command, self._open, self._deadline = self._open, None, None
        if command is None:
            return False
        self._post(Answered(at_s=command.at_s, decision=command.proposed.decision, answer=answer, by=by, judged=judged))
        return True

    def hold(self, held: bool) -> None:
        """Stop the clock while the run is paused; it starts anew after that."""
        with self._lock:
            self._held = held
            self._restart()

    def next_deadline(self) -> float | None:
        """Return when the open question is answered by default (`time.perf_counter`); None: never."""
        return self._deadline

    def give_up_overdue(self) -> None:
        """Answer by default when the time is over."""
        command, deadline = self._open, self._deadline
        if command is None or deadline is None or time.perf_counter() < deadline or command.otherwise is None:
            return
        self.answer(command.otherwise, f"nobody answered within {command.within_s:g} s")

    def _restart(self) -> None:
        limit = None if self._open is None else self._open.within_s
        self._deadline = None if limit is None or self._held else time.perf_counter() + limit
