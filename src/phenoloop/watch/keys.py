"""Keys while a view is up: read in a thread of their own, so that drawing never waits for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from phenoloop.platform import RawKeys


class KeyReader:
    """Reads single keys in a thread of its own, so that drawing never waits for them."""

    def __init__(self) -> None:
        self._pressed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._raw = RawKeys()
        self.available = self._raw.available
        self._thread: threading.Thread | None = None
        if self.available:
            self._raw.__enter__()
            self._thread = threading.Thread(target=self._read, name="phenoloop-keys", daemon=True)
            self._thread.start()

    def take(self) -> Sequence[str]:
        """Return the keys pressed since the last call."""
        keys = []
        while True:
            try:
                keys.append(self._pressed.get_nowait())
            except queue.Empty:
                return keys

    def close(self) -> None:
        """End the thread and give the terminal its echo back; again does nothing."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None
            self._raw.__exit__(None, None, None)

    def restore(self) -> None:
        """Give the terminal its echo back without waiting for the thread."""
        self._closing.set()
        self._raw.__exit__(None, None, None)

    def _read(self) -> None:
        while not self._closing.is_set() and self._raw.available:
            if key := self._raw.read(0.1):
                self._pressed.put(key)
