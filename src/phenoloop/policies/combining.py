"""What all policies made of policies share: their parts, who proposed what, and one batch out of several answers.

Every part is told everything, so each learns from the images that another one asked for; of each visit it is known
which part it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from phenoloop.errors import PluginError, Problem, ProtocolError
from phenoloop.model import Setup, Stop, Visit, VisitResult
from phenoloop.plugins import BUILT_IN, Registry
from phenoloop.policies.part_batch import Part, Tally
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.nested import PolicyBlock

Until = Literal["first", "all"]


class PartsParams(PolicyParams):
    """Keys of a policy that is made of several."""

    of: tuple[PolicyBlock, ...] = Field(min_length=1, description="policies, each with its own keys")


def build(block: PolicyBlock, name: str, setup: Setup, where: str) -> Part:
    """Build the policy of a block.

    Parameters
    ----------
    block : PolicyBlock
        With its parameters in base units, or with units.
    name : str
        What it is called.
    setup : Setup
        The plate.
    where : str
        Dotted path of the block, for problems.

    Raises
    ------
    ProtocolError
        If there is no such policy, or it refuses the protocol.
    """
    try:
        plugin = Registry(discover=block.kind not in BUILT_IN["policies"]).load("policies", block.kind)
    except PluginError as error:
        raise ProtocolError(Problem(str(error), where=f"{where}.kind")) from error
    if getattr(plugin, "kind", "") == "shadow":
        said = "a shadow is watched beside the whole policy, not beside a part of it: put `kind: shadow` outermost"
        raise ProtocolError(Problem(said, where=f"{where}.kind"))
    params = plugin.Params(**block.given)
    per_visit = int(getattr(params, "fields_per_visit", 1))
    try:
        policy = plugin(params, replace(setup, fields_per_visit=per_visit))
    except ProtocolError as error:
        raise moved(error, where) from error
    parameters = params.model_dump(mode="json")
    return Part(name=name, kind=block.kind, parameters=parameters, policy=policy, per_visit=per_visit, tally=Tally())


def moved(error: ProtocolError, where: str) -> ProtocolError:
    """Return the refusal of a part, which believes that it stands at ``policy``, with the path where it stands."""
    return ProtocolError(
        *(
            replace(one, where=where + one.where.removeprefix("policy")) if not one.line else one
            for one in error.problems
        )
    )


def names_of(blocks: Sequence[PolicyBlock]) -> list[str]:
    """Return a name for each block: its own, or its kind, counted where it is not the first."""
    found: list[str] = []
    for i, block in enumerate(blocks):
        name = block.name or block.kind.rpartition(":")[2]
        if name in found and block.name is not None:
            raise ProtocolError(Problem(f"two parts are called {name!r}", where=f"policy.of.{i}.name"))
        count = sum(one == name or one.startswith(f"{name} ") for one in found)
        found.append(f"{name} {count + 1}" if name in found else name)
    return found


class Combination:
    """Base of the policies that are made of several.

    Parameters
    ----------
    blocks : sequence of PolicyBlock
        The parts, in order.
    setups : sequence of Setup
        What each of them is told of the plate.
    """

    def __init__(self, blocks: Sequence[PolicyBlock], setups: Sequence[Setup]) -> None:
        self._setup = setups[0]
        names = names_of(blocks)
        problems: list[Problem] = []
        self._parts: list[Part] = []
        for i, (block, name, setup) in enumerate(zip(blocks, names, setups, strict=True)):
            try:
                self._parts.append(build(block, name, setup, f"policy.of.{i}"))
            except ProtocolError as error:
                problems += error.problems
        if problems:
            raise ProtocolError(*problems)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the parts decide by."""
        return tuple(dict.fromkeys(need for part in self._parts for need in getattr(part.policy, "needs", ())))

    def try_out(self) -> None:
        """Let each part see whether it can work; called when a protocol is loaded."""
        for i, part in enumerate(self._parts):
            attempt = getattr(part.policy, "try_out", None)
            if attempt is not None:
                try:
                    attempt()
                except ProtocolError as error:
                    raise moved(error, f"policy.of.{i}") from error

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result, in every part; see `phenoloop.ports.Policy`."""
        for part in self._parts:
            own = part.own(visit.by)
            if own is not None:
                self._count(part, visit, result)
            part.policy.tell(replace(visit, by=own or ""), result)

    def _count(self, part: Part, visit: Visit, result: VisitResult) -> None:
        tally = part.tally
        if all(one.status == "vetoed" for one in result.fields):
            tally.denied += 1
            return
        tally.visits += 1
        tally.fields += len(visit.fields)
        tally.accepted += sum(one.status == "ok" for one in result.fields)
        tally.frames += len(visit.fields) * self._frames(visit.profile)

    def _frames(self, profile: str) -> int:
        """Return the frames of one field under a profile, at most."""
        found = self._setup.profiles.get(profile)
        return self._setup.frames_per_field if found is None else found.frames_per_field

    def report(self) -> Mapping[str, Any]:
        """Return, for each part, what came of its own visits and what it believes."""
        return {
            "parts": {
                part.name: {
                    "visits": part.tally.visits,
                    "fields": part.tally.fields,
                    "accepted": part.tally.accepted,
                    "denied": part.tally.denied,
                    "believes": dict(part.policy.report()),
                }
                for part in self._parts
            }
        }


def joined(stops: Mapping[str, str]) -> Stop:
    """Return one reason out of those of the parts."""
    return Stop(reason="; ".join(f"{name}: {reason}" for name, reason in stops.items()))
