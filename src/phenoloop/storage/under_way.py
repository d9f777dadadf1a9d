"""Frames that are on their way to the disk: of which visit, how many at most, and what became of each."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from phenoloop.model import FrameAddress
from phenoloop.storage.chunks import Writing

IN_FLIGHT: Final = 16
"""Frames that may be on their way to the disk before a writer waits: this is what slows the microscope."""

Slot = tuple[str, int, int, int, int]


class UnderWay:
    """What was begun and nobody has asked about yet. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: dict[int, list[tuple[FrameAddress, Writing | str]]] = {}
        self._slots: set[Slot] = set()
        self._in_flight: deque[Writing] = deque()

    def __contains__(self, address: FrameAddress) -> bool:
        with self._lock:
            return _slot(address) in self._slots

    def begun(self, address: FrameAddress, writing: Writing) -> None:
        """Note a frame whose writing has begun."""
        with self._lock:
            self._slots.add(_slot(address))
            self._visits.setdefault(address.visit, []).append((address, writing))
            self._in_flight.append(writing)

    def failed(self, address: FrameAddress, reason: str) -> None:
        """Note a frame that cannot be written; it is a failure of its visit."""
        with self._lock:
            self._visits.setdefault(address.visit, []).append((address, reason))

    def wait_for_room(self) -> None:
        """Wait for the oldest frame while too many are on their way."""
        with self._lock:
            oldest = self._in_flight.popleft() if len(self._in_flight) > IN_FLIGHT else None
        if oldest is not None:
            oldest.wait()

    def settle(self, visit: int) -> list[tuple[FrameAddress, str]]:
        """Wait until the fate of every frame of a visit is known; return those that could not be kept, with reasons.

        They are told once. Of those that were kept the files themselves say from here on that their slots are taken.
        """
        with self._lock:
            writes = self._visits.pop(visit, [])
        failures = []
        for address, writing in writes:
            if reason := writing if isinstance(writing, str) else writing.wait():
                failures.append((address, reason))
        with self._lock:
            self._slots.difference_update(_slot(address) for address, _ in writes)
        return failures

    def visits(self) -> tuple[int, ...]:
        """Return the visits that nobody has asked about yet."""
        with self._lock:
            return tuple(self._visits)


def name_of(address: FrameAddress) -> str:
    """Return a frame in words, for an error."""
    return f"{address.well} field {address.field} channel {address.channel} t={address.t} z={address.z}"


def _slot(address: FrameAddress) -> Slot:
    return address.well, address.image, address.t, address.c, address.z
