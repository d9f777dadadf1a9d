"""What a time-lapse came to: how many looks, how punctual, what was left out; and its drawing, one line per field."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phenoloop.model import Acquire, Message, Plan, Visit, VisitEnded
from phenoloop.watch.verdict import duration

LATE: Final = 0.1
"""A look is called late when it comes later than this share of its interval."""
LINES: Final = 40
"""Fields that the drawing shows."""
WIDTH: Final = 720.0
STEP: Final = 15.0
STEPS_S: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
"""Round distances of two marks on the axis of time."""
TICKS: Final = 8


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at a field: when its first frame was taken, when it was due, and under which profile."""

    well: str
    field: str
    profile: str
    at_s: float
    due_s: float | None


def looks_of(messages: Sequence[Message]) -> list[_Look]:
    """Return every look of a run that brought a frame, in the order of time."""
    visits: dict[int, Visit] = {}
    found: list[_Look] = []
    for message in messages:
        if isinstance(message, Acquire):
            visits[message.visit.number] = message.visit
        elif isinstance(message, VisitEnded) and (visit := visits.get(message.visit)) is not None:
            first: dict[str, float] = {}
            for frame in message.frames:
                first.setdefault(frame.address.field, frame.at_s)
            found += [
                _Look(visit.well, field, visit.profile, at_s, visit.not_before_s) for field, at_s in first.items()
            ]
    return sorted(found, key=lambda look: look.at_s)


def punctuality(plan: Plan, messages: Sequence[Message]) -> dict[str, Any] | None:
    """Return what ``report.json`` says of a time-lapse, by profile; None where the protocol has none.

    Parameters
    ----------
    plan : Plan
        Profiles with their intervals.
    messages : sequence of Message
        The journal.

    Returns
    -------
    dict or None
        For each profile with an interval: ``every_s``, ``time_points`` (of each field; None: no fixed number),
        ``looks``, ``interval_s`` (median and largest of those that were really kept between two looks at one field),
        ``late_s`` (median and largest delay after the due time), ``late`` (looks that came later than a tenth of the
        interval), and ``left_out`` (time points that were skipped because the look before them came too late).
    """
    if all(profile.every_s is None for profile in plan.profiles.values()):
        return None
    looks = looks_of(messages)
    return {
        name: _of_profile(profile.every_s, profile.time_points if profile.for_s is not None else None, name, looks)
        for name, profile in plan.profiles.items()
        if profile.every_s is not None
    }


def _of_profile(every_s: float, points: int | None, name: str, looks: Sequence[_Look]) -> dict[str, Any]:
    mine = [look for look in looks if look.profile == name]
    by_field: dict[tuple[str, str], list[_Look]] = defaultdict(list)
    for look in mine:
        by_field[look.well, look.field].append(look)
    pairs = [pair for of_field in by_field.values() for pair in itertools.pairwise(of_field)]
    # Fast looks come in bursts: only the gaps inside one are intervals.
    gaps = [after.at_s - before.at_s for before, after in pairs]
    if points is None:
        gaps = [gap for gap in gaps if gap <= 3 * every_s]
    late = [max(0.0, look.at_s - look.due_s) for look in mine if look.due_s is not None]
    skipped = 0 if points is None else sum(max(0, math.floor(gap / every_s + 0.5) - 1) for gap in gaps)
    return {
        "every_s": every_s,
        "time_points": points,
        "looks": len(mine),
        "fields": len(by_field),
        "interval_s": {"median": _median(gaps), "largest": max(gaps, default=None)},
        "late_s": {"median": _median(late), "largest": max(late, default=None)},
        "late": sum(delay > LATE * every_s for delay in late),
        "left_out": skipped,
    }


