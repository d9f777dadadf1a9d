"""How long a decision takes on the largest plate: a policy with a stop-watch, and the row that is made of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.policies_rows import Row
from phenoloop.model import Context, Proposal, Stop, Visit, VisitResult
from phenoloop.ports import Policy

K = 16
"""Visits of one ask."""
BAR_MS = 5.0
WELLS = tuple(f"{chr(65 + r) if r < 26 else 'A' + chr(39 + r)}{c + 1}" for r in range(32) for c in range(48))
"""The 1,536 wells of the largest plate, row by row."""


class Timed:
    """A policy as it is, with the processor time of every ask and tell in milliseconds."""

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
        begun = time.process_time()
        self._policy.tell(visit, result)
        self.tells.append(1000 * (time.process_time() - begun))

    def report(self) -> Mapping[str, Any]:
        """Return the policy's report."""
        return self._policy.report()


def asking_rows(timed: Timed, world: str) -> Iterator[Row]:
    """Yield the time of an ask, held against the bar, and of a tell."""
    for name, took, bar in (("ask of 16", timed.asks, BAR_MS), ("tell", timed.tells, None)):
        figure = float(np.quantile(took, 0.99))
        said = f"{world}, n = {len(took)}"
        ok = None if bar is None else figure <= bar
        name_ = f"{name}, p99, ms of processor time [median, largest]"
        yield Row(name_, said, figure, float(np.median(took)), max(took), bar, ok)
