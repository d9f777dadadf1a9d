"""A protocol that passed every check: all of it in plain data, and the hash of what determines decisions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phenoloop.model import AnalysisPlan, MicroscopePlan, Plan, Setup, SimulationPlan
from phenoloop.protocol.models import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A protocol as understood.

    Attributes
    ----------
    protocol : Protocol
        The file's content, validated.
    plan, analysis, microscope : Plan, AnalysisPlan, MicroscopePlan
        What the core, the analysis of ``main`` and the microscope are told.
    analyses : mapping of str to AnalysisPlan
        Of the profiles beside ``main``.
    simulation : SimulationPlan or None
        What stands in for the specimen; None on a real one.
    setup : Setup
        What a policy and a question are told.
    policy_kind, policy_target, policy_parameters
        The policy: kind, ``"module:Class"``, JSON-ready parameters in base units. Likewise for `fallback` and
        `question`; the question's are None, None and empty without one.
    text : str
        The file as given.
    path : Path or None
        Where it was read; None for text.
    sources : mapping of str to str
        Every file that was read, with its SHA-256.
    """

    protocol: Protocol
    plan: Plan
    analysis: AnalysisPlan
    microscope: MicroscopePlan
    simulation: SimulationPlan | None
    setup: Setup
    policy_kind: str
    policy_target: str
    policy_parameters: Mapping[str, Any]
    fallback_kind: str
    fallback_target: str
    fallback_parameters: Mapping[str, Any]
    question_kind: str | None
    question_target: str | None
    question_parameters: Mapping[str, Any]
    text: str
    path: Path | None
    sources: Mapping[str, str]
    analyses: Mapping[str, AnalysisPlan] = dataclasses.field(default_factory=dict)


def _chosen(loaded: Loaded) -> dict[str, Any]:
    return {
        name: {
            "kind": getattr(loaded, f"{name}_kind"),
            "target": getattr(loaded, f"{name}_target"),
            "parameters": dict(getattr(loaded, f"{name}_parameters")),
        }
        for name in ("policy", "fallback", "question")
    }


def plan_hash(loaded: Loaded) -> str:
    """Return the SHA-256 of everything that determines decisions; not of the host, its paths or its workers."""
    analysis = _deciding(loaded.analysis)
    simulation = None
    if loaded.simulation is not None:
        parameters = dict(loaded.simulation.parameters)
        # A file stands for its content, wherever it lies.
        parameters = {key: _content(value, loaded.sources) for key, value in parameters.items()}
        simulation = {"kind": loaded.simulation.kind, "parameters": parameters}
    content = {
        "plan": _plain(loaded.plan),
        "analysis": analysis,
        "simulation": simulation,
        "setup": _plain(loaded.setup),
        **_chosen(loaded),
    }
    if loaded.analyses:
        content["analyses"] = {name: _deciding(plan) for name, plan in loaded.analyses.items()}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _deciding(plan: AnalysisPlan) -> dict[str, Any]:
    analysis = _plain(plan)
    for key in ("workers", "executor"):
        del analysis[key]
    return analysis


def _content(value: Any, sources: Mapping[str, str]) -> Any:
    return sources.get(value, value) if isinstance(value, str) else value


def _plain(part: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(part)))
    return found
