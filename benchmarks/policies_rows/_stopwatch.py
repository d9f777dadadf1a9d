"""How long a decision takes on the largest plate: a policy with a stop-watch, and the rows that are made of it.

Timed is processor time. As in a run, Python's collector of cycles is held back and works between the asks and tells,
in the moments in which a loop waits for results (`phenoloop.runner.caretaker`): what is timed is what a run waits for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from benchmarks.policies_rows import Row
from phenoloop.model import Context, Proposal, Stop, Visit, VisitResult
from phenoloop.ports import Policy
from phenoloop.runner.caretaker import CARETAKER

K: Final = 16
"""Visits of one ask."""
BAR_MS: Final = 5.0
WELLS: Final = tuple(f"{chr(65 + r) if r < 26 else 'A' + chr(39 + r)}{c + 1}" for r in range(32) for c in range(48))
"""The 1,536 wells of the largest plate, row by row."""


class Timed:
    """A policy as it is, with the processor time of every ask and tell in milliseconds; use `timing`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.asks: list[float] = []
        self.tells: list[float] = []

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Ask the policy."""
        begun = time.process_time()
        answer = self._policy.ask(k, context)
        self.asks.append(1000 * (time.process_time() - begun))
        return answer

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Tell the policy."""
        CARETAKER.idle()  # the loop waited for this result
        begun = time.process_time()
        self._policy.tell(visit, result)
        self.tells.append(1000 * (time.process_time() - begun))

    def report(self) -> Mapping[str, Any]:
        """Return the policy's report."""
        return self._policy.report()


@contextmanager
def timing(policy: Policy) -> Iterator[Timed]:
    """Give a policy a stop-watch, for a run of it that is played inside."""
    with CARETAKER.on_duty():
        yield Timed(policy)


def asking_rows(timed: Timed, world: str, *more: Timed) -> Iterator[Row]:
    """Yield the time of an ask, held against the bar, and of a tell; `more`: runs that count as one with the first."""
    asks = [took for one in (timed, *more) for took in one.asks]
    tells = [took for one in (timed, *more) for took in one.tells]
    for name, took, bar in ((f"ask of {K}", asks, BAR_MS), ("tell", tells, None)):
        figure = float(np.quantile(took, 0.99))
        said = f"{name}, p99, ms of processor time [median, largest]"
        ok = None if bar is None else figure <= bar
        yield Row(said, f"{world}, n = {len(took)}", figure, float(np.median(took)), max(took), bar, ok)
