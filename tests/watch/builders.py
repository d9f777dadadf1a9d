"""A seeded run written by hand, message by message: what the report and the console are tested and looked at with."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from phenoloop.model import (
    Acquire,
    Answer,
    ChannelPlan,
    Decided,
    Fault,
    FieldPlace,
    FieldVisit,
    Interval,
    Limits,
    Measured,
    MeasurementFailed,
    Message,
    MissingFrame,
    Plan,
    ProfilePlan,
    ProposalRecord,
    RunEnded,
    RunStarted,
    Setup,
    StoredFrame,
    Visit,
    VisitEnded,
    WellAnswer,
    WellPlan,
    Why,
)
from phenoloop.watch.report_json import ReportContent
from phenoloop.watch.thumbnails import FieldPicture

CONTROLS = ("A1", "B4", "C2", "D5", "A6", "D1")
STRONG = {"B2": 6.5, "C4": 5.2, "A3": 4.4, "D3": 2.6}


def make_plan(*, rows: int = 4, columns: int = 6, side: int = 3, frames: int | None = 400) -> Plan:
    """24 wells of a 96-well plate by default, nine fields each, two channels."""
    wells = []
    for row in range(rows):
        for column in range(columns):
            name = f"{chr(65 + row)}{column + 1}"
            x, y = column * 9000.0, row * 9000.0
            places = tuple(
                FieldPlace(name=str(i), x_um=x + 600 * (i % side - 1), y_um=y + 600 * (i // side - 1))
                for i in range(side * side)
            )
            treatment = "vehicle" if name in CONTROLS else "agonist"
            wells.append(
                WellPlan(
                    name=name,
                    row=row,
                    column=column,
                    x_um=x,
                    y_um=y,
                    fields=places,
                    choice=tuple(range(len(places))),
                    properties={"treatment": treatment, "dose": 0.0 if name in CONTROLS else STRONG.get(name, 0.1)},
                )
            )
    channels = (
        ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=20),
        ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=80),
    )
    return Plan(
        name="find-vesicle-wells",
        seed=1,
        plate_rows=8,
        plate_columns=12,
        wells=tuple(wells),
        profiles={"main": ProfilePlan(name="main", channels=channels, pixel_size_um=0.325)},
        limits=Limits(frames=frames, duration_s=7200, disk_bytes=20_000_000_000, light_per_field_s=2.0),
        readouts=("vesicles", "cells"),
        virtual_clock=True,
    )


def make_setup(plan: Plan) -> Setup:
    return Setup(
        wells=tuple(well.name for well in plan.wells),
        fields=tuple(len(well.fields) for well in plan.wells),
        controls=tuple(name for name in CONTROLS if name in {well.name for well in plan.wells}),
        readout="vesicles",
        smallest=1.0,
        fields_per_visit=2,
        properties=tuple(well.properties for well in plan.wells),
    )


class RunBuilder:
    """Writes the messages of a run, one visit after the other."""

    def __init__(self, plan: Plan, seed: int = 1) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(seed)
        self.messages: list[Message] = [RunStarted(at_s=0.0, plan_hash="5c0ffee")]
        self.at_s = 0.0
        self._visit = 0
        self._decision = 0
        self._next = {well.name: 0 for well in plan.wells}
        self.true = {well.name: 1.2 + STRONG.get(well.name, 0.0) for well in plan.wells}

    def decide(self, wanted: list[tuple[str, Why, float]], *, fields: int = 2, stop: str = "", error: str = "") -> None:
        """One decision: each wanted well gets its next fields, or is denied when it has none left."""
        self._decision += 1
        records, visits = [], []
        for name, why, score in wanted:
            well = self.plan.well(name)
            first = self._next[name]
            names = tuple(place.name for place in well.fields[first : first + fields])
            if not names:
                verdict = f"all {len(well.fields)} fields of {name} were imaged"
                records.append(self._record(name, (), score, why, verdict, -1))
                continue
            self._next[name] = first + len(names)
            self._visit += 1
            records.append(self._record(name, names, score, why, "accepted", self._visit))
            visits.append(
                Visit(
                    number=self._visit,
                    decision=self._decision,
                    well=name,
                    profile="main",
                    fields=tuple(FieldVisit(field=f, t=0, image=first + i) for i, f in enumerate(names)),
                    channels=("DNA", "GFP"),
                )
            )
        self.messages.append(
            Decided(
                decision=self._decision,
                at_s=self.at_s,
                policy="hits",
                parameters={"fields_per_visit": fields, "explore": 0.1},
                asked=8,
                proposals=tuple(records),
                stop=stop,
                error=error,
            )
        )
        self.messages.extend(Acquire(at_s=self.at_s, visit=visit) for visit in visits)
        for visit in visits:
            self.image(visit)

    @staticmethod
    def _record(well: str, fields: tuple[str, ...], score: float, why: Why, verdict: str, visit: int) -> ProposalRecord:
        return ProposalRecord(
            well=well, profile="main", fields=fields, score=score, why=why, verdict=verdict, visit=visit
        )

    def image(self, visit: Visit) -> None:
        """The end of a visit and the results of its fields; about one field in twenty is rejected."""
        self.at_s += 1.4
        faults: tuple[Fault, ...] = ()
        frames, missing = visit.frames(), ()
        if visit.number in (9, 20):
            faults = (Fault(call="setXYPosition", message="stage did not arrive within 20 s", attempt=1),)
        if visit.number == 20:
            missing = (MissingFrame(address=frames[-1], reason="camera: no image within 20 s (3 attempts)"),)
            faults += (Fault(call="snapImage", message="no image within 20 s", attempt=3, field="1", channel="GFP"),)
            frames = frames[:-1]
        places = {place.name: place for place in self.plan.well(visit.well).fields}
        stored = tuple(
            StoredFrame(
                address=address,
                exposure_ms=20 if address.channel == "DNA" else 80,
                x_um=places[address.field].x_um,
                y_um=places[address.field].y_um,
                z_um=None,
                at_s=self.at_s,
            )
            for address in frames
        )
        wall = {
            "frames_ms": [float(24 + 6 * self.rng.random() + (60 if a.channel == "GFP" else 0)) for a in frames],
            "store_ms": float(9 + 4 * self.rng.random()),
        }
        light = {place.field: 0.1 for place in visit.fields}
        self.messages.append(
            VisitEnded(
                at_s=self.at_s,
                visit=visit.number,
                frames=stored,
                missing=missing,
                faults=faults,
                exposures=len(stored),
                light_s=light,
                wall=wall,
            )
        )
        gaps = {gap.address.field for gap in missing}
        for place in visit.fields:
            if place.field not in gaps:
                self._measure(visit, place.field)

    def _measure(self, visit: Visit, field: str) -> None:
        at_s = self.at_s + 0.2
        if visit.number == 14 and field == visit.fields[0].field:
            reason = "no result within 10 s"
            self.messages.append(
                MeasurementFailed(at_s=at_s, visit=visit.number, field=field, reason=reason, kind="late")
            )
            return
        rejected = self.rng.random() < 0.05
        cells = int(self.rng.integers(1, 8) if rejected else self.rng.integers(60, 140))
        value = round(float(self.true[visit.well] + self.rng.normal(0, 0.35)), 4)
        self.messages.append(
            Measured(
                at_s=at_s,
                visit=visit.number,
                field=field,
                status="qc_fail" if rejected else "ok",
                readouts={"vesicles": value, "cells": float(cells)},
                quality={"objects": float(cells), "saturated": 0.0},
                reason="too few objects (at least 10)" if rejected else "",
                objects=cells,
                wall={
                    "segment": float(16 + 9 * self.rng.random()),
                    "measure": float(7 + 5 * self.rng.random()),
                    "image_to_decision": float(60 + 80 * self.rng.random()),
                    "decide": float(0.4 + self.rng.random()),
                },
            )
        )

    def end(self, exit: str = "completed", reason: str = "no further image would change a call") -> None:
        self.messages.append(RunEnded(at_s=self.at_s, exit=exit, reason=reason))


def make_messages(plan: Plan, *, seed: int = 1) -> list[Message]:
    """A hits run: controls first, each well once, then the wells in doubt."""
    run = RunBuilder(plan, seed)
    names = [well.name for well in plan.wells]
    controls = [name for name in names if name in CONTROLS]
    others = [name for name in names if name not in controls]
    first = Why(
        rule="controls first",
        text="A control well without images: no call can be made before the controls are known.",
        numbers={"control_wells_imaged": 0.0},
    )
    run.decide([(name, first, 1e6 - i) for i, name in enumerate(controls)])
    for start in range(0, len(others), 8):
        wanted = []
        for i, name in enumerate(others[start : start + 8]):
            text = f"{name} has no image yet; every well is seen once before any is seen again."
            why = Why(rule="unseen", text=text, numbers={"fields": 0.0}, instead=others[(start + i + 8) % len(others)])
            wanted.append((name, why, 1000.0 - start - i))
        run.decide(wanted)
    for turn in range(3):
        doubtful = [name for name in ("B2", "C4", "A3", "D3", "C1", "B6") if turn < 2 or name in ("D3", "B6")]
        wanted = []
        for i, name in enumerate(doubtful):
            evidence = 3.0 * (turn + 1) + i
            why = Why(
                rule="likely to change a call",
                text=f"Evidence for {name} is {evidence:.3g} and needs {480:.3g}; two more fields would bring it there "
                f"with probability {0.71 - 0.05 * i:.2f}.",
                numbers={"evidence": evidence, "needed": 480.0, "p_change": 0.71 - 0.05 * i},
                instead="C5",
            )
            wanted.append((name, why, 0.71 - 0.05 * i))
        if turn == 1:
            why = Why(rule="explore", text="One visit in ten goes to a well at random.", numbers={"share": 0.1})
            wanted.append(("C6", why, 0.05))
            run._next["C6"] = 9
        run.decide(wanted)
    run.decide([], stop="no further image would change a call")
    run.end()
    return run.messages


def make_answer(plan: Plan, messages: list[Message], *, enough_controls: bool = True) -> Answer:
    """A plausible answer of the right shape; its numbers come from the messages, more simply than the real ones."""
    wells = {m.visit.number: m.visit.well for m in messages if isinstance(m, Acquire)}
    values: dict[str, list[float]] = {well.name: [] for well in plan.wells}
    for message in messages:
        if isinstance(message, Measured) and message.status == "ok":
            value = message.readouts["vesicles"]
            assert value is not None
            values[wells[message.visit]].append(value)
    null = [value for name in CONTROLS for value in values.get(name, [])]
    mean, sd = float(np.mean(null)), float(np.std(null))
    order = sorted((name for name in values if values[name]), key=lambda name: -float(np.mean(values[name])))
    answers = {}
    for name, seen in values.items():
        if not seen:
            answers[name] = WellAnswer(call=None, evidence=None, rank=None, interval=None)
            continue
        z = (float(np.mean(seen)) - mean) / sd * math.sqrt(len(seen))
        half = 2.4 * sd / math.sqrt(len(seen))
        interval = Interval(
            mean=float(np.mean(seen)),
            low=float(np.mean(seen)) - half,
            high=float(np.mean(seen)) + half,
            n=len(seen),
            level=0.95,
            kind="confidence sequence",
            unit="well",
            valid_when_peeking=True,
        )
        evidence = float(np.exp(np.clip(z * 1.2 - 2, -4, 30)))
        call = "hit" if evidence > 480 else "undecided" if evidence > 4 else "no_hit"
        if name in CONTROLS or not enough_controls:
            call = "no_hit" if enough_controls else None
        answers[name] = WellAnswer(call=call, evidence=evidence, rank=order.index(name) + 1, interval=interval)
    notes = (
        "E-values against an upper bound of the controls' spread; e-BH over 18 wells, valid at any stopping time.",
    )
    if not enough_controls:
        notes = ("Three control wells are too few to call hits (6 are needed): wells are ranked only.",)
    summary = {"control_mean": mean, "control_sd": sd, "control_wells": len(CONTROLS)}
    return Answer(wells=answers, summary=summary, notes=notes)


def make_content(*, seed: int = 1, question: bool = True, enough_controls: bool = True) -> ReportContent:
    """A finished run."""
    plan = make_plan()
    messages = make_messages(plan, seed=seed)
    stored = sum(len(message.frames) for message in messages if isinstance(message, VisitEnded))
    setup = make_setup(plan)
    if not question:
        setup = dataclasses.replace(setup, controls=(), readout=None)
    parameters = {
        "readout": "vesicles",
        "controls": "treatment == 'vehicle'",
        "change": "up",
        "smallest": 1.0,
        "false_hits": 0.05,
    }
    return ReportContent(
        run="find-vesicle-wells-20261120T161455Z",
        plan=plan,
        setup=setup,
        messages=messages,
        stored_on_disk=stored,
        answer=make_answer(plan, messages, enough_controls=enough_controls) if question else None,
        question={"kind": "hits", "parameters": parameters} if question else None,
        policy={"kind": "hits", "parameters": {"fields_per_visit": 2, "wells_per_batch": 8, "explore": 0.1}},
        provenance={
            "phenoloop": "0.1.0",
            "python": "3.11.7",
            "seed": 1,
            "protocol_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "microscope": {
                "name": "demo",
                "config_sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            },
        },
    )


def make_picture(well: str, field: str, *, size: int = 512) -> FieldPicture:
    """Nuclei in DNA, a haze with spots in GFP, and the labels of both."""
    rng = np.random.default_rng([ord(well[0]), int(well[1:]), int(field)])
    y, x = np.mgrid[:size, :size].astype(np.float32)
    dna = np.full((size, size), 300, np.float32)
    gfp = np.full((size, size), 350, np.float32)
    cells = np.zeros((size, size), np.int32)
    spots = np.zeros((size, size), np.int32)
    count = 0
    centres: list[tuple[float, float]] = []
    while len(centres) < size * size // 3000:
        cy, cx = rng.uniform(0, size, 2)
        if all((cy - b) ** 2 + (cx - a) ** 2 > 30**2 for b, a in centres):
            centres.append((cy, cx))
        elif rng.random() < 0.01:
            break
    for label, (cy, cx) in enumerate(centres, 1):
        near = _around(cy, cx, 40, size)
        dy, dx = y[near] - cy, x[near] - cx
        angle, major = rng.uniform(0, np.pi), rng.uniform(9, 13)
        u = dx * np.cos(angle) + dy * np.sin(angle)
        v = dy * np.cos(angle) - dx * np.sin(angle)
        inside = (u / major) ** 2 + (v / (major * 0.75)) ** 2
        dna[near] += 2200 * rng.uniform(0.6, 1.2) / (1 + np.exp(np.minimum(6 * (inside - 1), 60)))
        gfp[near] += 500 * np.exp(-inside / 4)
        cells[near][inside < 1] = label
        for _ in range(rng.poisson(1.2 + STRONG.get(well, 0.0))):
            sy, sx = rng.normal((cy, cx), 14)
            spot = _around(sy, sx, 8, size)
            square = (y[spot] - sy) ** 2 + (x[spot] - sx) ** 2
            gfp[spot] += 2400 * rng.uniform(0.6, 1.3) * np.exp(-square / 5)
            count += 1
            spots[spot][square < 6] = count
    image = np.stack([dna, gfp])
    image = rng.poisson(image) + rng.normal(0, 12, image.shape)
    return FieldPicture(
        image=np.clip(image, 0, 65535).astype(np.uint16),
        channels=("DNA", "GFP"),
        labels={"nuclei": cells, "vesicles": spots},
    )


def _around(y: float, x: float, reach: int, size: int) -> tuple[slice, slice]:
    """The window around a place, clipped to the picture."""
    row, column = int(y), int(x)
    rows = slice(max(0, row - reach), max(0, min(size, row + reach)))
    return rows, slice(max(0, column - reach), max(0, min(size, column + reach)))
