"""What becomes of one visit: frames, missing frames, faults, light. It is closed exactly once, by whoever comes first.

The microscope thread writes it; the watchdog may have to close it while that thread hangs in the camera. After the
close nothing is taken any more, so a frame that comes back from the dead is dropped, not misplaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Acquire, Fault, FrameAddress, MissingFrame, StoredFrame, VisitEnded
from phenoloop.ports import FrameSink

NOT_TAKEN = "not taken"
"""Reason of a planned frame that nothing else was said about."""


class Tally:
    """The running account of one visit.

    Parameters
    ----------
    command : Acquire
        The visit.
    sink : FrameSink
        Where its frames and its end go.
    """

    def __init__(self, command: Acquire, sink: FrameSink) -> None:
        self.command = command
        self._sink = sink
        self._lock = threading.Lock()
        self._planned = command.visit.frames()
        self._frames: dict[FrameAddress, StoredFrame] = {}
        self._missing: dict[FrameAddress, str] = {}
        self._exposed: set[FrameAddress] = set()
        self._faults: list[Fault] = []
        self._exposures = 0
        self._light_s: dict[str, float] = {}
        self._frames_ms: list[float] = []
        self._began: float | None = None
        self._ended = False
        self.record: Mapping[str, str] = {}

    @property
    def stored(self) -> int:
        """Frames delivered so far."""
        return len(self._frames)

    @property
    def planned(self) -> tuple[FrameAddress, ...]:
        """Every frame of the visit, in the order of exposure."""
        return self._planned

    def begin(self) -> None:
        """Note that the hardware starts to work on it."""
        self._began = time.perf_counter()

    def light(self, field: str, exposure_ms: float, address: FrameAddress | None = None) -> None:
        """Note that light is about to fall on a field. Said before the camera is asked, so that a hang counts too.

        Parameters
        ----------
        field : str
            Where.
        exposure_ms : float
            How long, times the power of the light where it is known.
        address : FrameAddress or None
            The frame it is for; None for a look that is no frame.
        """
        with self._lock:
            if self._ended:
                return
            self._exposures += 1
            self._light_s[field] = self._light_s.get(field, 0.0) + exposure_ms / 1000
            if address is not None:
                self._exposed.add(address)

    def fault(self, fault: Fault) -> None:
        """Note one refusal of the hardware."""
        with self._lock:
            if not self._ended:
                self._faults.append(fault)

    def reporter(self, field: str = "", channel: str = "") -> Callable[[str, str, int], None]:
        """Return what takes the faults at a field and channel: the call, what it said, the attempt (from 1)."""

        def report(call: str, message: str, attempt: int) -> None:
            self.fault(Fault(call=call, message=message, attempt=attempt, field=field, channel=channel))

        return report

    def miss(self, address: FrameAddress, reason: str) -> None:
        """Note that a frame will not be taken; the first reason stays."""
        with self._lock:
            if address not in self._frames:
                self._missing.setdefault(address, reason)

    def deliver(self, frame: StoredFrame, pixels: NDArray[np.unsignedinteger[Any]], took_ms: float) -> bool:
        """Hand one frame to the sink; may block there. Returns whether it was still wanted.

        Parameters
        ----------
        frame : StoredFrame
            Its address and the state it was really taken at.
        pixels : ndarray of uint8 or uint16, shape (y, x)
            The picture.
        took_ms : float
            Wall time from the first command for this frame to its pixels.
        """
        with self._lock:
            if self._ended or frame.address in self._frames:
                return False
            self._frames[frame.address] = frame
            self._frames_ms.append(round(took_ms, 3))
            self._sink.frame(frame, pixels)
            return True

    def end(self, at_s: float, reason: str = "") -> bool:
        """Close the account and tell the sink, unless that was done before. Returns whether this call did it.

        Parameters
        ----------
        at_s : float
            Run clock.
        reason : str
            Why the rest of the frames was not taken.
        """
        with self._lock:
            if self._ended:
                return False
            self._ended = True
            acquire_ms = 0.0 if self._began is None else (time.perf_counter() - self._began) * 1000
            ended = VisitEnded(
                at_s=at_s,
                visit=self.command.visit.number,
                frames=tuple(self._frames[address] for address in self._planned if address in self._frames),
                missing=tuple(
                    MissingFrame(
                        address=address,
                        reason=self._missing.get(address) or reason or NOT_TAKEN,
                        exposed=address in self._exposed,
                    )
                    for address in self._planned
                    if address not in self._frames
                ),
                faults=tuple(self._faults),
                exposures=self._exposures,
                light_s={field: round(seconds, 9) for field, seconds in self._light_s.items()},
                wall={
                    "acquire_ms": round(acquire_ms, 3),
                    "frames_ms": list(self._frames_ms),
                    "record": dict(self.record),
                },
            )
            self._sink.ended(ended)
            return True
