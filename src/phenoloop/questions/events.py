"""How often events begin: per well, group and plate, with the well as the unit, and how well the events were seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Answer, FieldReadout, Scalar, Setup, WellAnswer
from phenoloop.numerics.durations import spoken
from phenoloop.numerics.proportions import clopper_pearson
from phenoloop.numerics.rates import Rate, rate_of
from phenoloop.numerics.rounding import significant
from phenoloop.protocol.base import QuestionParams
from phenoloop.protocol.names import nearest
from phenoloop.protocol.quantities import Percent
from phenoloop.questions.values import number
from phenoloop.questions.watching import Event, Look, Watch, watch

LISTED: Final = 500
"""Events that the summary lists one by one."""
FOLLOWED: Final = 1.5
"""An event was seen at the fast rate when no gap between two looks at it is longer than so many fast intervals."""


class EventsQuestion:
    """Counts events and estimates their rates. Makes no calls.

    Parameters
    ----------
    params : EventsQuestion.Params
        As in the protocol.
    setup : Setup
        Wells, their rows of the plate map, readouts, profiles with their intervals.

    Raises
    ------
    ProtocolError
        If `objects` is no readout, `by` no column of the plate map, or the thresholds are the wrong way round.
    """

    kind: ClassVar[str] = "events"

    class Params(QuestionParams):
        """Keys of ``question: {kind: events}``."""

        above: float = Field(allow_inf_nan=False, description="an event begins where the readout rises above")
        below: float | None = Field(
            default=None, allow_inf_nan=False, description="and is over where it falls below; `above` unless given"
        )
        objects: str | None = Field(
            default=None, description="readout that counts objects, for rates per object and hour too"
        )
        by: str | None = Field(default=None, description="column of the plate map whose values make the groups")
        confidence: Annotated[Percent, Field(gt=0, lt=1)] = Field(default=0.95, description="coverage of the intervals")

    def __init__(self, params: Params, setup: Setup) -> None:
        self._params = params
        self._setup = setup
        self._below = params.above if params.below is None else params.below
        if self._below > params.above:
            message = f"an event would be over ({self._below:g}) before it begins ({params.above:g}); swap the two"
            raise ProtocolError(Problem(where="question.below", message=message))
        if params.objects is not None and params.objects not in setup.readouts:
            listed = f"{nearest(params.objects, setup.readouts)} (readouts: {', '.join(setup.readouts) or 'none'})"
            message = f"there is no readout {params.objects!r}{listed}"
            raise ProtocolError(Problem(where="question.objects", message=message))
        rows: Sequence[Mapping[str, Scalar]] = setup.properties or [{} for _ in setup.wells]
        columns = dict.fromkeys(name for row in rows for name in row)
        if params.by is not None and params.by not in columns:
            known = f"it has {', '.join(columns)}" if columns else "there is none"
            message = f"the plate map has no column {params.by!r}; {known}"
            raise ProtocolError(Problem(where="question.by", message=message))
        self._groups: dict[str, list[str]] = {}
        for well, row in zip(setup.wells, rows, strict=True):
            if params.by is not None and row.get(params.by) is not None:
                self._groups.setdefault(str(row[params.by]), []).append(well)
        intervals = [profile.every_s for profile in setup.profiles.values() if profile.every_s is not None]
        self._fast_s = min(intervals) if len(set(intervals)) > 1 else None

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer from all accepted looks; see `phenoloop.ports.Question`."""
        watches, unknown = self._watches(fields)
        rates = {well: self._rate([well], watches) for well in self._setup.wells}
        seen = [well for well in self._setup.wells if watches[well]]
        order = sorted(seen, key=lambda well: -significant(rates[well].rate) if math.isfinite(rates[well].rate) else 1)
        rank = {well: place for place, well in enumerate(order, start=1)}
        listed = self._listed(watches)
        everything = list(self._setup.wells)
        summary: dict[str, object] = {
            "readout": self._params.readout,
            "above": self._params.above,
            "below": self._below,
            "plate": self._told(everything, watches),
            "by": self._params.by,
            "groups": {name: self._told(members, watches) for name, members in self._groups.items()},
            "wells": {well: self._told([well], watches) for well in seen},
            "followed": self._followed(watches),
            "events": listed[:LISTED],
            "events_in_all": len(listed),
        }
        return Answer(
            wells={
                well: WellAnswer(call=None, evidence=None, rank=rank.get(well), interval=None)
                for well in self._setup.wells
            },
            summary=summary,
            notes=tuple(self._notes(watches, unknown, len(listed))),
        )

    # -- inside -----------------------------------------------------------------------------------------------------

    def _watches(self, fields: Sequence[FieldReadout]) -> tuple[dict[str, dict[str, Watch]], int]:
        """Return what was seen of each field of each well, and how many looks could not be used."""
        looks: dict[str, dict[str, list[Look]]] = {well: {} for well in self._setup.wells}
        unknown = 0
        for field in fields:
            if field.well not in looks:
                continue
            value = field.readouts.get(self._params.readout)
            if value is None or not math.isfinite(value) or field.at_s is None:
                unknown += 1
                continue
            objects = None if self._params.objects is None else field.readouts.get(self._params.objects)
            look = Look(at_s=field.at_s, value=value, objects=objects)
            looks[field.well].setdefault(field.field, []).append(look)
        watches = {
            well: {
                name: watch(sorted(seen, key=lambda look: (look.at_s, look.value)), self._params.above, self._below)
                for name, seen in sorted(of_well.items(), key=lambda item: (len(item[0]), item[0]))
            }
            for well, of_well in looks.items()
        }
        return watches, unknown

    def _rate(
        self, wells: Sequence[str], watches: Mapping[str, Mapping[str, Watch]], *, per_object: bool = False
    ) -> Rate:
        """Return the rate per field and hour (or per object and hour) over some wells, each one a replicate."""
        counts, hours = [], []
        for well in wells:
            counts.append(sum(len(one.begun) for one in watches[well].values()))
            times = [one.object_s if per_object else one.watched_s for one in watches[well].values()]
            hours.append(math.fsum(time for time in times if time is not None) / 3600)
        return rate_of(counts, hours, self._params.confidence)

    def _told(self, wells: Sequence[str], watches: Mapping[str, Mapping[str, Watch]]) -> dict[str, object]:
        """Return events, exposure and rates over some wells, JSON-ready."""
        seen = [well for well in wells if watches[well]]
        all_of_them = [one for well in seen for one in watches[well].values()]
        rate = self._rate(seen, watches)
        told: dict[str, object] = {
            "events": sum(len(one.begun) for one in all_of_them),
            "under_way_at_first": sum(len(one.events) - len(one.begun) for one in all_of_them),
            "wells": len(seen),
            "fields": len(all_of_them),
            "field_hours": number(math.fsum(one.watched_s for one in all_of_them) / 3600),
            "per_field_hour": _plain(rate),
            "level": self._params.confidence,
            "unit": "well",
            "valid_when_peeking": False,
        }
        if self._params.objects is not None and all(one.object_s is not None for one in all_of_them):
            told["object_hours"] = number(math.fsum(one.object_s or 0.0 for one in all_of_them) / 3600)
            told["per_object_hour"] = _plain(self._rate(seen, watches, per_object=True))
        return told

    def _followed(self, watches: Mapping[str, Mapping[str, Watch]]) -> dict[str, object] | None:
        """Return how many of the events were seen at the fast rate; None where there is one rate only."""
        if self._fast_s is None:
            return None
        events = [event for of_well in watches.values() for one in of_well.values() for event in one.begun]
        count = sum(self._is_followed(event) for event in events)
        low, high = clopper_pearson(count, len(events), self._params.confidence)
        return {
            "events": len(events),
            "at_fast_rate": count,
            "share": number(count / len(events)) if events else None,
            "low": number(low),
            "high": number(high),
            "fast_interval_s": self._fast_s,
        }

    def _is_followed(self, event: Event) -> bool:
        assert self._fast_s is not None
        return event.looks > 1 and event.longest_gap_s <= FOLLOWED * self._fast_s

    def _listed(self, watches: Mapping[str, Mapping[str, Watch]]) -> list[dict[str, Any]]:
        rows = [
            {
                "well": well,
                "field": name,
                "start_s": significant(event.start_s),
                "within_s": None if event.within_s is None else significant(event.within_s),
                "end_s": None if event.end_s is None else significant(event.end_s),
                "looks": event.looks,
                "peak": significant(event.peak),
                "at_fast_rate": None if self._fast_s is None else self._is_followed(event),
            }
            for well, of_well in watches.items()
            for name, one in of_well.items()
            for event in one.events
        ]
        return sorted(rows, key=lambda row: (row["start_s"], row["well"], row["field"]))

    def _notes(self, watches: Mapping[str, Mapping[str, Watch]], unknown: int, events: int) -> list[str]:
        every = [one for of_well in watches.values() for one in of_well.values()]
        gaps = [gap for one in every for gap in one.quiet_gap_s]
        lengths = [e.end_s - e.start_s for one in every for e in one.begun if e.end_s is not None]
        notes = [
            "a rate counts the events that began while the field was watched and nothing was under way in it; what was "
            "under way at the first look is listed and not counted",
            "the bands take the well as the unit and are right for a length of watching that was fixed beforehand",
        ]
        if gaps:
            seen = f"quiet fields were looked at every {spoken(median(gaps))} (median)"
            long = f", and the events lasted {spoken(median(lengths))} (median of {len(lengths)})" if lengths else ""
            notes.append(f"{seen}{long}: an event shorter than the gap may go unseen, so a rate is of events seen")
        if events > LISTED:
            notes.append(f"the first {LISTED} of {events} events are listed")
        if unknown:
            notes.append(f"{unknown} looks had no {self._params.readout} or no time; left out")
        return notes

    @staticmethod
    def forecast(params: Params, setup: Setup) -> list[str]:
        """Return, in sentences, how well a rate can be known."""
        main = setup.profiles.get("main")
        if main is None or main.for_s is None:
            return ["without a time-lapse (imaging: every, for) there is no rate of events"]
        hours = sum(setup.fields) * main.for_s / 3600
        share = 2 / math.sqrt(max(hours, 1e-9))
        return [
            f"{hours:.3g} field-hours: one event per field and hour would be known to about ± {share:.0%}, "
            "if events are independent"
        ]


def _plain(rate: Rate) -> dict[str, object]:
    return {
        "rate": number(rate.rate),
        "low": number(rate.low),
        "high": number(rate.high),
        "dispersion": None if rate.dispersion is None else number(rate.dispersion),
        "assumes": rate.assumes,
    }
