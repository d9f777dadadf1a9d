"""The life of one visit: which of its fields can be measured, which are being measured, what became of each."""

from __future__ import annotations

from dataclasses import replace

from phenoloop.core.locating import locate
from phenoloop.model import (
    Candidate,
    FieldReadout,
    FieldResult,
    Judged,
    Measure,
    Measured,
    MeasurementFailed,
    ProfilePlan,
    Visit,
    VisitEnded,
    VisitResult,
)


class VisitState:
    """What is known of a visit since it was dispatched.

    Parameters
    ----------
    visit : Visit
        With its number.
    profile : ProfilePlan
        Its way of imaging, to say where objects of its frames lie.
    """

    # A time-lapse of days has hundreds of thousands.
    __slots__ = ("_first_light", "_late", "_measured", "_measuring", "_profile", "_results", "ended", "visit")

    def __init__(self, visit: Visit, profile: ProfilePlan) -> None:
        self.visit = visit
        self._profile = profile
        self.ended: VisitEnded | None = None
        # A dict, not a set: its order is part of what is repeatable.
        self._measuring: dict[str, None] = {}
        self._results: dict[str, FieldResult] = {}
        self._measured: dict[str, Measured] = {}
        self._late: tuple[str, ...] = ()
        self._first_light: dict[str, float] = {}

    @property
    def complete(self) -> bool:
        """Whether every field has its final status."""
        return self.ended is not None and len(self._results) == len(self.visit.fields)

    def end(self, ended: VisitEnded) -> None:
        """Take in the end of the visit: fields that lack a frame have their final status, ``missing``."""
        self.ended = ended
        for stored in ended.frames:
            self._first_light.setdefault(stored.address.field, stored.at_s)
        for frame in ended.missing:
            name = frame.address.field
            reason = f"{frame.address.channel}: {frame.reason}"
            self._results.setdefault(name, FieldResult(field=name, status="missing", reason=reason))

    def measure(self, at_s: float) -> list[Measure]:
        """Return a command for each complete field that has no result and is not being measured, in visit order."""
        if self.ended is None:
            return []
        names = [place.field for place in self.visit.fields]
        todo = [name for name in names if name not in self._results and name not in self._measuring]
        self._measuring.update(dict.fromkeys(todo))
        return [Measure(at_s=at_s, visit=self.visit.number, field=name) for name in todo]

    def awaited(self) -> tuple[str, ...]:
        """Return the fields that are being measured."""
        return tuple(self._measuring)

    def take(self, happened: Measured | MeasurementFailed) -> bool:
        """Take in a result; False if none was expected. A result after "late" is expected and changes nothing."""
        name = happened.field
        if name not in self._measuring:
            return name in self._late and isinstance(happened, Measured)
        del self._measuring[name]
        if isinstance(happened, Measured):
            self._measured[name] = happened
            self._results[name] = FieldResult(
                field=name,
                status=happened.status,
                readouts=happened.readouts,
                reason=happened.reason,
                profile=happened.profile,
                candidates=self._located(happened),
            )
        elif happened.kind == "late":
            self._late += (name,)
            self._results[name] = FieldResult(field=name, status="late", reason=happened.reason)
        elif happened.kind == "failed":
            self._results[name] = FieldResult(field=name, status="missing", reason=happened.reason)
        # "stopped": no result; the field is complete on disk and is measured when the run is taken up again.
        return True

    def _located(self, happened: Measured) -> tuple[Candidate, ...]:
        assert self.ended is not None
        frames = [frame for frame in self.ended.frames if frame.address.field == happened.field]
        return tuple(locate(candidate, frames, self._profile) for candidate in happened.candidates)

    def good(self) -> list[Measured]:
        """Return what was measured of the fields with status ``ok``, in visit order."""
        names = [place.field for place in self.visit.fields]
        return [self._measured[name] for name in names if name in self._results and self._results[name].status == "ok"]

    def reject(self, verdict: Judged) -> None:
        """Let a field that was ``ok`` count no more."""
        result = self._results[verdict.field]
        self._results[verdict.field] = replace(result, status="qc_fail", reason=verdict.reason)

    def accepted(self) -> list[FieldReadout]:
        """Return the fields with status ``ok``, in visit order."""
        return [
            FieldReadout(
                well=self.visit.well,
                field=result.field,
                visit=self.visit.number,
                readouts=result.readouts,
                profile=result.profile,
                imaging=self.visit.profile,
                at_s=self._first_light.get(result.field),
                candidates=result.candidates,
                target=place.target,
                image=place.image,
                t=place.t,
                role=self.visit.role,
            )
            for place in self.visit.fields
            if (result := self._results.get(place.field)) is not None and result.status == "ok"
        ]

    def result(self, at_s: float) -> VisitResult:
        """Return what the policy is told."""
        return VisitResult(
            visit=self.visit.number,
            well=self.visit.well,
            profile=self.visit.profile,
            fields=tuple(
                replace(self._results[place.field], at_s=self._first_light.get(place.field))
                for place in self.visit.fields
            ),
            at_s=at_s,
        )
