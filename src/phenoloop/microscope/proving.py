"""A command counts when its state is read back: tried, looked at, tried again, and at last given up with its reason.

Nothing is assumed to have worked because no error was raised.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from phenoloop.errors import FrameError
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.watchdog import Watchdog
from phenoloop.model import MicroscopePlan

log = logging.getLogger(__name__)

T = TypeVar("T")
Report = Callable[[str, str, int], None]
"""Takes the call, what it said, and the attempt (from 1)."""


def say(error: BaseException) -> str:
    """Return an error of a device as one line of text."""
    return " ".join(str(error).split()) or type(error).__name__


def log_fault(call: str, message: str, attempt: int) -> None:
    """Take a fault that belongs to no visit."""
    log.warning("%s refused (attempt %d): %s", call, attempt, message)


def never_wrong(_: object) -> str:
    """Return nothing: whatever was read back will do."""
    return ""


def nothing() -> None:
    """Command nothing: a state is only looked at."""


class Prover:
    """Brings one piece of state after the other to its place.

    Parameters
    ----------
    microscope : MicroscopePlan
        How often, and how long a device may take.
    gate : Gate
        Ends the attempts when the run is stopped.
    watchdog : Watchdog
        Notices a call that does not return.
    """

    def __init__(self, microscope: MicroscopePlan, gate: Gate, watchdog: Watchdog) -> None:
        self._attempts = microscope.attempts
        self._limit_s = 3 * microscope.timeout_s
        self._gate = gate
        self._watchdog = watchdog

    def reach(
        self,
        call: str,
        act: Callable[[], None],
        look: Callable[[], T],
        wrong: Callable[[T], str],
        report: Report,
    ) -> T:
        """Command a state until it is read back.

        Parameters
        ----------
        call : str
            Name of the core's method, for the fault.
        act : callable
            Commands the state and waits for it.
        look : callable
            Reads it back.
        wrong : callable
            Says what is wrong with what was read; empty if nothing.
        report : callable
            Told of every attempt that failed.

        Returns
        -------
        object
            What was read back.

        Raises
        ------
        FrameError
            After the last attempt, or at once when the run is stopped.
        """
        problem = ""
        for attempt in range(1, self._attempts + 1):
            if self._gate.halted():
                raise FrameError(self._gate.reason)
            try:
                with self._watchdog.watching(call, self._limit_s):
                    act()
                    found = look()
                problem = wrong(found)
            except Exception as error:  # a device raises RuntimeError, ValueError, or whatever its adapter likes
                problem = say(error)
            if not problem:
                return found
            report(call, problem, attempt)
        raise FrameError(f"{call} failed {self._attempts} times, at last: {problem}")
