"""``resolved.json``: a protocol as understood, complete enough to resume, replay and report without any other file."""

from __future__ import annotations

import importlib
import json
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import phenoloop
from phenoloop.core import Decider, NamedPolicy
from phenoloop.errors import PluginError, UsageError
from phenoloop.model import AnalysisPlan, MicroscopePlan, Plan, Setup, SimulationPlan
from phenoloop.plugins import look_beside
from phenoloop.ports import Policy, Question, Specimen
from phenoloop.protocol import Loaded, plan_hash

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "pymmcore-plus",
    "pymmcore",
    "useq-schema",
    "tensorstore",
)
"""Whose versions a run records, because its pixels or its decisions may depend on them."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A plug-in as a run remembers it: ``Class(Class.Params(**parameters), setup)`` of `target`."""

    kind: str
    target: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def build(self, setup: Setup) -> Any:
        """Import the class and build it.

        Raises
        ------
        PluginError
            If it is not installed here.
        UsageError
            If the parameters are not its own.
        """
        found = load_target(self.target)
        try:
            parameters = found.Params(**self.parameters)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise UsageError(f"{self.kind}: {problems}") from error
        return found(parameters, setup)


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """All that determines a run.

    Attributes
    ----------
    protocol_sha256 : str
        Of ``protocol.yaml``, to notice that it was edited since.
    base : str
        Folder of the original protocol, for its relative paths.
    plan_hash : str
        Over everything that determines decisions.
    sources : mapping of str to str
        Other files that were read, with their hashes.
    environment : mapping of str to str
        Versions and host, for people.
    analyses : mapping of str to AnalysisPlan
        Of the profiles beside ``main``.
    """

    protocol_sha256: str
    base: str
    plan_hash: str
    plan: Plan
    analysis: AnalysisPlan
    microscope: MicroscopePlan
    setup: Setup
    policy: Built
    fallback: Built
    simulation: SimulationPlan | None = None
    question: Built | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    analyses: Mapping[str, AnalysisPlan] = field(default_factory=dict)

    @property
    def analysis_by_profile(self) -> dict[str, AnalysisPlan]:
        """The analysis of every profile."""
        return {"main": self.analysis, **self.analyses}

    @classmethod
    def of(cls, loaded: Loaded, protocol_sha256: str) -> Resolved:
        """Take what matters from a loaded protocol."""
        question = None
        if loaded.question_kind is not None and loaded.question_target is not None:
            question = Built(
                kind=loaded.question_kind, target=loaded.question_target, parameters=loaded.question_parameters
            )
        return cls(
            protocol_sha256=protocol_sha256,
            base=str((loaded.path.parent if loaded.path is not None else Path.cwd()).resolve()),
            plan_hash=plan_hash(loaded),
            plan=loaded.plan,
            analysis=loaded.analysis,
            microscope=loaded.microscope,
            simulation=loaded.simulation,
            setup=loaded.setup,
            policy=Built(kind=loaded.policy_kind, target=loaded.policy_target, parameters=loaded.policy_parameters),
            fallback=Built(
                kind=loaded.fallback_kind, target=loaded.fallback_target, parameters=loaded.fallback_parameters
            ),
            question=question,
            sources=loaded.sources,
            environment=environment(),
            analyses=loaded.analyses,
        )

    def to_json(self) -> bytes:
        """Return the file's content."""
        return _ADAPTER.dump_json(self, indent=1)

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Resolved:
        """Read the file's content.

        Raises
        ------
        UsageError
            If it is not what this version writes.
        """
        try:
            return _ADAPTER.validate_python(json.loads(data))
        except (ValueError, ValidationError) as error:
            raise UsageError(
                f"{where} cannot be read ({str(error).splitlines()[0]}); it was written by another version or damaged. "
                "Use the version of phenoloop that made the run."
            ) from error

    def decider(self) -> Decider:
        """Build policy and fallback afresh."""
        look_beside(Path(self.base))
        return Decider(self._named(self.policy), self._named(self.fallback), self.plan)

    def build_question(self) -> Question | None:
        """Build the question, if the protocol asked one."""
        if self.question is None:
            return None
        look_beside(Path(self.base))
        question: Question = self.question.build(self.setup)
        return question

    def build_specimen(self) -> Specimen | None:
        """Build what stands in for the specimen, if anything does."""
        if self.simulation is None:
            return None
        specimen: Specimen = load_target(self.simulation.target)(self.simulation.parameters, self.plan)
        return specimen

    def _named(self, built: Built) -> NamedPolicy:
        policy: Policy = built.build(self.setup)
        return NamedPolicy(kind=built.kind, parameters=built.parameters, policy=policy)


_ADAPTER = TypeAdapter(Resolved)


def load_target(target: str) -> Any:
    """Import ``module:attribute``.

    Raises
    ------
    PluginError
        If it is not installed here.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{target} cannot be loaded: {error}. Install the package that holds it.") from error


def environment() -> dict[str, str]:
    """Return versions and host."""
    found = {
        "phenoloop": phenoloop.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "host": socket.gethostname(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
