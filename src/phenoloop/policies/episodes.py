"""Which fields are fast: the two thresholds, the least and the longest stay, and who waits for a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from phenoloop.model import FieldResult, Setup
from phenoloop.numerics.durations import spoken
from phenoloop.numerics.rounding import significant
from phenoloop.policies.condition import can_settle, compiled
from phenoloop.policies.schedule import Key
from phenoloop.policies.told import MAX_VETOED
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Duration, Percent


class FastParams(StrictModel):
    """Keys of ``fast:``."""

    profile: str = Field(default="main", description="way of imaging during an event; one of `profiles:`, or main")
    every: Duration | None = Field(
        default=None, gt=0, description="interval during an event; the profile's own unless given"
    )
    when: str = Field(description="condition over the readouts that makes a field fast, such as dividing > 0.8")
    until: str | None = Field(
        default=None, description="condition that makes it slow again; that `when` is false, unless given"
    )
    hold: Duration = Field(default=0.0, description="how long it stays fast at least")
    longest: Duration | None = Field(
        default=None, gt=0, description="how long it stays fast at most; then it must be over once before the next time"
    )
    at_once: int = Field(default=4, ge=1, description="fields that may be fast at the same time")
    max_share: Annotated[Percent, Field(gt=0)] = Field(
        default=0.1, description="fast frames at most, as a share of imaging every field at the fast rate all the time"
    )


@dataclass(slots=True)
class Episode:
    """A stretch of fast imaging of one field.

    Attributes
    ----------
    since_s, heard_s : float
        When it began, and when the field was last known.
    trigger, still : str
        What began it, and what was read last, in words.
    looks : int
        Fast looks so far.
    next_s : float
        When the next one is due.
    """

    since_s: float
    heard_s: float
    trigger: str
    next_s: float
    still: str = ""
    looks: int = 0


class Episodes:
    """The fields that are fast, and those that would like to be. Changed by what is told only.

    Parameters
    ----------
    fast : FastParams
        As in the protocol.
    setup : Setup
        Wells and readouts.
    every_s : float
        The fast interval.

    Raises
    ------
    ProtocolError
        If a condition names no readout, is none, or both can hold at once.
    """

    def __init__(self, fast: FastParams, setup: Setup, every_s: float) -> None:
        self._fast = fast
        self._wells = setup.wells
        self._every_s = every_s
        self._when = compiled(fast.when, setup.readouts, "policy.fast.when")
        self._until = None if fast.until is None else compiled(fast.until, setup.readouts, "policy.fast.until")
        can_settle(self._when, self._until, "policy.fast.until")
        self.running: dict[Key, Episode] = {}
        self.wanting: dict[Key, str] = {}
        """Fields in which something happens and that have no place, with what was read."""
        self.worn: dict[Key, None] = {}
        """Fields whose last episode was too long, until they are calm."""
        self.ended: list[dict[str, Any]] = []
        self.count = 0
        """Episodes so far."""
        self._vetoed: dict[Key, int] = {}
        self._seen_s: dict[Key, float] = {}

    def looked(self, key: Key, at_s: float, due_s: float | None, *, extra: bool) -> None:
        """Note a look at a field, which was due at some time; `extra`: it was no regular time point."""
        self._seen_s[key] = at_s
        episode = self.running.get(key)
        if episode is None:
            return
        episode.looks += extra
        # On its beat, or from now on where this look came late.
        on_time = due_s is not None and at_s - due_s <= self._every_s / 2
        beat_s = due_s if on_time and due_s is not None else at_s
        episode.next_s = max(episode.next_s, beat_s + self._every_s)

    def judge(self, key: Key, field: FieldResult, told_s: float) -> None:
        """Take in what a look at a field has shown; what is unknown changes nothing for a while."""
        if field.status != "ok":
            self._silence(key, told_s)
            return
        fires = self._when.of(field.readouts)
        calm = self._until.of(field.readouts) if self._until is not None else None if fires is None else not fires
        if calm:
            self.worn.pop(key, None)
        if fires and key not in self.worn:
            self.wanting.setdefault(key, self._when.said(field.readouts))
        elif calm:
            self.wanting.pop(key, None)
        episode = self.running.get(key)
        if episode is None:
            return
        self.wanting.pop(key, None)
        if fires is None and calm is None:
            self._silence(key, told_s)
            return
        episode.heard_s = told_s
        episode.still = (self._until or self._when).said(field.readouts, holds=self._until is None)
        age_s = told_s - episode.since_s
        if calm and age_s >= self._fast.hold:
            self._finish(key, told_s, (self._until or self._when).said(field.readouts, holds=self._until is not None))
        elif self._fast.longest is not None and age_s >= self._fast.longest:
            self.worn[key] = None
            self._finish(key, told_s, f"{episode.still} after {spoken(age_s)}, the longest allowed")

    def denied(self, key: Key, told_s: float) -> None:
        """Note that a fast look was refused; at the second time the field goes slow for good."""
        self._vetoed[key] = self._vetoed.get(key, 0) + 1
        if self._vetoed[key] >= MAX_VETOED and key in self.running:
            self._finish(key, told_s, "it is not allowed any more")

    def promote(self, told_s: float) -> None:
        """Make fast who wants to be, first come first served, while there is room."""
        for key in list(self.wanting):
            if len(self.running) >= self._fast.at_once:
                return
            if self._vetoed.get(key, 0) >= MAX_VETOED:
                continue
            said = self.wanting.pop(key)
            self.count += 1
            # The look that fired it counts where the fast ones are of the same kind.
            next_s = self._seen_s.get(key, told_s) + self._every_s if self._fast.profile == "main" else told_s
            self.running[key] = Episode(since_s=told_s, heard_s=told_s, trigger=said, next_s=next_s)

    def said(self, key: Key, now_s: float) -> str:
        """Return why a field is fast, in words."""
        episode = self.running[key]
        age_s = now_s - episode.since_s
        where, every = self.name(key), f"every {spoken(self._every_s)}"
        if age_s < self._fast.hold or not episode.still:
            stay = f" for at least {spoken(self._fast.hold)}" if self._fast.hold else ""
            return f"{episode.trigger} in {where}: {every}{stay}"
        return f"{episode.trigger} in {where} {spoken(age_s)} ago, and still {episode.still}: {every}"

    def name(self, key: Key) -> str:
        """Return a field in words."""
        return f"{self._wells[key[0]]} field {key[1]}"

    def _silence(self, key: Key, told_s: float) -> None:
        """Let a field go slow again of which nothing was known for as long as it would be held."""
        episode = self.running.get(key)
        if episode is not None and told_s - episode.heard_s >= max(self._fast.hold, 3 * self._every_s):
            self._finish(key, told_s, "its readouts are not known any more")

    def _finish(self, key: Key, at_s: float, because: str) -> None:
        episode = self.running.pop(key)
        self.ended.append(
            {
                "well": self._wells[key[0]],
                "field": key[1],
                "from_s": significant(episode.since_s),
                "to_s": significant(at_s),
                "looks": episode.looks,
                "because": episode.trigger,
                "ended": because,
            }
        )
