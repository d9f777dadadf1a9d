"""The whole as a run sees it: one plan of what may be done, and what of it policies and questions are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from phenoloop.model import Plan, Setup, TrustPlan, WellPlan
from phenoloop.numerics.pace import fields_of_a_visit
from phenoloop.protocol.geometry import PlateGeometry
from phenoloop.protocol.microscope_file import Microscope
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.plugin_blocks import Chosen
from phenoloop.protocol.resolve_limits import batch_of, plan_autonomy, plan_limits, room_of
from phenoloop.protocol.resolve_profiles import Ways
from phenoloop.protocol.resolve_specimen import Specimen


def plan_run(
    protocol: Protocol,
    microscope: Microscope,
    wells: Sequence[WellPlan],
    ways: Ways,
    specimen: Specimen | None,
    policy: Chosen,
    geometry: PlateGeometry,
    controls: tuple[str, ...],
    trust: TrustPlan,
) -> Plan:
    """Return the plan of a run."""
    analysis = protocol.analysis
    autonomy = plan_autonomy(protocol.autonomy)
    return Plan(
        name=protocol.name,
        seed=protocol.seed,
        plate_rows=geometry.rows,
        plate_columns=geometry.columns,
        wells=tuple(wells),
        profiles=ways.profiles,
        stage=microscope.stage_box(),
        limits=plan_limits(protocol.limits),
        controls=controls,
        autonomy=autonomy,
        batch=batch_of(policy),
        in_flight=room_of(policy, autonomy),
        readouts=tuple(analysis.readouts) if analysis is not None else (),
        once=specimen is not None and specimen.info is not None and specimen.info.once,
        retries=0 if protocol.analysis is None else protocol.analysis.quality.retries,
        virtual_clock=specimen is not None,
        analysis_latency_s=specimen.latency_s if specimen is not None else 0.2,
        deadline_s=analysis.deadline if analysis is not None else 10.0,
        frame_bytes=ways.frame_bytes,
        cost=microscope.cost(),
        well_shape=geometry.well_shape(),
        trust=trust,
    )


def setup_of(
    plan: Plan,
    ways: Ways,
    question: Chosen | None,
    about: str | None,
    controls: Sequence[str],
    plateau: Sequence[str],
    policy: Chosen,
) -> Setup:
    """Return what policies and questions are told before the run."""
    profile = ways.analyses["main"].profile
    asked = question.params if question is not None else None
    confidence = getattr(asked, "confidence", None)
    level = getattr(asked, "false_hits", None if confidence is None else round(1 - confidence, 12))
    per_visit = getattr(policy.params, "fields_per_visit", 1)
    setup = Setup(
        wells=tuple(well.name for well in plan.wells),
        fields=tuple(len(well.fields) for well in plan.wells),
        controls=tuple(controls),
        readout=about,
        change=getattr(asked, "change", "up"),
        smallest=getattr(asked, "smallest", 0.0),
        level=0.05 if level is None else level,
        fields_per_visit=per_visit if isinstance(per_visit, int) else 1,
        batch=plan.batch,
        frames_per_field=plan.profiles["main"].frames_per_field,
        seed=plan.seed,
        properties=tuple(well.properties for well in plan.wells),
        along=getattr(asked, "along", None),
        by=getattr(asked, "by", None),
        plateau=tuple(plateau),
        plate_rows=plan.plate_rows,
        plate_columns=plan.plate_columns,
        profile_features=() if profile is None else profile.columns,
        field_names=tuple(tuple(well.fields[i].name for i in well.choice) for well in plan.wells),
        readouts=plan.readouts,
        profiles=plan.profiles,
        light_per_field_s=plan.limits.light_per_field_s,
        places=tuple(well.fields for well in plan.wells),
        cost=plan.cost,
        limits=plan.limits,
        objects=ways.objects,
    )
    return setup if isinstance(per_visit, int) else replace(setup, fields_per_visit=fields_of_a_visit(setup))
