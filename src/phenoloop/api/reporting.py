"""`report`: from the run folder alone, journal first, to ``report.json`` and ``report.html``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from phenoloop.api.live import EXIT_CODES, RunResult
from phenoloop.api.resolved import Resolved
from phenoloop.core import Machine, fold
from phenoloop.model import Acquire, AnalysisPlan, VisitEnded
from phenoloop.platform import write_atomically
from phenoloop.storage.images import RunImages
from phenoloop.storage.journal import read
from phenoloop.storage.run_folder import RunFolder
from phenoloop.watch.report_html import render
from phenoloop.watch.report_json import ReportContent, build_report
from phenoloop.watch.report_pictures import Pictures
from phenoloop.watch.thumbnails import FieldPicture


def report(run: Path) -> RunResult:
    """Make ``report.json`` and ``report.html`` of a run, finished or not.

    Parameters
    ----------
    run : Path
        A run folder.

    Raises
    ------
    UsageError
        If it is no run folder.
    JournalError
        If its journal cannot be trusted.
    """
    return make_report(RunFolder.open(run))


def make_report(folder: RunFolder) -> RunResult:
    """Write both reports into a run folder and return them."""
    resolved = Resolved.from_json(folder.resolved.read_bytes(), str(folder.resolved))
    messages = read(folder.journal).messages
    machine = fold(messages, resolved.plan, resolved.decider()).machine if messages else None
    accepted = [] if machine is None else machine.accepted()
    question = resolved.build_question()
    images = RunImages(folder.images_folder, resolved.plan, bit_depth=resolved.analysis.bit_depth)
    content = ReportContent(
        run=folder.name,
        plan=resolved.plan,
        setup=resolved.setup,
        messages=messages,
        stored_on_disk=images.count_stored(),
        answer=None if question is None else question.answer(accepted),
        question=None
        if resolved.question is None
        else {"kind": resolved.question.kind, "parameters": dict(resolved.question.parameters)},
        policy={"kind": resolved.policy.kind, "parameters": dict(resolved.policy.parameters)},
        definitions=dict(resolved.analysis.readouts),
        believes={} if machine is None else _believes(machine),
        provenance={
            "seed": resolved.plan.seed,
            "plan_hash": resolved.plan_hash,
            "protocol_sha256": resolved.protocol_sha256,
            "sources": dict(resolved.sources),
            "environment": dict(resolved.environment),
        },
    )
    made = build_report(content)
    write_atomically(folder.report_json, json.dumps(made, indent=1, allow_nan=False).encode())
    page = render(content, made, _pictures(content, images, resolved))
    write_atomically(folder.report_html, page.encode("utf-8"))
    return RunResult(folder=folder, report=made, exit_code=EXIT_CODES[made["exit"]])


def _believes(machine: Machine) -> dict[str, object]:
    """Return what the policy says of itself, or why it says nothing."""
    try:
        return dict(machine.report())
    except Exception as error:  # a policy may be foreign code, and its account must not cost the report
        return {"error": f"{type(error).__name__}: {error}"}


def _pictures(content: ReportContent, images: RunImages, resolved: Resolved) -> Pictures:
    """Return a function that reads the pixels and labels of a field's last complete visit from disk."""
    visits = {message.visit.number: message.visit for message in content.messages if isinstance(message, Acquire)}
    last: dict[tuple[str, str], int] = {}
    for message in content.messages:
        if isinstance(message, VisitEnded):
            missing = {frame.address.field for frame in message.missing}
            visit = visits[message.visit]
            for place in visit.fields:
                # In a time-lapse not every visit has every channel, and further profiles may have few.
                whole = all(place.t % every == 0 for every in visit.every)
                best = visit.profile == "main" or visits[last.get((visit.well, place.field), message.visit)] is visit
                if place.field not in missing and whole and best:
                    last[visit.well, place.field] = message.visit
    names = {profile: _label_names(plan) for profile, plan in resolved.analysis_by_profile.items()}

    def picture(well: str, field: str) -> FieldPicture | None:
        if (well, field) not in last:
            return None
        visit = visits[last[well, field]]
        addresses = [address for address in visit.frames() if address.field == field]
        planes = {address: images.read(address) for address in addresses}
        if any(plane is None for plane in planes.values()):
            return None
        stacks = [
            np.max(
                [plane for address, plane in planes.items() if address.channel == channel and plane is not None], axis=0
            )
            for channel in visit.channels
        ]
        read = {name: images.read_labels(name, addresses[0]) for name in names[visit.profile]}
        labels = {name: found for name, found in read.items() if found is not None}
        return FieldPicture(
            image=np.stack(stacks),
            channels=visit.channels,
            labels=labels,
            visit=visit.number,
            pixel_um=content.plan.profiles[visit.profile].pixel_size_um,
        )

    return picture


def _label_names(plan: AnalysisPlan) -> list[str]:
    return [] if plan.segment is None else [plan.segment.name, *(spots.name for spots in plan.spots)]
