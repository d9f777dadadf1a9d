"""A token bucket: it fills steadily, each fast look takes one token, and what does not fit in is lost."""

from __future__ import annotations

import math

_ENOUGH = 1 - 1e-9
"""A token that is whole but for rounding is whole."""


class Bucket:
    """How many fast looks may be spent now.

    Parameters
    ----------
    rate : float
        Tokens per second.
    room : float
        Tokens it holds at most; it starts full, so that the first event is not the one that is missed.
    for_s : float or None
        Seconds of the whole run: never more than ``rate * for_s`` tokens are given in all. None: no such end.
    """

    def __init__(self, rate: float, room: float, for_s: float | None) -> None:
        self._rate = rate
        self._room = room
        self._most = math.inf if for_s is None else max(1.0, rate * for_s)
        self._level = min(room, self._most)
        self._at_s = 0.0
        self.spent = 0
        """Tokens taken so far."""

    def at(self, now_s: float) -> float:
        """Return the tokens that may be taken at a time, not before the last one it was told of."""
        filled = min(self._room, self._level + self._rate * max(0.0, now_s - self._at_s))
        return min(filled, self._most - self.spent)

    def take(self, now_s: float) -> None:
        """Take one token; the level may fall below zero, since looks that are under way were promised before."""
        filled = min(self._room, self._level + self._rate * max(0.0, now_s - self._at_s))
        self._at_s = max(self._at_s, now_s)
        self._level = filled - 1
        self.spent += 1

    def ready(self, now_s: float, promised: int, count: int) -> list[float]:
        """Return when each of the next looks may be taken, soonest first; those that may never be are left out.

        Parameters
        ----------
        now_s : float
            Run clock.
        promised : int
            Looks that are under way and not taken off yet.
        count : int
            Looks that are wished for.
        """
        level = self.at(now_s) - promised
        left = self._most - self.spent - promised
        found = []
        for nth in range(1, count + 1):
            if nth > left + 1e-9 or nth > self._room + 1e-9:
                break
            short = nth - level
            found.append(now_s if nth * _ENOUGH <= level else now_s + short / self._rate)
        return found
