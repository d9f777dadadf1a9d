"""What is tried when memory runs out: smaller batches, then the processor, and every step is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from phenoloop.errors import AnalysisError

Result = TypeVar("Result")


class OutOfMemory(Exception):
    """An attempt needed more memory than its device has."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run a network: on which device, how many tiles at a time."""

    device: str
    batch: int

    def __str__(self) -> str:
        return f"{self.batch} tile{'s' if self.batch > 1 else ''} at a time on {self.device}"


def ladder(device: str, batch: int, *, processor_too: bool) -> list[Rung]:
    """Return the rungs from the fastest: the batch halved down to 1, then the same on the processor."""
    batches = [batch]
    while batches[-1] > 1:
        batches.append(batches[-1] // 2)
    rungs = [Rung(device, size) for size in batches]
    if processor_too and device != "cpu":
        rungs += [Rung("cpu", size) for size in batches if size <= 8] or [Rung("cpu", 1)]
    return rungs


def for_good(what: str, *, also: str = "") -> AnalysisError:
    """Return the error of a network that has not the memory whatever is tried.

    Parameters
    ----------
    what : str
        What did not fit.
    also : str
        A further way out.
    """
    ways = ["close what else uses the memory", *([also] if also else []), "or image smaller frames"]
    return AnalysisError(f"out of memory with {what}; {', '.join(ways)}.")


class Ladder:
    """Goes down a rung when memory runs out, and stays there: what did not fit will not fit next time either.

    Shared by the threads of a process.

    Parameters
    ----------
    rungs : list of Rung
        Not empty.
    """

    def __init__(self, rungs: list[Rung]) -> None:
        self._rungs = rungs
        self._at = 0
        self._lock = threading.Lock()

    @property
    def rung(self) -> Rung:
        """Where it stands."""
        return self._rungs[self._at]

    def climb(self, attempt: Callable[[Rung], Result]) -> tuple[Result, list[str]]:
        """Return the result of the first rung that has the memory, and a sentence for each step down.

        Raises
        ------
        AnalysisError
            If the last rung runs out as well.
        """
        notes: list[str] = []
        while True:
            at = self._at
            rung = self._rungs[at]
            try:
                return attempt(rung), notes
            except OutOfMemory as error:
                if at + 1 == len(self._rungs):
                    raise for_good(f"{rung} ({error})") from error
                with self._lock:
                    self._at = max(self._at, at + 1)  # another thread may have stepped down meanwhile
                notes.append(f"out of memory with {rung}; from now on {self.rung}")
