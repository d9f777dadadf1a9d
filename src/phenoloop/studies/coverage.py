"""How much of what happened was filmed: the true events of a time-lapse, and the gaps between the looks at them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from phenoloop.model import FieldReadout
from phenoloop.numerics.durations import spoken
from phenoloop.studies.quality import SHARE, Bounds
from phenoloop.studies.simulator import Spent
from phenoloop.studies.study import Look

FOLLOWED: Final = 1.5
"""An event is covered when no gap between two looks at its field is longer than so many fast intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEvent:
    """Something that happened in a field, by the run clock."""

    well: str
    field: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Coverage:
    """Share of the true events that are covered from their beginning to their end (a `Measure`)."""

    fast_s: float
    title: str = "share of the events that are covered"
    higher: bool = True
    bounds: Bounds = SHARE

    @property
    def against(self) -> str:
        """What it is held against."""
        return f"what happened on the virtual plate, covered where no gap is longer than {spoken(self.gap_s)}"

    @property
    def gap_s(self) -> float:
        """Longest gap between two looks at an event that is covered."""
        return FOLLOWED * self.fast_s

    def of(self, events: Sequence[TrueEvent], looks: Sequence[FieldReadout]) -> float:
        """Return the share; 1 where nothing happened.

        Parameters
        ----------
        events : sequence of TrueEvent
            All that happened.
        looks : sequence of FieldReadout
            All that was seen; what has no time does not count.
        """
        times: dict[tuple[str, str], list[float]] = {}
        for look in looks:
            if look.at_s is not None:
                times.setdefault((look.well, look.field), []).append(look.at_s)
        covered = sum(self._is_covered(event, times.get((event.well, event.field), [])) for event in events)
        return covered / len(events) if events else 1.0

    def _is_covered(self, event: TrueEvent, times: Sequence[float]) -> bool:
        inside = sorted([event.start_s, event.end_s, *(at_s for at_s in times if event.start_s < at_s < event.end_s)])
        return all(after - before <= self.gap_s for before, after in itertools.pairwise(inside))


class CoverageJudge:
    """Says at every look how much was covered by then (a `Judge`)."""

    def __init__(self, coverage: Coverage, events: Sequence[TrueEvent]) -> None:
        self._coverage = coverage
        self._events = events
        self.looks: list[Look] = []

    def look(self, spent: Spent, fields: Sequence[FieldReadout]) -> None:
        """Take a look; two at the same state of things are one."""
        found = Look(spent=spent, score=self._coverage.of(self._events, fields))
        if self.looks and self.looks[-1].spent.frames == spent.frames:
            self.looks.pop()
        self.looks.append(found)
