"""A policy as it is named (a kind, a kind with parameters, or a file), put in the place of a protocol's own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from phenoloop.api.resolved import Built, Resolved
from phenoloop.errors import Problem, ProtocolError, UsageError
from phenoloop.plugins import Registry
from phenoloop.protocol.blocks import PluginBlock
from phenoloop.protocol.plugin_blocks import Chosen, anchored, choose, unmet
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.resolve_limits import batch_of, room_of
from phenoloop.protocol.yaml_reader import read
from phenoloop.protocol.yaml_source import Path as Place
from phenoloop.protocol.yaml_source import Source

_WITH_PARAMETERS: Final = re.compile(r"(?s)(?P<kind>[^{}]+?)\s*:\s*(?P<parameters>\{.*\})\s*")


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A policy that takes part in a comparison.

    Attributes
    ----------
    name : str
        What it is called.
    chosen : Chosen or None
        The plug-in; None for the protocol's own policy.
    source, path : Source, tuple
        Where its block stands.
    """

    name: str
    chosen: Chosen | None
    source: Source
    path: Place = ()

    def apply(self, resolved: Resolved) -> Resolved:
        """Return a protocol as understood, with this policy in the place of its own.

        Raises
        ------
        ProtocolError
            If the policy cannot work with this protocol.
        """
        policy = self.chosen
        if policy is None:
            return resolved
        batch = batch_of(policy)
        plan = dataclasses.replace(resolved.plan, batch=batch, in_flight=room_of(policy, resolved.plan.autonomy))
        per_visit = getattr(policy.params, "fields_per_visit", 1)
        setup = dataclasses.replace(
            resolved.setup, fields_per_visit=per_visit if isinstance(per_visit, int) else 1, batch=batch
        )
        built = Built(kind=policy.kind, target=policy.target, parameters=policy.parameters)
        return dataclasses.replace(resolved, plan=plan, setup=setup, policy=built)

    def require(self, resolved: Resolved) -> None:
        """Refuse a policy that this protocol cannot feed, before anything is computed.

        Raises
        ------
        ProtocolError
            With what is wrong, at its place in what was typed.
        """
        problems = Problems()
        setup = self.apply(resolved).setup
        if self.chosen is None:
            return
        try:
            if not unmet(self.chosen, self.chosen.plugin, setup, "policy", self.source, problems):
                built = self.chosen.plugin(self.chosen.plugin.Params(**self.chosen.parameters), setup)
                unmet(self.chosen, built, setup, "policy", self.source, problems)
                for name in ("try_out", "try_alone"):
                    if (attempt := getattr(built, name, None)) is not None:
                        attempt()
        except (ProtocolError, ValueError) as error:
            problems.add(*anchored(error, self.source, self.path))
        problems.stop()


def contestants(named: Sequence[str], resolved: Resolved, registry: Registry) -> list[Contestant]:
    """Return the policies that were named; the protocol's own where none was.

    Parameters
    ----------
    named : sequence of str
        ``hits``, ``hits:{explore: 0.2}``, or the path of a YAML file: a policy block, or a protocol.
    resolved : Resolved
        The protocol.
    registry : Registry
        What is installed.

    Raises
    ------
    UsageError, ProtocolError
        If one cannot be read, is unknown, has a wrong parameter, or was named twice.
    """
    if not named:
        return [Contestant(name=resolved.policy.kind, chosen=None, source=Source(file="the protocol", lines=[]))]
    found = [_contestant(text, registry) for text in named]
    names = [one.name for one in found]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"--policy {twice[0]} is given twice; a policy against itself says nothing.")
    for one in found:
        one.require(resolved)
    return found


def _contestant(text: str, registry: Registry) -> Contestant:
    path = Path(text)
    if path.suffix.lower() in (".yaml", ".yml"):
        try:
            content = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--policy {text}: the file cannot be read ({error}).") from error
        source = read(content, text, what="policy")
        place: Place = ("policy",) if "policy" in source.data else ()
        block = source.data.get("policy", source.data)
        return Contestant(name=path.stem, chosen=_chosen(block, registry, source, place), source=source, path=place)
    matched = _WITH_PARAMETERS.fullmatch(text)
    kind = text.strip() if matched is None else matched["kind"].strip()
    given = f"{{kind: {kind}}}" if matched is None else matched["parameters"]
    source = read(f"policy: {given}\n", f"--policy {text}", what="policy")
    block = {**source.data["policy"], "kind": kind}
    place = ("policy",)
    return Contestant(name=text.strip(), chosen=_chosen(block, registry, source, place), source=source, path=place)


def _chosen(block: Any, registry: Registry, source: Source, path: Place) -> Chosen:
    if not isinstance(block, dict) or not isinstance(block.get("kind"), str):
        raise ProtocolError(Problem("this is no policy: it needs a `kind`, such as {kind: hits}", source.file))
    problems = Problems()
    return problems.need(choose("policies", PluginBlock.model_validate(block), registry, source, problems, path))
