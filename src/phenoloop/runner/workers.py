"""Where fields are analysed: in this process, or in a child of its own that may die without harm.

Frames travel to a child through shared memory: a copy, no pickling. One block per worker is enough, because a worker
has one batch at a time.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import AnalysisPlan
from phenoloop.ports import Measurement

Frames = Mapping[str, NDArray[Any]]
MeasureFields = Callable[[AnalysisPlan, Sequence[Frames]], list["Measurement | Exception"]]
"""One outcome per field, in order; an exception is the outcome of its own field only."""
MakeReady = Callable[[AnalysisPlan, Frames], dict[str, Any]]
"""Loads what the plan needs, given a blank field; returns what the segmenter says of itself."""


class Worker(Protocol):
    """Measures one batch at a time."""

    def make_ready(self, blank: Frames) -> dict[str, Any]:
        """Load everything; raises what makes the analysis impossible."""
        ...

    def measure(self, batch: Sequence[Frames]) -> list[Measurement | Exception]:
        """Return one outcome per field; raises `BrokenExecutor` when the worker died over the batch."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


class InThread:
    """Measures in the calling thread; numpy, OpenCV and the inference libraries release the interpreter."""

    def __init__(self, plan: AnalysisPlan, measure: MeasureFields, make_ready: MakeReady) -> None:
        self._plan = plan
        self._measure = measure
        self._make_ready = make_ready

    def make_ready(self, blank: Frames) -> dict[str, Any]:
        """Load everything."""
        return self._make_ready(self._plan, blank)

    def measure(self, batch: Sequence[Frames]) -> list[Measurement | Exception]:
        """Return one outcome per field."""
        return self._measure(self._plan, batch)

    def close(self) -> None:
        """Nothing to let go."""


class InProcess:
    """Measures in a child process, started when first needed and again after it died.

    Parameters
    ----------
    plan : AnalysisPlan
        Plain and picklable.
    measure, make_ready : callable
        Module-level functions.
    """

    def __init__(self, plan: AnalysisPlan, measure: MeasureFields, make_ready: MakeReady) -> None:
        self._plan = plan
        self._measure = measure
        self._make_ready = make_ready
        self._block: SharedMemory | None = None
        self._pool: ProcessPoolExecutor | None = None

    def measure(self, batch: Sequence[Frames]) -> list[Measurement | Exception]:
        """Return one outcome per field.

        Raises
        ------
        BrokenExecutor
            If the child died over this batch. The next call starts a new one.
        """
        block = self._room_for(sum(frame.nbytes for frames in batch for frame in frames.values()))
        slots = _write(block, batch)
        outcomes: list[Measurement | Exception] = self._call(
            _measure_slots, self._measure, self._plan, block.name, slots
        )
        return outcomes

    def make_ready(self, blank: Frames) -> dict[str, Any]:
        """Start the child and have it load everything."""
        described: dict[str, Any] = self._call(_make_ready, self._make_ready, self._plan, dict(blank))
        return described

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenExecutor:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
            raise

    def close(self) -> None:
        """End the child and free the memory."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._block is not None:
            self._block.close()
            self._block.unlink()
            self._block = None

    def _room_for(self, size: int) -> SharedMemory:
        if self._block is None or self._block.size < size:
            if self._block is not None:
                self._block.close()
                self._block.unlink()
            self._block = SharedMemory(create=True, size=max(1, size))
        return self._block


class _Slot(NamedTuple):
    """Where a frame lies in the block."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


def _write(block: SharedMemory, batch: Sequence[Frames]) -> list[dict[str, _Slot]]:
    slots, offset = [], 0
    for frames in batch:
        places = {}
        for name, frame in frames.items():
            target: NDArray[Any] = np.ndarray(frame.shape, frame.dtype, buffer=block.buf, offset=offset)
            target[...] = frame
            places[name] = _Slot(offset, frame.shape, frame.dtype.str)
            offset += frame.nbytes
        slots.append(places)
    return slots


def _make_ready(make_ready: MakeReady, plan: AnalysisPlan, blank: Frames) -> dict[str, Any]:
    """Run in the child, which is ours alone: what is loaded stays, and the collector need not go through it again."""
    described = make_ready(plan, blank)
    gc.collect()
    gc.freeze()
    return described


def _measure_slots(
    measure: MeasureFields, plan: AnalysisPlan, name: str, slots: Sequence[Mapping[str, _Slot]]
) -> list[Measurement | Exception]:
    """Run in the child: copy the frames out of the block, so that nothing refers to it afterwards, and measure them."""
    block = SharedMemory(name=name)
    try:
        batch = [
            {
                channel: np.ndarray(slot.shape, slot.dtype, buffer=block.buf, offset=slot.offset).copy()
                for channel, slot in places.items()
            }
            for places in slots
        ]
    finally:
        block.close()
    return measure(plan, batch)
