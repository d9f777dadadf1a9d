"""From the looks at one field to its events: when each began and ended, and how long the field was watched for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a field: run clock, the readout, and the number of objects where it is known."""

    at_s: float
    value: float
    objects: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of one field.

    Attributes
    ----------
    start_s : float
        Middle of the gap in which it began; the first look where it was under way already.
    within_s : float or None
        Half of that gap; None where it began before the first look.
    end_s : float or None
        Middle of the gap in which it ended; None where it was not over at the last look.
    looks : int
        Looks that saw it.
    longest_gap_s : float
        Between two looks from the first that saw it to the first that saw it over.
    peak : float
        Largest value.
    """

    start_s: float
    within_s: float | None
    end_s: float | None
    looks: int
    longest_gap_s: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the looks at one field say.

    Attributes
    ----------
    events : tuple of Event
        In order; one that was under way at the first look comes first.
    watched_s : float
        Time in which an event could have begun: while none was under way.
    object_s : float or None
        The same time the number of objects; None where that is not known at every look.
    quiet_gap_s : tuple of float
        Gaps between looks while nothing was under way.
    """

    events: tuple[Event, ...]
    watched_s: float
    object_s: float | None
    quiet_gap_s: tuple[float, ...]

    @property
    def begun(self) -> tuple[Event, ...]:
        """The events that began while the field was watched: those that count for a rate."""
        return tuple(event for event in self.events if event.within_s is not None)


def watch(looks: Sequence[Look], above: float, below: float) -> Watch:
    """Follow one field through time, with two thresholds, so that noise around one of them is not many events.

    Parameters
    ----------
    looks : sequence of Look
        In order of time.
    above, below : float
        An event begins where the readout rises above the first and is over where it falls below the second.
    """
    events: list[Event] = []
    gaps: list[float] = []
    watched = objects = 0.0
    known = True
    open_: dict[str, float] | None = None
    last: Look | None = None
    for look in looks:
        gap = 0.0 if last is None else look.at_s - last.at_s
        middle = look.at_s - gap / 2
        quiet = 0.0
        if open_ is None:
            quiet = gap
            if last is not None:
                gaps.append(gap)
            if look.value > above:
                quiet = gap / 2
                open_ = {"start": middle if last else look.at_s, "within": gap / 2 if last else math.nan}
                open_ |= {"looks": 1.0, "gap": 0.0, "peak": look.value}
        else:
            open_["gap"] = max(open_["gap"], gap)
            if look.value < below:
                quiet = gap / 2
                events.append(_closed(open_, middle))
                open_ = None
            else:
                open_["looks"] += 1
                open_["peak"] = max(open_["peak"], look.value)
        watched += quiet
        if last is not None and quiet:
            if look.objects is None or last.objects is None:
                known = False
            else:
                objects += quiet * (look.objects + last.objects) / 2
        last = look
    if open_ is not None:
        events.append(_closed(open_, None))
    return Watch(events=tuple(events), watched_s=watched, object_s=objects if known else None, quiet_gap_s=tuple(gaps))


def _closed(open_: dict[str, float], end_s: float | None) -> Event:
    within = open_["within"]
    return Event(
        start_s=open_["start"],
        within_s=None if math.isnan(within) else within,
        end_s=end_s,
        looks=int(open_["looks"]),
        longest_gap_s=open_["gap"],
        peak=open_["peak"],
    )