def _median(values: Sequence[float]) -> float | None:
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def draw_time_lapse(plan: Plan, messages: Sequence[Message], report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the drawing of a time-lapse: a line per field with its looks and its events; None without one.

    Parameters
    ----------
    plan : Plan
        Wells and fields.
    messages : sequence of Message
        The journal.
    report : mapping
        ``report.json``; its summary lists the events where the question is about them.
    """
    if report.get("time_lapse") is None:
        return None
    looks = looks_of(messages)
    by_field: dict[tuple[str, str], list[_Look]] = defaultdict(list)
    for look in looks:
        by_field[look.well, look.field].append(look)
    events: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    summary = report["summary"]
    for event in summary.get("events", ()) if isinstance(summary.get("events"), list) else ():
        events[event["well"], event["field"]].append(event)
    keys = [
        (well.name, place.name) for well in plan.wells for place in well.fields if (well.name, place.name) in by_field
    ]
    # Where there is not room for all, the fields in which most happened.
    shown = sorted(keys, key=lambda key: (-len(events[key]), -len(by_field[key])))[:LINES]
    end_s = max((look.at_s for look in looks), default=0.0) or 1.0
    scale = WIDTH / end_s
    lines = []
    for row, key in enumerate(key for key in keys if key in shown):
        bars = [
            {
                "x": round(event["start_s"] * scale, 2),
                "width": round(max(2.0, ((event["end_s"] or end_s) - event["start_s"]) * scale), 2),
                "title": _said(key, event),
            }
            for event in events[key]
        ]
        slow = "".join(f"M{look.at_s * scale:.1f} 0v5" for look in by_field[key] if look.profile == "main")
        fast = "".join(f"M{look.at_s * scale:.1f} 5v5" for look in by_field[key] if look.profile != "main")
        lines.append({"y": row * STEP, "name": f"{key[0]} {key[1]}", "slow": slow, "fast": fast, "bars": bars})
    return {
        "width": WIDTH,
        "height": len(lines) * STEP,
        "lines": lines,
        "left_off": len(keys) - len(lines),
        "end_s": end_s,
        "ticks": [(round(at * scale, 1), _at(at)) for at in _round_times(end_s)],
        "has_events": any(events.values()),
    }


def _round_times(end_s: float) -> list[float]:
    """Return three to eight round times from 0 to the end: of seconds, minutes, hours or days."""
    step = next(
        (step for step in STEPS_S if end_s / step <= TICKS), STEPS_S[-1] * math.ceil(end_s / STEPS_S[-1] / TICKS)
    )
    return [step * k for k in range(math.floor(end_s / step) + 1)]


def _at(seconds: float) -> str:
    return duration(seconds).removesuffix(" 00 s").removesuffix(" 00 min") if seconds else "0"


def _said(key: tuple[str, str], event: Mapping[str, Any]) -> str:
    began = "under way at the first look" if event["within_s"] is None else f"± {event['within_s']:.3g} s"
    over = "not over at the end" if event["end_s"] is None else f"until {event['end_s']:.0f} s"
    return f"{key[0]} field {key[1]}: from {event['start_s']:.0f} s ({began}) {over}, {event['looks']} looks"


def events_table(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the rates of events as rows: the plate, its groups, its wells; None where the question is another one."""
    question, summary = report["question"], report["summary"]
    if not question or question["kind"] != "events" or "plate" not in summary:
        return None
    named = [("all wells", summary["plate"], True), *((name, told, True) for name, told in summary["groups"].items())]
    named += [(well, told, False) for well, told in summary["wells"].items()]
    followed = summary["followed"]
    said = ""
    if followed is not None and followed["events"]:
        said = (
            f"{followed['at_fast_rate']} of {followed['events']} events were seen at the fast rate from the first look "
            f"at them to their end ({100 * followed['low']:.0f} to {100 * followed['high']:.0f} %)."
        )
    return {
        "level": summary["plate"]["level"],
        "assumes": summary["plate"]["per_field_hour"]["assumes"],
        "per_object": "object" if "per_object_hour" in summary["plate"] else "",
        "followed": said,
        "rows": [_row(name, told, whole=whole) for name, told, whole in named],
    }


def _row(name: str, told: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    rate, per_object = told["per_field_hour"], told.get("per_object_hour", {})
    return {
        "name": name,
        "whole": whole,
        "events": told["events"],
        "hours": told["field_hours"],
        "rate": rate["rate"],
        "low": rate["low"],
        "high": rate["high"],
        "object_rate": per_object.get("rate"),
        "object_low": per_object.get("low"),
        "object_high": per_object.get("high"),
    }
