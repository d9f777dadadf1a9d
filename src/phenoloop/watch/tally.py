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
    StopRequested,
    VisitEnded,
)

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
    values : mapping of str to list of float
        Known values of each readout, one per ``ok`` result.
    """

    visits: int = 0
    frames: int = 0
    missing: int = 0
    accepted: set[str] = dataclasses.field(default_factory=set)
    rejected: int = 0
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
        self.light_s: dict[tuple[str, str], float] = {}
        """Seconds of exposure by (well, field)."""
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
        self.last_word = ""
        """The latest reason to stop: of a person, of the policy, or of the microscope."""

    def take(self, message: Message) -> None:
        """Count one message."""
        self.at_s = max(self.at_s, getattr(message, "at_s", 0.0))
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
                self._result(message.visit, message.field, status, message.readouts, message.objects, reason)
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
            case StopRequested():
                self.last_word = message.reason
            case MicroscopeFailed():
                self.last_word = message.reason
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
        """Frames that one look at every field of every selected well would take under ``main``."""
        return possible_frames(self.plan)

    def used(self) -> dict[str, tuple[float, float | None]]:
        """Return, for each limit of the protocol, what is used and what is allowed (None: unlimited)."""
        limits, most = self.plan.limits, max(self.light_s.values(), default=0.0)
        # As the ledger counts: a frame that was planned and never exposed costs nothing.
        frames = self.planned - sum(not gap.exposed for gap in self.missing)
        return {
            "frames": (frames, limits.frames),
            "duration_s": (self.at_s, limits.duration_s),
            "disk_bytes": (frames * self.plan.frame_bytes, limits.disk_bytes),
            "light_s": (most, limits.light_per_field_s),
        }

    # -- one message each -------------------------------------------------------------------------------------------

    def _decided(self, message: Decided) -> None:
        self.decisions.append(message)
        if message.stop:
            self.last_word = message.stop
        for made in message.proposals:
            if made.visit > 0:
                self._sent(made.visit, Trip(made.well, made.profile, made.fields, message.decision))

    def _sent(self, number: int, trip: Trip) -> None:
        if number in self.trips:  # a visit is told of twice: by its decision and by its command
            return
        self.trips[number] = trip
        self.planned += len(trip.fields) * self.plan.profiles[trip.profile].frames_per_field
        self._well(trip.well).visits += 1

    def _visit_ended(self, message: VisitEnded) -> None:
        self.visits_ended += 1
        self.exposures += message.exposures
        self.faults.extend(message.faults)
        self.missing.extend(message.missing)
        self.listed += len(message.frames)
        for frame in message.frames:
            self._well(frame.address.well).frames += 1
        for gap in message.missing:
            self._well(gap.address.well).missing += 1
        trip = self.trips.get(message.visit)
        for field, seconds in message.light_s.items():
            key = (trip.well if trip else "", field)
            self.light_s[key] = self.light_s.get(key, 0.0) + seconds

    def _result(
        self, visit: int, field: str, status: str, readouts: Mapping[str, float | None], objects: int, reason: str
    ) -> None:
        trip = self.trips.get(visit)
        if trip is None or (visit, field) in self.results:  # a result after "late" is stored, and counts no more
            return
        self.results[visit, field] = Result(visit, trip.well, field, status, readouts, objects, reason)
        well = self._well(trip.well)
        if status != "ok":
            well.rejected += 1
            return
        well.accepted.add(field)
        for name, value in readouts.items():
            if value is not None:
                well.values.setdefault(name, []).append(value)

    def _well(self, name: str) -> WellTally:
        return self.wells.setdefault(name, WellTally())


def possible_frames(plan: Plan) -> int:
    """Return the frames that one look at every field of every selected well would take under ``main``."""
    profile: Any = plan.profiles.get("main") or next(iter(plan.profiles.values()))
    return sum(len(well.fields) for well in plan.wells) * int(profile.frames_per_field)
