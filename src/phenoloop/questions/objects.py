"""Which single objects are what was looked for: those that the second look confirmed, and how precise the first was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Answer, Candidate, FieldReadout, Interval, Setup, WellAnswer
from phenoloop.numerics.proportions import anytime_interval
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Length, Percent
from phenoloop.questions.values import count_of, number

_KIND: Final = (
    "confidence sequence for a chance (mixture of likelihood ratios), over the candidates that were looked at closely, "
    "as if each were confirmed with the same chance"
)


@dataclass(frozen=True, slots=True)
class _Look:
    """The last look at one object: what was taken, and the candidate that confirmed it, if any did."""

    field: FieldReadout
    seen: Candidate | None


class ObjectsQuestion:
    """Lists the confirmed objects, and says how many of the candidates are wanted ones.

    An object is *confirmed* when a look under ``confirmed_by.profile``, taken for it, shows an object that passes
    ``confirmed_by.where`` at most `within` from its place. Of several looks the last counts; two confirmed places at
    most `within` apart are one object.

    Parameters
    ----------
    params : ObjectsQuestion.Params
        As in the protocol.
    setup : Setup
        Wells, and the profiles of the two looks.

    Raises
    ------
    ProtocolError
        If both looks are of the same profile.
    """

    kind: ClassVar[str] = "objects"

    class FoundBy(StrictModel):
        """Which objects are candidates."""

        profile: str = Field(default="main", description="way of imaging of the pre-scan")
        where: str = Field(description="condition per object, such as z(DNA.mean) > 4")
        best_first: str | None = Field(default=None, description="number per object; higher ones are looked at first")

    class ConfirmedBy(StrictModel):
        """Which candidates are what was looked for."""

        profile: str = Field(description="way of imaging of the second look")
        where: str = Field(description="condition per object, such as foci.count >= 5")

    class Params(StrictModel):
        """Keys of ``question: {kind: objects}``."""

        found_by: ObjectsQuestion.FoundBy = Field(description="the pre-scan")
        confirmed_by: ObjectsQuestion.ConfirmedBy = Field(description="the second look")
        target: int = Field(default=50, ge=1, description="confirmed objects that are wanted")
        within: Annotated[Length, Field(gt=0)] = Field(
            default=10.0, description="two places at most this far apart are one object"
        )
        confidence: Annotated[Percent, Field(gt=0, lt=1)] = Field(default=0.95, description="of the intervals")

    def __init__(self, params: Params, setup: Setup) -> None:
        if params.found_by.profile == params.confirmed_by.profile:
            message = "objects are found and confirmed by the same profile"
            raise ProtocolError(Problem(where="question.confirmed_by.profile", message=message))
        self._params = params
        self._wells = setup.wells

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted fields; see `phenoloop.ports.Question`."""
        looks = self._looks(fields)
        confirmed = self._distinct([look for look in looks if look.seen is not None])
        scanned = [field for field in fields if field.imaging == self._params.found_by.profile and field.target is None]
        per_well = {well: [look for look in looks if look.field.well == well] for well in self._wells}
        found = {well: sum(look.field.well == well for look in confirmed) for well in self._wells}
        order = sorted((w for w in self._wells if found[w]), key=lambda w: (-found[w], self._wells.index(w)))
        rank = {well: place for place, well in enumerate(order, start=1)}
        wells = {
            well: WellAnswer(call=None, evidence=None, rank=rank.get(well), interval=self._precision(per_well[well]))
            for well in self._wells
        }
        return Answer(
            wells=wells, summary=self._summary(scanned, looks, confirmed, found), notes=self._notes(looks, confirmed)
        )

    def _looks(self, fields: Sequence[FieldReadout]) -> list[_Look]:
        """Return the last look at each object, in an order that does not depend on that of the fields."""
        last: dict[tuple[str, str], FieldReadout] = {}
        for field in fields:
            if field.imaging != self._params.confirmed_by.profile or field.target is None:
                continue
            key = (field.well, field.field)
            if key not in last or last[key].visit < field.visit:
                last[key] = field
        ordered = sorted(last.values(), key=lambda field: (self._wells.index(field.well), field.visit, field.field))
        return [_Look(field, self._seen(field)) for field in ordered if field.well in self._wells]

    def _seen(self, field: FieldReadout) -> Candidate | None:
        """Return the object that passes and lies where the candidate was found, the nearest of several."""
        target = field.target
        assert target is not None
        near = [
            (away, candidate.label, candidate)
            for candidate in field.candidates
            if candidate.x_um is not None
            and candidate.y_um is not None
            and (away := math.hypot(candidate.x_um - target.x_um, candidate.y_um - target.y_um)) <= self._params.within
        ]
        return min(near, key=lambda one: one[:2])[2] if near else None

    def _distinct(self, looks: Sequence[_Look]) -> list[_Look]:
        """Return the looks but for those whose object another one shows already."""
        kept: list[_Look] = []
        for look in looks:
            if not any(one.field.well == look.field.well and self._same(one, look) for one in kept):
                kept.append(look)
        return kept

    def _same(self, one: _Look, other: _Look) -> bool:
        a, b = one.seen, other.seen
        if a is None or b is None or None in (a.x_um, a.y_um, b.x_um, b.y_um):
            return False
        away = math.hypot(float(a.x_um or 0) - float(b.x_um or 0), float(a.y_um or 0) - float(b.y_um or 0))
        return away <= self._params.within

    def _precision(self, looks: Sequence[_Look]) -> Interval | None:
        if not looks:
            return None
        hits = sum(look.seen is not None for look in looks)
        low, high = anytime_interval(hits, len(looks), self._params.confidence)
        return Interval(
            mean=number(hits / len(looks)),
            low=number(low),
            high=number(high),
            n=len(looks),
            level=self._params.confidence,
            kind=_KIND,
            unit="object",
            valid_when_peeking=True,
        )

    def _summary(
        self,
        scanned: Sequence[FieldReadout],
        looks: Sequence[_Look],
        confirmed: Sequence[_Look],
        found: dict[str, int],
    ) -> dict[str, object]:
        precision = self._precision(looks)
        return {
            "wanted": self._params.target,
            "confirmed": len(confirmed),
            "candidates": sum(len(field.candidates) for field in scanned),
            "fields_pre_scanned": len(scanned),
            "looked_at": len(looks),
            "precision": None
            if precision is None
            else {
                "mean": precision.mean,
                "low": precision.low,
                "high": precision.high,
                "n": precision.n,
                "level": precision.level,
                "kind": precision.kind,
                "unit": precision.unit,
                "valid_when_peeking": precision.valid_when_peeking,
            },
            "wells": {well: count for well, count in found.items() if count},
            "objects": [_row(look) for look in confirmed],
        }

    def _notes(self, looks: Sequence[_Look], confirmed: Sequence[_Look]) -> tuple[str, ...]:
        wells = len({look.field.well for look in confirmed})
        notes = [
            "precision is that of the candidates that were looked at, which were chosen by their score; how many "
            "wanted objects the pre-scan passed over is not known"
        ]
        if len(confirmed) > 1:
            from_wells = f"{count_of(wells)} {'well' if wells == 1 else 'wells'}"
            notes.append(
                f"the confirmed objects come from {from_wells}: objects of one well are no independent replicates"
            )
        if looks and len(confirmed) < self._params.target:
            notes.append(f"{len(confirmed)} of the {self._params.target} objects that were wanted are confirmed")
        return tuple(notes)


def _row(look: _Look) -> dict[str, Any]:
    """Return a confirmed object for the report: where it lies, what was measured, which image shows it."""
    field, seen = look.field, look.seen
    assert seen is not None
    return {
        "object": field.field,
        "well": field.well,
        "x_um": number(seen.x_um) if seen.x_um is not None else None,
        "y_um": number(seen.y_um) if seen.y_um is not None else None,
        "z_um": number(seen.z_um) if seen.z_um is not None else None,
        "visit": field.visit,
        "profile": field.imaging,
        "image": field.image,
        "t": field.t,
        "label": seen.label,
        "values": {name: None if value is None else number(value) for name, value in seen.values.items()},
    }
