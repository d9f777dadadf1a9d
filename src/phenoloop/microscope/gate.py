"""The queue of visits with its pause and its stop: the one place where the microscope thread waits for the loop.

Everything wakes on one condition, so a stop is seen at once. What wakes nobody is a viewer that cancels the
acquisition (`core.mda.cancel()`): for that alone the waits look up now and then.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from phenoloop.microscope.tally import Tally

LOOK_UP_S = 0.25
"""How often a wait asks whether a viewer cancelled."""


class Gate:
    """Hands visits to the microscope thread, in the order in which they came.

    Parameters
    ----------
    cancelled : callable
        Says whether the acquisition was cancelled by somebody else.
    """

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self.cancelled = cancelled
        self._changed = threading.Condition()
        self._queue: deque[Tally] = deque()
        self._paused = False
        self._closed = False
        self._reason = ""

    @property
    def reason(self) -> str:
        """Why no further frame is taken; empty while frames are taken."""
        return self._reason

    def halted(self) -> bool:
        """Return whether no further frame may be taken."""
        return bool(self._reason)

    def put(self, visit: Tally) -> None:
        """Queue a visit."""
        with self._changed:
            self._queue.append(visit)
            self._changed.notify_all()

    def pause(self) -> None:
        """Hold before the next frame."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def stop(self, reason: str) -> bool:
        """Let nothing pass from now on; the first reason stays. Returns whether this was the first."""
        with self._changed:
            first = not self._reason
            self._reason = self._reason or reason
            self._changed.notify_all()
            return first

    def close(self) -> None:
        """Also let go those who wait in `take_late`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, wait_s: Callable[[Tally], float], *, block: bool) -> Tally | None:
        """Return the next visit that is due.

        Parameters
        ----------
        wait_s : callable
            Wall seconds until a visit is due.
        block : bool
            Wait for one; otherwise only look.

        Returns
        -------
        Tally or None
            None when stopped, cancelled, or (not `block`) when nothing can be taken now.
        """
        with self._changed:
            while not (self._reason or self.cancelled()):
                timeout = LOOK_UP_S
                if self._queue and not self._paused:
                    remaining = wait_s(self._queue[0])
                    if remaining <= 0:
                        return self._queue.popleft()
                    timeout = min(timeout, remaining)
                if not block:
                    return None
                self._changed.wait(timeout)
        return None

    def may_pass(self) -> bool:
        """Return whether the next frame may be taken right now."""
        return not (self._paused or self._reason or self.cancelled())

    def wait_to_pass(self) -> bool:
        """Wait while paused; return whether the next frame may be taken (False: stopped or cancelled)."""
        with self._changed:
            while not (self._reason or self.cancelled()):
                if not self._paused:
                    return True
                self._changed.wait(LOOK_UP_S)
        return False

    def nap(self, seconds: float) -> None:
        """Sleep, unless stopped."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._reason and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def take_late(self) -> Tally | None:
        """Return a visit that came too late to be taken; wait for one until `close`, then None."""
        with self._changed:
            while True:
                if self._queue:
                    return self._queue.popleft()
                if self._closed:
                    return None
                self._changed.wait()
