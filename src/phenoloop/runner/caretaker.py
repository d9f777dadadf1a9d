"""Python's collector of reference cycles holds up every thread while it works: when it may, and what it leaves alone.

Left to itself it goes through everything that was ever loaded, 30 to 150 ms, whenever enough was allocated: in the
middle of a decision as well as between two. While a run goes on it is held back, and the loop offers the moments in
which it waits anyhow. Then only what is new is gone through; what is still in use is set aside, beside all that was
loaded before the run. What was set aside and has become garbage since is looked for in a long silence.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

SILENCE_S: Final = 0.5
"""A loop that has heard nothing for so long may hear nothing for a while."""

_HELD_BACK: Final = 10
"""A run whose loop never waits is collected by Python itself, so many times later than usual."""
_LITTLE: Final = 2
"""Collections of younger objects after which an idle moment is used: about 14,000 new objects, a few ms."""
_ANEW_S: Final = 900.0
"""Seconds after which what was set aside is gone through again; as many new objects as old ones count the same."""
_AT_THE_LATEST: Final = 4
"""It waits for a silence; when it is so many times overdue, any idle moment will do."""


class Caretaker:
    """Holds the collector back for as long as any run of the process goes on. All methods: any thread.

    Does nothing where the application collects by itself: the collector is off, or objects were set aside already.

    Parameters
    ----------
    clock : callable
        Seconds, for how long ago everything was gone through.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._runs = 0
        self._usual: tuple[int, int, int] | None = None
        """Thresholds of the application, while they are not in force."""
        self._ours = (0, 0, 0)
        self._all = 1
        """Objects that were set aside when all were gone through; `_new` have joined them since."""
        self._new = 0
        self._since_s = 0.0

    @contextmanager
    def on_duty(self) -> Iterator[None]:
        """Hold the collector back inside; what is loaded should be loaded. The last run to end puts all back."""
        with self._lock:
            self._runs += 1
        try:
            with self._lock:
                if self._usual is None:
                    self._take_over()
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if self._runs == 0:
                    self._hand_back()

    def idle(self, *, silent: bool = False) -> None:
        """Use a moment in which the loop has nothing to do; mostly there is nothing to collect, and it is over at once.

        Parameters
        ----------
        silent : bool
            It has lasted `SILENCE_S` already, so a longer pause may go unnoticed.
        """
        if self._usual is None or not self._lock.acquire(blocking=False):
            return
        try:
            if self._usual is None or not gc.isenabled():
                return
            due = self._new / self._all + (self._clock() - self._since_s) / _ANEW_S
            if due >= (1 if silent else _AT_THE_LATEST):
                self._go_through_all()
            elif gc.get_count()[2] >= _LITTLE:
                gc.collect()
                self._new += len(gc.get_objects(generation=2))
                gc.freeze()
        finally:
            self._lock.release()

    # -- inside, under the lock ---------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        usual = gc.get_threshold()
        if not gc.isenabled() or not usual[0] or gc.get_freeze_count():
            return
        self._usual, self._ours = usual, (usual[0], usual[1], _HELD_BACK * usual[2])
        gc.set_threshold(*self._ours)
        self._go_through_all()

    def _go_through_all(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._all, self._new, self._since_s = max(1, gc.get_freeze_count()), 0, self._clock()

    def _hand_back(self) -> None:
        if self._usual is None:
            return
        if gc.get_threshold() == self._ours:  # otherwise the application has changed its mind meanwhile
            gc.set_threshold(*self._usual)
        self._usual = None
        gc.unfreeze()


CARETAKER: Final = Caretaker()
"""The one of this process: there is one collector."""
