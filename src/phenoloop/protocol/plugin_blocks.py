"""A block with a `kind`: which class it names, and its other keys checked by that class's own `Params`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from phenoloop.errors import PluginError, Problem, ProtocolError
from phenoloop.model import Setup
from phenoloop.plugins import Registry
from phenoloop.protocol.blocks import PluginBlock
from phenoloop.protocol.model_keys import keys, models_in
from phenoloop.protocol.problems import Problems, validate
from phenoloop.protocol.yaml_source import Path, Source

NEEDS: Final = ("profile",)
"""What a policy or a question may name as its `needs`."""


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
    parameters : mapping
        The same as plain values in base units.
    parts : tuple of Chosen
        The plug-ins that its parameters name.
    """

    kind: str
    target: str
    plugin: Any
    params: BaseModel
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Chosen, ...] = ()

    @property
    def targets(self) -> list[str]:
        """Its target and those of its parts."""
        return [self.target, *(target for part in self.parts for target in part.targets)]


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
        _check_inner(group, model, block.given, registry, source, problems, path)
        return None
    absent = {
        key: value
        for key, value in (defaults or {}).items()
        if key in model.model_fields and key not in params.model_fields_set
    }
    if absent:
        params = model.model_validate({**params.model_dump(), **absent})
    inner = _Inner(group, registry, source, problems, {key: getattr(params, key) for key in params.model_fields_set})
    blocks = {key: inner.resolved(getattr(params, key), (*path, key)) for key in model.model_fields}
    if inner.failed:
        return None
    if inner.parts:
        params = params.model_copy(update=blocks)
    return Chosen(block.kind, found.target, plugin, params, params.model_dump(mode="json"), tuple(inner.parts))


def _check_inner(
    group: str,
    model: type[BaseModel],
    given: Mapping[str, Any],
    registry: Registry,
    source: Source,
    problems: Problems,
    path: Path,
) -> None:
    """Check the blocks inside parameters that are wrong elsewhere, so that a user sees everything at once."""
    for key, field_info in model.model_fields.items():
        blocks = [one for one in models_in(field_info.annotation) if issubclass(one, PluginBlock)]
        value = given.get(key)
        if not blocks or value is None:
            continue
        own = [name for name in keys(blocks[0]) if name != "kind"]
        items = (
            [((*path, key, i), one) for i, one in enumerate(value)]
            if isinstance(value, list)
            else [((*path, key), value)]
        )
        for at, item in items:
            if isinstance(item, dict) and isinstance(item.get("kind"), str):
                rest = PluginBlock.model_validate({name: one for name, one in item.items() if name not in own})
                choose(group, rest, registry, source, problems, at)


class _Inner:
    """The blocks inside the parameters of a plug-in, such as the policies that a policy is made of."""

    def __init__(
        self, group: str, registry: Registry, source: Source, problems: Problems, given: Mapping[str, Any]
    ) -> None:
        self._group, self._registry, self._source, self._problems = group, registry, source, problems
        # The parts go on in the steps of the whole unless they say otherwise.
        self._defaults = {key: given[key] for key in ("fields_per_visit", "wells_per_batch") if key in given}
        self.parts: list[Chosen] = []
        self.failed = False

    def resolved(self, value: Any, path: Path) -> Any:
        """Return a parameter with the blocks in it checked and their quantities in base units."""
        if isinstance(value, tuple):
            return tuple(self.resolved(one, (*path, i)) for i, one in enumerate(value))
        if not isinstance(value, PluginBlock):
            return value
        part = choose(self._group, value, self._registry, self._source, self._problems, path, self._defaults)
        if part is None:
            self.failed = True
            return value
        self.parts.append(part)
        own = {key: getattr(value, key) for key in type(value).model_fields}
        return type(value).model_validate({**part.parameters, **own})


def anchored(error: Exception, source: Source, path: Path) -> list[Problem]:
    """Return the problems of a plug-in's own refusal, put at the key that it names, or at its block."""
    if isinstance(error, ProtocolError):
        found = []
        for problem in error.problems:
            keys = _keys(problem.where) if problem.where else path
            wanted = keys if keys[: len(path)] == path else (*path, *keys)
            at = source.find(wanted)
            within = None if problem.column is None or at != wanted else problem.column - 1
            told = source.problem(at, problem.message, key=at == path, within=within)
            found.append(problem if problem.line else told)
        return found
    head, _, rest = str(error).partition(": ")
    keys = tuple(head.split("."))
    if rest and keys[0] == path[0] and source.has(*keys):
        return [source.problem(keys, rest, key=True)]
    return [source.problem(path, str(error), key=True)]


def _keys(where: str) -> Path:
    """Return ``policy.rules.0.when`` as a path; a number is an index."""
    return tuple(int(key) if key.isdecimal() else key for key in where.split("."))


def unmet(chosen: Chosen, plugin: object, setup: Setup, key: str, source: Source, problems: Problems) -> bool:
    """Return whether a plug-in needs what the protocol does not measure; that is a problem.

    Parameters
    ----------
    chosen : Chosen
        What the block names.
    plugin : object
        Its class, or an instance: one that is made of others may know its needs only once it is built.
    setup : Setup
        What it would be told.
    key : str
        The block: ``"policy"``, say.
    """
    needs = getattr(plugin, "needs", ())
    if not isinstance(needs, tuple | list | set | frozenset):  # a property, seen from the class
        return False
    path = (key, "kind")
    unknown = [need for need in needs if need not in NEEDS]
    for need in unknown:
        said = f"{chosen.target} needs {need!r}, which is nothing a run can bring (known: {', '.join(NEEDS)})"
        problems.add(source.problem(path, said))
    lacks = "profile" in needs and not setup.profile_features
    if lacks:
        said = (
            f"{chosen.kind!r} goes by the profile of each field, and this protocol measures none; "
            "add `profile: {}` to analysis"
        )
        problems.add(source.problem(path, said))
    return bool(unknown) or lacks
