"""The run clock. Only this file knows whether time passes by the wall or by the cost model.

The microscope says what the hardware did (`spend`); the real clock does not care, the virtual one moves by it. Waiting
for a due time takes real seconds on the one and none on the other.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds of the run."""

    def now_s(self) -> float:
        """Return the time."""
        ...

    def wait_s(self, at_s: float) -> float:
        """Return how many wall seconds must pass until `at_s`; 0 or less: it is due."""
        ...

    def begin(self, at_s: float) -> None:
        """Note that a visit begins that was due at `at_s`."""
        ...

    def spend(self, seconds: float) -> None:
        """Note that the hardware was busy for so long, by the cost model."""
        ...


class RealClock:
    """Monotonic wall seconds since it was made.

    Parameters
    ----------
    start_s : float
        What it shows first; a resumed run goes on where it was.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._zero = time.monotonic() - start_s

    def now_s(self) -> float:
        """Return the time."""
        return time.monotonic() - self._zero

    def wait_s(self, at_s: float) -> float:
        """Return the wall seconds until `at_s`."""
        return at_s - self.now_s()

    def begin(self, at_s: float) -> None:
        """Do nothing: the wait has already taken place."""

    def spend(self, seconds: float) -> None:
        """Do nothing: the hardware has already taken its time."""


class VirtualClock:
    """Time that moves only when the cost model says so; it jumps over waiting.

    It depends on the sequence of visits and on the faults, never on the wall. Only the microscope thread moves it.

    Parameters
    ----------
    start_s : float
        What it shows first.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """Return the time."""
        return self._now_s

    def wait_s(self, at_s: float) -> float:
        """Return 0: nothing is ever waited for."""
        return 0.0

    def begin(self, at_s: float) -> None:
        """Jump to `at_s` if that is still ahead."""
        self._now_s = max(self._now_s, at_s)

    def spend(self, seconds: float) -> None:
        """Move by a duration of the cost model."""
        self._now_s += seconds
