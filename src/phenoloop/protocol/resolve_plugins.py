"""The plug-ins that a protocol names: which classes, from which files, and that each of them can be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phenoloop.errors import ProtocolError, UsageError
from phenoloop.model import Plan, Setup
from phenoloop.plugins import Registry, own_files
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.blocks import PluginBlock
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.plugin_blocks import Chosen, anchored, choose, unmet
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.resolve_specimen import Specimen
from phenoloop.protocol.yaml_source import Source


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plug-ins of a protocol but for the specimen; None is none, or one that is wrong."""

    policy: Chosen | None
    fallback: Chosen | None
    question: Chosen | None
    segmenter: Chosen | None

    def files(self, base: Path) -> list[Path]:
        """Return the files beside the protocol that they come from."""
        parts = [one for one in (self.policy, self.fallback, self.question, self.segmenter) if one is not None]
        return own_files([target for one in parts for target in one.targets], base)


def choose_plugins(protocol: Protocol, registry: Registry, source: Source, problems: Problems) -> Plugins:
    """Return the plug-ins of a protocol of the right shape."""

    def find(group: str, block: PluginBlock | None, *path: str, defaults: Mapping[str, Any] | None = None) -> Any:
        if block is None:
            return None
        return choose(group, block, registry, source, problems, path, defaults)

    policy = find("policies", protocol.policy, "policy")
    # A fallback goes on in the same steps unless it says otherwise.
    shape = {} if policy is None else {key: getattr(policy.params, key) for key in PolicyParams.model_fields}
    shape = {key: value for key, value in shape.items() if not isinstance(value, str)}  # "auto" is one policy's own
    return Plugins(
        policy=policy,
        fallback=find("policies", protocol.fallback, "fallback", defaults=shape),
        question=find("questions", protocol.question, "question"),
        segmenter=None
        if protocol.analysis is None
        else find("segmenters", protocol.analysis.segment, "analysis", "segment"),
    )


def check_blocks(source: Source, registry: Registry, problems: Problems) -> None:
    """Check the keys inside plug-in blocks of a protocol that is wrong elsewhere."""
    for group, key in (("policies", "policy"), ("policies", "fallback"), ("questions", "question")):
        block = source.data.get(key)
        if isinstance(block, dict) and isinstance(block.get("kind"), str):
            choose(group, PluginBlock.model_validate(block), registry, source, problems, (key,))


def try_to_build(
    plan: Plan, setup: Setup, chosen: Plugins, specimen: Specimen | None, source: Source, problems: Problems
) -> None:
    """Build every plug-in once and let it go, so that what only its constructor checks is found now."""
    parts = (("policy", chosen.policy), ("fallback", chosen.fallback), ("question", chosen.question))
    for key, part in parts:
        if part is None:
            continue
        if unmet(part, part.plugin, setup, key, source, problems):
            continue
        try:
            built = part.plugin(part.plugin.Params(**part.parameters), setup)
            unmet(part, built, setup, key, source, problems)
            for name in ("try_out", "try_alone"):
                if (attempt := getattr(built, name, None)) is not None:
                    attempt()
        except (ProtocolError, ValueError) as error:
            problems.add(*anchored(error, source, (key,)))
    if chosen.segmenter is not None:
        segmenter = chosen.segmenter
        try:
            segmenter.plugin(segmenter.plugin.Params(**segmenter.parameters))
        except (ProtocolError, UsageError, ValueError) as error:  # no weights, say
            problems.add(*anchored(error, source, ("analysis", "segment")))
    if specimen is not None:
        try:
            specimen.chosen.plugin(specimen.plan.parameters, plan)
        except (ProtocolError, ValueError) as error:
            problems.add(*anchored(error, source, ("simulation",)))
