"""Every visit that was ever queued ends exactly once, whoever has to end it.

The microscope thread ends what it takes. When that thread hangs in the hardware, or was stopped, the watchdog's thread
ends the rest, and a thread of its own what still comes until the microscope is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from phenoloop.microscope.clock import Clock
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.metering import MeterTally
from phenoloop.microscope.tally import Tally
from phenoloop.model import ExposuresSet

_PATIENCE_S = 2.0
"""How long `close` waits for a thread that ends visits; it has nothing to wait for itself."""


class OpenVisits:
    """The visits that have not ended.

    Parameters
    ----------
    gate : Gate
        Their queue; its reason is why frames were not taken.
    clock : Clock
        Says when a visit ended.
    metered : callable
        Takes exposures that were found, before anything is taken with them.
    """

    def __init__(self, gate: Gate, clock: Clock, metered: Callable[[ExposuresSet], None]) -> None:
        self._gate = gate
        self._clock = clock
        self._metered = metered
        self._lock = threading.Lock()
        self._open: dict[int, Tally] = {}
        self._drainers: list[threading.Thread] = []

    def queue(self, tally: Tally) -> None:
        """Let a visit be taken; any thread."""
        with self._lock:
            self._open[tally.command.visit.number] = tally
        self._gate.put(tally)

    def end(self, tally: Tally) -> None:
        """End a visit, unless that was done before."""
        tally.end(self._clock.now_s(), self._gate.reason)
        with self._lock:
            self._open.pop(tally.command.visit.number, None)
        if isinstance(tally, MeterTally) and tally.exposures is not None:
            self._metered(tally.exposures)

    def end_all(self) -> None:
        """End every visit that is still open, in the order in which they came."""
        with self._lock:
            tallies = list(self._open.values())
        for tally in tallies:
            self.end(tally)

    def drain(self) -> None:
        """End visits that come after the end, until the gate is closed."""
        while (tally := self._gate.take_late()) is not None:
            self.end(tally)

    def end_all_from_outside(self) -> None:
        """Do both in place of a microscope thread that does not come back."""
        self.end_all()
        drainer = threading.Thread(target=self.drain, name="phenoloop-late-visits", daemon=True)
        self._drainers.append(drainer)
        drainer.start()

    def close(self) -> None:
        """Wait for the threads that ended visits in place of another."""
        for drainer in self._drainers:
            drainer.join(_PATIENCE_S)
