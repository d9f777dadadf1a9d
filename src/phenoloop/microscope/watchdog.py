"""Deadlines for calls that may never return. It only looks at the time; it never touches the hardware.

`snapImage` obeys no timeout and must not be called from a second thread, so a silent camera can only be noticed from
outside. The thread sleeps until the nearest deadline.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """One thread that acts when a deadline passes.

    Parameters
    ----------
    hung : callable
        What to do when a watched call does not come back; gets its name.
    """

    def __init__(self, hung: Callable[[str], None]) -> None:
        self._hung = hung
        self._changed = threading.Condition()
        self._due: dict[str, tuple[float, Callable[[], None]]] = {}
        self._wakes_at = math.inf
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="phenoloop-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Forget all deadlines and end the thread; an action that is under way is waited for, but not for ever."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)

    def arm(self, what: str, limit_s: float, action: Callable[[], None]) -> None:
        """Act if `what` is not disarmed within `limit_s` seconds."""
        due = time.monotonic() + limit_s
        with self._changed:
            self._due[what] = (due, action)
            if due < self._wakes_at:
                self._changed.notify_all()

    def disarm(self, what: str) -> None:
        """Note that `what` has come back."""
        with self._changed:
            self._due.pop(what, None)

    @contextmanager
    def watching(self, call: str, limit_s: float) -> Iterator[None]:
        """Say that `call` hangs if the body does not end within `limit_s` seconds."""
        self.arm(call, limit_s, lambda: self._hung(call))
        try:
            yield
        finally:
            self.disarm(call)

    def _watch(self) -> None:
        while (action := self._next_due()) is not None:
            action()

    def _next_due(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for what, (due, action) in self._due.items():
                    if due <= now:
                        del self._due[what]
                        return action
                self._wakes_at = min((due for due, _ in self._due.values()), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
                self._wakes_at = -math.inf
        return None
