"""In which order inputs reach the machine: as they arrive, or, on the virtual clock, as they happened.

On the virtual plate two runs must agree in every line of their journals, however busy the computer was. So an input is
held back until nothing that is still under way could have happened before it: a conservative discrete-event simulation
(Chandy and Misra 1979, doi:10.1109/TSE.1979.230182).
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Protocol

from phenoloop.model import Acquire, Input, Measure, Measured, MeasurementFailed, Message, VisitEnded


class Sequencer(Protocol):
    """Takes inputs as they come and gives them in the order in which they are told to the machine."""

    def sent(self, command: Message) -> None:
        """Hear of a command that is being carried out."""
        ...

    def push(self, happened: Input) -> None:
        """Take an input."""
        ...

    def pop(self) -> Input | None:
        """Return the next input, or None while there is none that may be given."""
        ...


class ArrivalOrder:
    """First come, first told: for real hardware, where time is the wall's."""

    def __init__(self) -> None:
        self._inputs: deque[Input] = deque()

    def sent(self, command: Message) -> None:
        """Not needed here."""

    def push(self, happened: Input) -> None:
        """Take an input."""
        self._inputs.append(happened)

    def pop(self) -> Input | None:
        """Return the oldest input."""
        return self._inputs.popleft() if self._inputs else None


class VirtualOrder:
    """Inputs in the order of the virtual clock.

    Parameters
    ----------
    latency_s : float
        Declared analysis time: a result happens this long after its `Measure`.
    """

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._urgent: deque[Input] = deque()
        self._held: list[tuple[float, int, int, str, Input]] = []
        self._acquiring: deque[tuple[int, float]] = deque()
        self._measuring: dict[tuple[int, str], float] = {}
        self._free_at_s = 0.0
        """Run clock at which the microscope ended its last visit: the next cannot end before."""

    def due_s(self, command: Measure) -> float:
        """Return the run clock at which the result of a command happens."""
        return command.at_s + self._latency_s

    def sent(self, command: Message) -> None:
        """Hear of a command, so that its result can be waited for."""
        if isinstance(command, Acquire):
            due_s = max(command.at_s, command.visit.not_before_s or 0.0)
            self._acquiring.append((command.visit.number, due_s))
        elif isinstance(command, Measure):
            self._measuring[command.visit, command.field] = self.due_s(command)

    def push(self, happened: Input) -> None:
        """Take an input. What people do is not simulated: it goes first."""
        if isinstance(happened, VisitEnded):
            # Visits end in the order in which they were sent.
            if self._acquiring and self._acquiring[0][0] == happened.visit:
                self._acquiring.popleft()
            self._free_at_s = max(self._free_at_s, happened.at_s)
            heapq.heappush(self._held, (happened.at_s, 0, happened.visit, "", happened))
        elif isinstance(happened, Measured | MeasurementFailed):
            self._measuring.pop((happened.visit, happened.field), None)
            heapq.heappush(self._held, (happened.at_s, 1, happened.visit, happened.field, happened))
        else:
            self._urgent.append(happened)

    def pop(self) -> Input | None:
        """Return the earliest input, if nothing under way can come before it."""
        if self._urgent:
            return self._urgent.popleft()
        if not self._held:
            return None
        at_s, rank, visit, field, happened = self._held[0]
        if self._acquiring:
            earliest = max(self._free_at_s, self._acquiring[0][1])
            if (earliest, 0, self._acquiring[0][0], "") < (at_s, rank, visit, field):
                return None
        if any((due, 1, *key) < (at_s, rank, visit, field) for key, due in self._measuring.items()):
            return None
        heapq.heappop(self._held)
        return happened
