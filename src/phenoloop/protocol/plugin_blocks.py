"""A block with a `kind`: which class it names, and its other keys checked by that class's own `Params`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from phenoloop.errors import PluginError, Problem, ProtocolError
from phenoloop.plugins import Registry
from phenoloop.protocol.models import PluginBlock
from phenoloop.protocol.problems import Problems, keys, validate
from phenoloop.protocol.yaml_source import Path, Source


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plug-in that a block names, with its parameters.

    Attributes
    ----------
    kind : str
        As the protocol writes it.
    target : str
        ``"module:Class"``.
    plugin : type
        The class itself.
    params : BaseModel
        Its parameters, validated.
    """

    kind: str
    target: str
    plugin: Any
    params: BaseModel
    parameters: Mapping[str, Any] = field(default_factory=dict)


def choose(
    group: str,
    block: PluginBlock,
    registry: Registry,
    source: Source,
    problems: Problems,
    path: Path,
    defaults: Mapping[str, Any] | None = None,
) -> Chosen | None:
    """Return the plug-in that a block names, or None if anything was wrong.

    Parameters
    ----------
    group : str
        Group of the registry.
    block : PluginBlock
        The block.
    registry : Registry
        What is installed.
    source, path : Source, tuple
        Where the block stands.
    problems : Problems
        Gets what is wrong.
    defaults : mapping, optional
        Parameters, already in base units, that hold where the block does not say otherwise.
    """
    try:
        found = registry.find(group, block.kind)
        plugin = found.load()
    except PluginError as error:
        problems.add(source.problem((*path, "kind"), str(error)))
        return None
    model = getattr(plugin, "Params", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        problems.add(
            source.problem((*path, "kind"), f"{found.target} has no pydantic model `Params`: it is no plug-in")
        )
        return None
    given = block.given | ({"kind": block.kind} if "kind" in model.model_fields else {})
    params = validate(model, given, source, problems, path, also=keys(type(block)))
    if params is None:
        return None
    absent = {
        key: value
        for key, value in (defaults or {}).items()
        if key in model.model_fields and key not in params.model_fields_set
    }
    if absent:
        params = model.model_validate({**params.model_dump(), **absent})
    return Chosen(block.kind, found.target, plugin, params, params.model_dump(mode="json"))


def anchored(error: Exception, source: Source, path: Path) -> list[Problem]:
    """Return the problems of a plug-in's own refusal, put at the key that it names, or at its block."""
    if isinstance(error, ProtocolError):
        found = []
        for problem in error.problems:
            keys = tuple(problem.where.split(".")) if problem.where else path
            at = source.find(keys if keys[: len(path)] == path else (*path, *keys))
            found.append(problem if problem.line else source.problem(at, problem.message, key=at == path))
        return found
    head, _, rest = str(error).partition(": ")
    keys = tuple(head.split("."))
    if rest and keys[0] == path[0] and source.has(*keys):
        return [source.problem(keys, rest, key=True)]
    return [source.problem(path, str(error), key=True)]
