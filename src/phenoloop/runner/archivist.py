"""Labels and object tables are written by a thread of their own, after their result was told: no decision waits."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from phenoloop.model import Measure
from phenoloop.ports import Measurement

_LOG = logging.getLogger(__name__)

_WAITING: Final = 256
"""Fields whose labels and objects may wait; with more, analysis waits too, so that memory stays bounded."""

Archive = Callable[[Measure, Measurement], None]


class Archivist:
    """Writes what is derived of each field, in the order in which results came.

    Parameters
    ----------
    archive : callable
        Writes the labels and objects of a field.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._waiting: queue.Queue[tuple[Measure, Measurement] | None] = queue.Queue(maxsize=_WAITING)
        self._thread = threading.Thread(target=self._work, name="archivist", daemon=True)
        self._thread.start()

    def keep(self, command: Measure, found: Measurement) -> None:
        """Take the result of a field; any thread."""
        self._waiting.put((command, found))

    def close(self) -> None:
        """Write what waits and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._archive(*item)
            except Exception:  # derived data can be made again from the images; the run goes on, and the log says so
                _LOG.exception("labels or objects of field %s, visit %d", item[0].field, item[0].visit)
