"""`replay`: whether every decision of a journal comes out again, from the same protocol or from a changed one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from phenoloop.api.resolved import Built, Resolved
from phenoloop.core import first_difference
from phenoloop.errors import UsageError
from phenoloop.model import Decided
from phenoloop.plugins import Registry
from phenoloop.protocol import load, load_text
from phenoloop.storage.journal import read
from phenoloop.storage.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """What a replay says.

    Attributes
    ----------
    equal : bool
        Every decision is equal: choices, scores, reasons, parameters.
    decisions : int
        Decisions in the journal.
    message : str
        For people; names the first decision that differs and how.
    first : int or None
        Number of that decision.
    """

    equal: bool
    decisions: int
    message: str
    first: int | None


def replay(run: Path, *, protocol: Path | None = None, overrides: Sequence[str] = ()) -> ReplayResult:
    """Feed the inputs of a run to the policy again and compare.

    Parameters
    ----------
    run : Path
        A run folder. If its ``protocol.yaml`` was edited since the run, the edited one is used.
    protocol : Path, optional
        Use the policy and plan of this protocol instead.
    overrides : sequence of str
        Changed parameters, ``policy.explore=0.2``.

    Raises
    ------
    JournalError
        If the journal is damaged; names the line.
    UsageError, ProtocolError
        If there is no run, or a changed protocol cannot be used.
    """
    folder = RunFolder.open(run)
    original = Resolved.from_json(folder.resolved.read_bytes(), str(folder.resolved))
    messages = read(folder.journal).messages
    tested = _tested(original, folder, protocol, overrides)
    decisions = sum(isinstance(message, Decided) for message in messages)
    difference = first_difference(messages, tested.plan, tested.decider())
    changed = _changes(original, tested)
    if difference is None:
        return ReplayResult(equal=True, decisions=decisions, message=f"all {decisions} decisions are equal", first=None)
    sentences = [f"Changed: {changed}."] if changed else []
    place = _place(difference.decision, difference.line)
    sentences.append(f"Of {decisions} decisions the first that differs is {place}: {difference.what}.")
    choice = first_difference(messages, tested.plan, tested.decider(), choices_only=True)
    if choice is None:
        sentences.append("No decision chooses otherwise: only parameters, scores or reasons differ.")
    elif choice != difference:
        sentences.append(f"The first that chooses otherwise is {_place(choice.decision, choice.line)}: {choice.what}.")
    message = " ".join(sentences)
    return ReplayResult(equal=False, decisions=decisions, message=message, first=difference.decision)


def _place(decision: int | None, line: int | None) -> str:
    name = "a line between decisions" if decision is None else f"decision {decision}"
    return f"{name} (line {line} of the journal)"


def _tested(original: Resolved, folder: RunFolder, protocol: Path | None, overrides: Sequence[str]) -> Resolved:
    tested = original
    if protocol is not None:
        tested = Resolved.of(load(protocol, Registry()), "")
    else:
        text = folder.protocol.read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() != original.protocol_sha256:
            base = Path(original.base)
            if not base.is_dir():
                raise UsageError(
                    f"{folder.protocol} was edited since the run, and the folder of the original, {base}, is not here "
                    "to look up the files it names. Put it back, or use --set for single parameters."
                )
            loaded = load_text(text, Registry(), base=base, name=str(folder.protocol))
            tested = Resolved.of(loaded, "")
    for override in overrides:
        tested = _override(tested, override)
    return tested


def _override(resolved: Resolved, override: str) -> Resolved:
    key, equals, value = override.partition("=")
    part, _, name = key.strip().partition(".")
    if not equals or part not in ("policy", "fallback") or not name:
        raise UsageError(f"--set {override!r} cannot be used: write policy.NAME=VALUE or fallback.NAME=VALUE.")
    built: Built = getattr(resolved, part)
    parameters = {**built.parameters, name: YAML(typ="safe", pure=True).load(value)}
    changed = replace(built, parameters=parameters)
    # Build it now: a misspelt name must not look like a difference of the replay.
    changed.build(resolved.setup)
    return replace(resolved, policy=changed) if part == "policy" else replace(resolved, fallback=changed)


def _changes(original: Resolved, tested: Resolved) -> str:
    found = []
    for part in ("policy", "fallback"):
        then, now = getattr(original, part), getattr(tested, part)
        if then.kind != now.kind:
            found.append(f"{part}.kind {then.kind!r} -> {now.kind!r}")
        found += _differing(part, then.parameters, now.parameters)
    if original.plan != tested.plan:
        found.append("the plan (wells, imaging, limits or analysis)")
    return ", ".join(found)


def _differing(part: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys([*then, *now])
    return [f"{part}.{n} {then.get(n)!r} -> {now.get(n)!r}" for n in names if then.get(n) != now.get(n)]
