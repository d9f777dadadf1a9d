"""What a run has come to: one fold over its messages, the same for the live console and for the report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from phenoloop.model import (
    Acquire,
    Decided,
    Fault,
    Judged,
    Measured,
    MeasurementFailed,
    Message,
    MicroscopeFailed,
    MissingFrame,
    Paused,
    Plan,
    Resumed,
    RunEnded,
    RunResumed,
    RunStarted,
    VisitEnded,
)
from phenoloop.watch.spending import Spending

ACCEPTED: Final = "accepted"
"""The verdict of a proposal that became a visit; any other verdict is the sentence of a denial."""


class Trip(NamedTuple):
    """Where a visit went: well, profile, its fields, and the decision it came from."""

    well: str
    profile: str
    fields: tuple[str, ...]
    decision: int


class Result(NamedTuple):
    """What became of one field: ``ok``, ``qc_fail``, ``failed`` or ``late``, with a reason unless ``ok``."""

    visit: int
    well: str
    field: str
    status: str
    readouts: Mapping[str, float | None]
    objects: int
    reason: str
    profile: tuple[float | None, ...] = ()
    imaging: str = "main"
    at_s: float | None = None


@dataclass(slots=True)
class WellTally:
    """What one well has come to.

    Attributes
    ----------
    visits : int
        Visits that were sent there.
    frames : int
        Frames of it that are listed as stored.
    missing : int
        Frames of it that were planned and not stored.
    accepted : set of str
        Distinct fields with an ``ok`` result.
    rejected : int
        Results that are not ``ok``.
    objects : int
        Objects of ``ok`` results under ``main``.
    values : mapping of str to list of float
        Known values of each readout, one per ``ok`` result.
    """

    visits: int = 0
    frames: int = 0
    missing: int = 0
    accepted: set[str] = dataclasses.field(default_factory=set)
    rejected: int = 0
    objects: int = 0
    values: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def mean(self, readout: str) -> float | None:
        """Return the mean over ``ok`` results; None without any."""
        values = self.values.get(readout)
        return sum(values) / len(values) if values else None


class Tally:
    """Counts what messages say. Give it each message once, in the journal's order, or as it happens.

    Parameters
    ----------
    plan : Plan
        Selected wells and profiles.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan: Final = plan
        self.wells: dict[str, WellTally] = {well.name: WellTally() for well in plan.wells}
        self.trips: dict[int, Trip] = {}
        self.decisions: list[Decided] = []
        self.results: dict[tuple[int, str], Result] = {}
        self.faults: list[Fault] = []
        self.missing: list[MissingFrame] = []
        self.spending: Final = Spending(plan)
        """Budgets: light, objective changes, shares."""
        self._first_light: dict[tuple[int, str], float] = {}
        self._given: Counter[tuple[str, str, str]] = Counter()
        self.planned = 0
        """Frames that visits were sent for."""
        self.listed = 0
        """Frames that are listed as stored."""
        self.exposures = 0
        self.visits_ended = 0
        self.at_s = 0.0
        """Run clock of the latest message."""
        self.running = False
        self.paused = False
        self.ended: RunEnded | None = None

    def take(self, message: Message) -> None:
        """Count one message."""
        self.at_s = max(self.at_s, getattr(message, "at_s", 0.0))
        self.spending.take(message)
        match message:
            case Decided():
                self._decided(message)
            case Acquire():
                visit = message.visit
                names = tuple(place.field for place in visit.fields)
                self._sent(visit.number, Trip(visit.well, visit.profile, names, visit.decision))
            case VisitEnded():
                self._visit_ended(message)
            case Measured():
                status, reason = message.status, message.reason
                self._result(
                    message.visit, message.field, status, message.readouts, message.objects, reason, message.profile
                )
            case Judged():
                self._judged(message)
            case MeasurementFailed(kind="stopped"):
                return  # the field is complete on disk and is measured when the run is taken up again
            case MeasurementFailed():
                self._result(message.visit, message.field, message.kind, {}, 0, message.reason)
            case RunStarted() | RunResumed():
                self.running, self.paused, self.ended = True, False, None
            case Paused():
                self.paused = True
            case Resumed():
                self.paused = False
            case MicroscopeFailed():
                self.faults.append(Fault(call="microscope", message=message.reason, attempt=1))
            case RunEnded():
                self.running, self.ended = False, message

    def take_all(self, messages: Iterable[Message]) -> Tally:
        """Count many messages; return itself."""
        for message in messages:
            self.take(message)
        return self

    @property
    def accepted_fields(self) -> int:
        """Distinct places with an ``ok`` result."""
        return sum(len(well.accepted) for well in self.wells.values())

    @property
    def objects(self) -> int:
        """Objects in all ``ok`` results."""
        return sum(result.objects for result in self.results.values() if result.status == "ok")

    def statuses(self) -> Counter[str]:
        """Return how many field results have each status."""
        return Counter(result.status for result in self.results.values())

    @property
    def possible(self) -> int:
        """Frames that every field of every selected well would take under ``main``, all time points of it."""
        return possible_frames(self.plan)

    def budget(self) -> dict[str, dict[str, float | None]]:
        """Return every budget: what is used, what is allowed (None: unlimited), what is left."""
        # As the ledger counts: a frame that was planned and never exposed costs nothing.
        frames = self.planned - sum(not gap.exposed for gap in self.missing)
        return self.spending.rows(frames=frames, at_s=self.at_s)

    # -- one message each -------------------------------------------------------------------------------------------

    def _decided(self, message: Decided) -> None:
        self.decisions.append(message)
        for made in message.proposals:
            if made.visit > 0:
                self._sent(made.visit, Trip(made.well, made.profile, made.fields, message.decision))

    def _sent(self, number: int, trip: Trip) -> None:
        if number in self.trips:  # a visit is told of twice: by its decision and by its command
            return
        self.trips[number] = trip
        profile = self.plan.profiles[trip.profile]
        for field in trip.fields:
            t = self._given[trip.profile, trip.well, field]
            self._given[trip.profile, trip.well, field] += 1
            self.planned += len(profile.channels_at(t)) * profile.planes
        self._well(trip.well).visits += 1

    def _visit_ended(self, message: VisitEnded) -> None:
        self.visits_ended += 1
        self.exposures += message.exposures
        self.faults.extend(message.faults)
        self.missing.extend(message.missing)
        self.listed += len(message.frames)
        for frame in message.frames:
            self._well(frame.address.well).frames += 1
            self._first_light.setdefault((message.visit, frame.address.field), frame.at_s)
        for gap in message.missing:
            self._well(gap.address.well).missing += 1

    def _result(
        self,
        visit: int,
        field: str,
        status: str,
        readouts: Mapping[str, float | None],
        objects: int,
        reason: str,
        profile: tuple[float | None, ...] = (),
    ) -> None:
        trip = self.trips.get(visit)
        if trip is None or (visit, field) in self.results:  # a result after "late" is stored, and counts no more
            return
        at_s = self._first_light.get((visit, field))
        self.results[visit, field] = Result(
            visit, trip.well, field, status, readouts, objects, reason, profile, trip.profile, at_s
        )
        well = self._well(trip.well)
        if status != "ok":
            well.rejected += 1
            return
        well.accepted.add(field)
        if trip.profile != "main":
            return  # the means of a well are those of its fields: a close look goes where something is
        well.objects += objects
        for name, value in readouts.items():
            if value is not None:
                well.values.setdefault(name, []).append(value)

    def _judged(self, message: Judged) -> None:
        """Take back a result that was counted as ``ok``."""
        key = (message.visit, message.field)
        before = self.results[key]
        self.results[key] = before._replace(status="qc_fail", reason=message.reason)
        well = self._well(before.well)
        well.rejected += 1
        still = [found for found in self.results.values() if found.well == before.well and found.status == "ok"]
        well.accepted = {found.field for found in still}
        well.objects -= before.objects if before.imaging == "main" else 0
        for name, value in before.readouts.items() if before.imaging == "main" else ():
            if value is not None:
                well.values[name].remove(value)

    def _well(self, name: str) -> WellTally:
        return self.wells.setdefault(name, WellTally())


def possible_frames(plan: Plan) -> int:
    """Return the frames that every field of every selected well would take under ``main``, all time points of it."""
    profile: Any = plan.profiles.get("main") or next(iter(plan.profiles.values()))
    return sum(len(well.fields) for well in plan.wells) * int(profile.frames_in_all)
