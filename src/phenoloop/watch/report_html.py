"""``report.html``: one page that explains a run, complete in itself: no network request, no script."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from phenoloop.watch.alike import told_once
from phenoloop.watch.groups import rejections
from phenoloop.watch.report_curves import draw_curves
from phenoloop.watch.report_decisions import decision_rows
from phenoloop.watch.report_drawings import draw_bands, draw_plate, draw_visits
from phenoloop.watch.report_evidence import evidence_said, few_objects, plate_said
from phenoloop.watch.report_json import ReportContent
from phenoloop.watch.report_objects import draw_objects
from phenoloop.watch.report_phenotypes import draw_phenotypes
from phenoloop.watch.report_pictures import Pictures, thumbnails
from phenoloop.watch.report_rules import rule_rows
from phenoloop.watch.report_stories import stories
from phenoloop.watch.tally import ACCEPTED, Tally
from phenoloop.watch.time_lapse import draw_time_lapse, events_table
from phenoloop.watch.verdict import (
    EXITS,
    aligned,
    duration,
    evidence,
    in_order,
    number,
    percent,
    verdict,
)
from phenoloop.watch.well_value import CALLS, WellValues, well_values

BUDGETS: Final = {
    "frames": "Images",
    "duration_s": "Run clock",
    "disk_bytes": "Disk",
    "light_s": "Light, most exposed field",
    "light_object_s": "Light, most exposed place",
    "frames_per_well": "Images, one well",
    "revisits_per_field": "Revisits, one field",
    "objective_changes": "Objective changes per hour",
    "controls": "Images of controls",
}
STEPS: Final = {
    "acquire": ("Acquire", "one frame: move, expose, read out"),
    "store": ("Store", "one visit until its frames are durable"),
    "segment": ("Segment", "objects of one field"),
    "measure": ("Measure", "features, spots and readouts of one field"),
    "decide": ("Decide", "one ask of the policy"),
    "image_to_decision": ("Image to decision", "from the last frame of a visit to the decision that used it"),
}


def render(content: ReportContent, report: Mapping[str, Any], pictures: Pictures | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    content : ReportContent
        The run.
    report : mapping
        What `build_report` made of it.
    pictures : callable, optional
        ``(well, field) -> FieldPicture or None``; asked for a few fields of a few wells. None: no thumbnails.

    Returns
    -------
    str
        A whole HTML document; encode it as UTF-8.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("phenoloop.watch"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, aligned=aligned, percent=percent, duration=duration, evidence=evidence)
    tally = Tally(content.plan).take_all(content.messages)
    values = well_values(report, content.plan.readouts)
    return environment.get_template("report.html.j2").render(
        report=report,
        verdict=verdict(report),
        exit=EXITS.get(report["exit"], report["exit"]),
        values=values,
        definition=content.definitions.get(values.readout or "", "") if values else "",
        calls=values.calls if values else CALLS,
        plate=draw_plate(content.plan, report, values),
        visits=draw_visits(tally, report),
        curves=draw_curves(report),
        found=draw_objects(report, pictures),
        phenotypes=draw_phenotypes(report),
        wells=_wells(content, report, values),
        columns=_columns(content),
        bands=draw_bands(report, values),
        evidence_said=evidence_said(report),
        plate_said=plate_said(report),
        lapse=draw_time_lapse(content.plan, content.messages, report),
        events=events_table(report),
        band=values.band if values else None,
        decisions=decision_rows(tally.decisions, content.messages),
        rules=rule_rows(tally.decisions, content.policy.get("parameters", {}), content.believes),
        few=few_objects(tally, report),
        pictures=thumbnails(report, tally, values, pictures) if values else None,
        stories=stories(tally, [well["well"] for well in in_order(report)]),
        groups=rejections(content.plan, content.setup, tally),
        not_accepted=sum(report["quality"][name] for name in ("rejected", "failed", "late")),
        faults=_faults(tally),
        denials=told_once(_denied(tally)),
        failures=[decided for decided in tally.decisions if decided.error],
        gaps=told_once(gap.reason for gap in tally.missing),
        steps=[(title, what, report["timing_ms"].get(step, {})) for step, (title, what) in STEPS.items()],
        budget=[_budget(name, entry) for name, entry in report["budget"].items()],
        provenance=list(_flat(report["provenance"])),
        policy=[(name, value) for name, value in _flat(report["policy"].get("parameters", {})) if value],
    )


# -- wells ------------------------------------------------------------------------------------------------------


def _columns(content: ReportContent) -> list[str]:
    """The first columns of the plate map that say something: at most three, constant ones left out."""
    found: dict[str, set[Any]] = defaultdict(set)
    for well in content.plan.wells:
        for column, value in well.properties.items():
            found[column].add(value)
    return [column for column, values in found.items() if len(values) > 1][:3]


def _wells(content: ReportContent, report: Mapping[str, Any], values: WellValues | None) -> list[dict[str, Any]]:
    properties = {well.name: well.properties for well in content.plan.wells}
    columns = _columns(content)
    return [
        well
        | {
            "shown": values.wells[well["well"]] if values else None,
            "sign": values.signs[well["well"]] if values else "",
            "properties": [_cell(properties[well["well"]].get(column)) for column in columns],
        }
        for well in in_order(report)
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return number(value, 4) if isinstance(value, float) else str(value)


# -- quality, faults, budget, provenance ------------------------------------------------------------------------


def _faults(tally: Tally) -> list[dict[str, Any]]:
    kinds: Counter[tuple[str, str]] = Counter((fault.call, fault.message) for fault in tally.faults)
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fault in tally.faults:
        if fault.channel:
            places[fault.call, fault.message].add(fault.channel)
    return [
        {"call": call, "message": message, "times": times, "channels": sorted(places[call, message])}
        for (call, message), times in kinds.most_common()
    ]


def _denied(tally: Tally) -> list[str]:
    """What guards and people said of the visits that they refused."""
    verdicts = (made.verdict for decided in tally.decisions for made in decided.proposals)
    return [verdict for verdict in verdicts if verdict != ACCEPTED]


def _budget(name: str, entry: Mapping[str, float | None]) -> dict[str, Any]:
    used, limit = entry["used"] or 0.0, entry["limit"]

    def shown(value: float) -> str:
        if name == "disk_bytes":
            return f"{value / 1e9:.3g} GB" if value >= 1e9 else f"{value / 1e6:.3g} MB"
        return duration(value) if name in ("duration_s", "light_s", "light_object_s") else f"{value:.0f}"

    return {
        "title": BUDGETS.get(name, name),
        "used": shown(used),
        "limit": "no limit" if limit is None else shown(limit),
        "left": "" if limit is None else shown(max(0.0, limit - used)),
        "note": _budget_note(name, entry),
        "share": None if not limit else min(1.0, used / limit),
    }


def _budget_note(name: str, entry: Mapping[str, float | None]) -> str:
    if name in ("light_s", "objective_changes"):
        total = entry["total"] or 0.0
        return f"{duration(total)} on all fields" if name == "light_s" else f"{total:.0f} in all"
    return f"{percent(entry['share'] or 0.0)} of the images" if name == "controls" else ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested values as (name, text): ``fast.hold``, ``rules.1.when``."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows.extend(_flat(value, f"{name}."))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            if any(isinstance(item, Mapping) for item in value):
                rows.extend(_flat({str(i): item for i, item in enumerate(value, 1)}, f"{name}."))
            else:
                rows.append((name, ", ".join(str(item) for item in value)))
        else:
            rows.append((name, "" if value is None else str(value)))
    return rows
