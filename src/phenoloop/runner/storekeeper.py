"""Between the microscope and the disk: nothing is told to have happened before it is durable.

The microscope thread delivers here and is slowed when the disk cannot follow; nothing is ever dropped. The same pixels
are kept in memory until they have been analysed.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import PhenoloopError
from phenoloop.model import (
    ExposuresSet,
    Input,
    MeteringFailed,
    MicroscopeFailed,
    MissingFrame,
    StopRequested,
    StoredFrame,
    VisitEnded,
)
from phenoloop.ports import Image, ImageStore

_LOG = logging.getLogger(__name__)
_CLOSE = object()


class Storekeeper:
    """A `FrameSink` with a thread of its own.

    Parameters
    ----------
    store : ImageStore
        Of the run.
    post : Callable
        Takes the inputs that follow.
    depth : int
        Frames that may wait; the next one makes the microscope wait.
    """

    def __init__(self, store: ImageStore, post: Callable[[Input], None], *, depth: int = 64) -> None:
        self._store = store
        self._post = post
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=depth)
        self._pixels: dict[tuple[int, str], dict[str, list[Image]]] = {}
        self._ready_at: dict[int, float] = {}
        self._lock = threading.Lock()
        self._failures: dict[int, list[tuple[StoredFrame, str]]] = {}
        self._thread = threading.Thread(target=self._work, name="storekeeper", daemon=True)
        self._thread.start()

    # -- FrameSink, called by the microscope thread -------------------------------------------------------------------

    def frame(self, frame: StoredFrame, pixels: Image) -> None:
        """Take one frame; waits while the disk is behind."""
        self._queue.put((frame, pixels))

    def ended(self, visit: VisitEnded) -> None:
        """Take the end of a visit; it is posted when all its frames are durable."""
        self._queue.put(visit)

    def metered(self, happened: ExposuresSet | MeteringFailed) -> None:
        """Take the end of a metering."""
        self._queue.put(happened)

    def failed(self, failure: MicroscopeFailed) -> None:
        """Take the news that the microscope is gone."""
        self._queue.put(failure)

    # -- for the decision thread --------------------------------------------------------------------------------------

    def take_pixels(self, visit: int, field: str) -> Mapping[str, NDArray[Any]]:
        """Return, once, the frames of a field by channel, ``(y, x)`` or ``(z, y, x)``; empty if not in memory."""
        with self._lock:
            held = self._pixels.pop((visit, field), {})
        return {name: planes[0] if len(planes) == 1 else np.stack(planes) for name, planes in held.items()}

    def delivered_at(self, visit: int) -> float | None:
        """Return the wall clock (``time.perf_counter``) at which the last frame of a visit came, if it came now."""
        return self._ready_at.get(visit)

    def close(self) -> None:
        """Wait until everything delivered is on disk."""
        self._queue.put(_CLOSE)
        self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (item := self._queue.get()) is not _CLOSE:
            try:
                if isinstance(item, VisitEnded):
                    self._end(item)
                elif isinstance(item, MicroscopeFailed | ExposuresSet | MeteringFailed):
                    self._post(item)
                else:
                    self._keep(*item)
            except Exception as error:  # the loop must hear of it: a silent storekeeper would expose for nothing
                _LOG.exception("storage failed")
                self._post(StopRequested(at_s=0.0, reason=f"storage failed: {error}", exit="failed"))
                if isinstance(item, VisitEnded):
                    self._post(_all_missing(item, f"storage failed: {error}"))

    def _keep(self, frame: StoredFrame, pixels: Image) -> None:
        address = frame.address
        self._ready_at[address.visit] = time.perf_counter()
        try:
            self._store.write(frame, pixels)
        except (PhenoloopError, OSError, ValueError) as error:
            self._failures.setdefault(address.visit, []).append((frame, str(error)))
            return
        with self._lock:
            self._pixels.setdefault((address.visit, address.field), {}).setdefault(address.channel, []).append(pixels)

    def _end(self, visit: VisitEnded) -> None:
        begun = time.perf_counter()
        refused = {frame.address: reason for frame, reason in self._failures.pop(visit.visit, [])}
        refused.update(self._store.settle(visit.visit))
        for missing in visit.missing:
            self._store.ensure_field(missing.address)
        if refused:
            lost = tuple(
                MissingFrame(address=frame.address, reason=f"not stored: {refused[frame.address]}", exposed=True)
                for frame in visit.frames
                if frame.address in refused
            )
            kept = tuple(frame for frame in visit.frames if frame.address not in refused)
            visit = replace(visit, frames=kept, missing=(*visit.missing, *lost))
        incomplete = {missing.address.field for missing in visit.missing}
        with self._lock:
            for field in incomplete:
                self._pixels.pop((visit.visit, field), None)
        store_ms = (time.perf_counter() - begun) * 1000
        self._post(replace(visit, wall={**visit.wall, "store_ms": round(store_ms, 3)}))


def _all_missing(visit: VisitEnded, reason: str) -> VisitEnded:
    lost = tuple(MissingFrame(address=frame.address, reason=reason, exposed=True) for frame in visit.frames)
    return replace(visit, frames=(), missing=(*visit.missing, *lost))
