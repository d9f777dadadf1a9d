"""The life of one visit: which of its fields can be measured, which are being measured, what became of each."""

from __future__ import annotations

from phenoloop.model import (
    FieldReadout,
    FieldResult,
    Measure,
    Measured,
    MeasurementFailed,
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
    """

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.ended: VisitEnded | None = None
        # A dict, not a set: its order is part of what is repeatable.
        self._measuring: dict[str, None] = {}
        self._results: dict[str, FieldResult] = {}
        self._late: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether every field has its final status."""
        return self.ended is not None and len(self._results) == len(self.visit.fields)

    def end(self, ended: VisitEnded) -> None:
        """Take in the end of the visit: fields that lack a frame have their final status, ``missing``."""
        self.ended = ended
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
            self._results[name] = FieldResult(
                field=name, status=happened.status, readouts=happened.readouts, reason=happened.reason
            )
        elif happened.kind == "late":
            self._late.add(name)
            self._results[name] = FieldResult(field=name, status="late", reason=happened.reason)
        elif happened.kind == "failed":
            self._results[name] = FieldResult(field=name, status="missing", reason=happened.reason)
        # "stopped": no result; the field is complete on disk and is measured when the run is taken up again.
        return True

    def accepted(self) -> list[FieldReadout]:
        """Return the fields with status ``ok``, in visit order."""
        results = (self._results.get(place.field) for place in self.visit.fields)
        return [
            FieldReadout(well=self.visit.well, field=result.field, visit=self.visit.number, readouts=result.readouts)
            for result in results
            if result is not None and result.status == "ok"
        ]

    def result(self, at_s: float) -> VisitResult:
        """Return what the policy is told."""
        return VisitResult(
            visit=self.visit.number,
            well=self.visit.well,
            profile=self.visit.profile,
            fields=tuple(self._results[place.field] for place in self.visit.fields),
            at_s=at_s,
        )
