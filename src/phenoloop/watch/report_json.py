"""The shape of ``report.json``: what a program may rely on. `docs/report.md` describes it field by field."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phenoloop.model import Answer, Interval, Message, Plan, Setup, WellAnswer
from phenoloop.watch.groups import dependence
from phenoloop.watch.report_objects import with_paths
from phenoloop.watch.tally import Tally, WellTally
from phenoloop.watch.time_lapse import punctuality

SCHEMA: Final = "phenoloop.report/1"
STEPS: Final = ("acquire", "store", "segment", "measure", "decide", "image_to_decision")
"""The steps that ``timing_ms`` holds, always all of them."""
PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """All that a report is made from.

    Attributes
    ----------
    run : str
        Name of the run folder.
    plan : Plan
        The protocol as understood.
    setup : Setup
        What policy and question were told of the plate.
    messages : sequence of Message
        The journal, in its order.
    stored_on_disk : int
        Frames counted from the chunks on disk.
    answer : Answer or None
        What the question says of the accepted fields; None without a question.
    question, policy : mapping
        ``kind`` and ``parameters``; `question` is None where there is none.
    believes : mapping
        What the policy says of itself at the end, JSON-ready.
    definitions : mapping of str to str
        Readout -> how the protocol writes it; for the page.
    timings : mapping of str to sequence of float
        Wall-clock milliseconds by step (see `STEPS`), beside those that the messages carry.
    provenance : mapping
        Versions, hashes, seed, host: JSON-ready, shown as it is.
    """

    run: str
    plan: Plan
    setup: Setup
    messages: Sequence[Message]
    stored_on_disk: int
    answer: Answer | None = None
    question: Mapping[str, Any] | None = None
    policy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    believes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    definitions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    timings: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def build_report(content: ReportContent) -> dict[str, Any]:
    """Return ``report.json`` as a mapping that `json.dumps` takes with ``allow_nan=False``.

    Parameters
    ----------
    content : ReportContent
        The run.

    Returns
    -------
    dict
        Schema ``phenoloop.report/1``. Times in the unit of their name; every number finite or None.
    """
    tally = Tally(content.plan).take_all(content.messages)
    statuses = tally.statuses()
    answer = content.answer
    reasons = Counter(result.reason for result in tally.results.values() if result.status == "qc_fail")
    lost = max(0, tally.listed - content.stored_on_disk)
    report = {
        "schema": SCHEMA,
        "run": content.run,
        "protocol": content.plan.name,
        "exit": tally.ended.exit if tally.ended else "incomplete",
        "reason": tally.ended.reason if tally.ended else "the journal has no end: the run was cut off",
        "frames": tally.listed - lost,
        "exposures": tally.exposures + tally.spending.exposures,
        "visits": tally.visits_ended,
        "fields": tally.accepted_fields,
        "objects": tally.objects,
        "decisions": len(tally.decisions),
        "missing": len(tally.missing),
        "lost_frames": lost + sum(frame.exposed for frame in tally.missing),
        "faults": len(tally.faults),
        "possible_frames": tally.possible,
        "duration_s": tally.at_s,
        "wells": [
            _well(content, well.name, tally.wells[well.name], None if answer is None else answer.wells.get(well.name))
            for well in content.plan.wells
        ],
        "quality": {
            "ok": statuses["ok"],
            "rejected": statuses["qc_fail"],
            "failed": statuses["failed"],
            "late": statuses["late"],
            "reasons": dict(reasons.most_common()),
            "p_same_in_all_groups": dependence(content.plan, content.setup, tally),
        },
        "timing_ms": {step: percentiles(values) for step, values in _timings(content).items()},
        "budget": tally.budget(),
        "metered": [dataclasses.asdict(channel) for channel in tally.spending.metered],
        "policy": {**content.policy, "believes": dict(content.believes)} if content.policy else {},
        "question": None if content.question is None else dict(content.question),
        "summary": _summary(content),
        "time_lapse": punctuality(content.plan, content.messages),
        "notes": [] if answer is None else list(answer.notes),
        "provenance": dict(content.provenance),
    }
    finite = _finite(report)
    assert isinstance(finite, dict)
    return finite


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p95 and p99 of some milliseconds, each a value that occurred (nearest rank); None without any."""
    ordered = sorted(values)
    if not ordered:
        return {f"p{share}": None for share in PERCENTILES}
    return {f"p{share}": ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)] for share in PERCENTILES}


def timings_of(messages: Iterable[Message]) -> dict[str, list[float]]:
    """Return the wall-clock milliseconds that messages carry in `wall`, by step.

    ``acquire`` is per frame: ``frames_ms``, or ``acquire_ms`` over the number of frames where only that is given.
    ``store`` is ``store_ms`` of a visit; the others carry the step's own name.
    """
    found: dict[str, list[float]] = {step: [] for step in STEPS}
    for message in messages:
        wall: Mapping[str, Any] = getattr(message, "wall", {})
        if per_frame := wall.get("frames_ms"):
            found["acquire"].extend(float(ms) for ms in per_frame)
        elif "acquire_ms" in wall and (frames := len(getattr(message, "frames", ()))):
            found["acquire"].append(float(wall["acquire_ms"]) / frames)
        if "store_ms" in wall:
            found["store"].append(float(wall["store_ms"]))
        for step in ("segment", "measure", "decide", "image_to_decision"):
            if isinstance(ms := wall.get(step), int | float):
                found[step].append(float(ms))
    return found


def _summary(content: ReportContent) -> dict[str, Any]:
    if content.answer is None:
        return {}
    about_objects = content.question is not None and content.question["kind"] == "objects"
    return with_paths(content.answer.summary, content.plan) if about_objects else dict(content.answer.summary)


def _timings(content: ReportContent) -> dict[str, list[float]]:
    found = timings_of(content.messages)
    for step, values in content.timings.items():
        found.setdefault(step, []).extend(values)
    return found


def _well(content: ReportContent, name: str, well: WellTally, said: WellAnswer | None) -> dict[str, Any]:
    about = content.setup.readout
    return {
        "well": name,
        "control": name in content.setup.controls,
        "fields": len(well.accepted),
        "frames": well.frames,
        "visits": well.visits,
        "rejected": well.rejected,
        "objects": well.objects,
        "call": None if said is None else said.call,
        "evidence": None if said is None else said.evidence,
        "rank": None if said is None else said.rank,
        "effect": None if said is None or said.effect is None else dataclasses.asdict(said.effect),
        "readouts": {
            readout: _readout(well, readout, said.interval if said is not None and readout == about else None)
            for readout in content.plan.readouts
        },
    }


def _readout(well: WellTally, readout: str, interval: Interval | None) -> dict[str, Any]:
    mean, n = well.mean(readout), len(well.values.get(readout, ()))
    if interval is None:
        empty = dict.fromkeys(("low", "high", "level", "kind", "unit", "valid_when_peeking"))
        return {"mean": mean, "n": n, **empty}
    band = {key: getattr(interval, key) for key in ("low", "high", "level", "kind", "unit", "valid_when_peeking")}
    return {"mean": mean if interval.mean is None else interval.mean, "n": interval.n, **band}


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become None."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case bool() | int() | str() | None:
            return value
        case _ if hasattr(value, "item"):  # a NumPy number
            return _finite(value.item())
        case _:
            return str(value)
