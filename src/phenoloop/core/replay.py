"""The journal read back: folded into a machine to go on, or re-run to see whether every decision comes out again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from phenoloop.core.deciding import Decider
from phenoloop.core.machine import Machine
from phenoloop.errors import JournalError
from phenoloop.model import Confirm, Decided, Input, Message, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A machine brought to the end of a journal.

    Attributes
    ----------
    machine : Machine
        Ready for the next input.
    owed : tuple of Message
        Records and commands that follow from the last input and are not in the journal (the process died between
        two lines): journal them, then carry them out.
    """

    machine: Machine
    owed: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One input of a journal that was told again.

    Attributes
    ----------
    machine : Machine
        As it stands after it.
    happened : Input
        The input.
    written : tuple of Message
        What follows it in the journal.
    owed : tuple of Message
        What should follow and is not in the journal; only after the last input.
    """

    machine: Machine
    happened: Input
    written: tuple[Message, ...]
    owed: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a replay leaves its journal.

    Attributes
    ----------
    line : int or None
        One-based line of the journal, None past its end.
    decision : int or None
        The decision concerned.
    what : str
        One sentence.
    """

    line: int | None
    decision: int | None
    what: str


def fold(messages: Sequence[Message], plan: Plan, decider: Decider) -> Folded:
    """Tell everything again without asking anybody.

    Parameters
    ----------
    messages : sequence of Message
        A journal without its header.
    plan : Plan
        Of the same run.
    decider : Decider
        Fresh; it hears every tell, so that it can go on.

    Raises
    ------
    JournalError
        If a line does not follow from the inputs before it.
    """
    machine = Machine(plan, decider)
    owed: tuple[Message, ...] = ()
    for step in walk(messages, plan, decider):
        machine, owed = step.machine, step.owed
    return Folded(machine=machine, owed=owed)


def walk(messages: Sequence[Message], plan: Plan, decider: Decider) -> Iterator[Step]:
    """Tell everything again as `fold` does, and stop after each input.

    Parameters
    ----------
    messages, plan, decider
        As for `fold`.

    Yields
    ------
    Step
        The machine is the same one each time.

    Raises
    ------
    JournalError
        If a line does not follow from the inputs before it.
    """
    machine = Machine(plan, decider)
    at = [i for i, message in enumerate(messages) if isinstance(message, Input)]
    for i, end in pairwise([*at, len(messages)]):
        happened, written = messages[i], messages[i + 1 : end]
        assert isinstance(happened, Input)
        records = [message for message in written if isinstance(message, Decided | Confirm)]
        owed = machine.repeat(happened, records, last=end == len(messages))
        for message in written:
            if not owed or owed[0] != message:
                raise JournalError(
                    f"{_name(message)} does not follow from the inputs before it: the journal was written by another "
                    "version or for another plan. Use the version named in resolved.json."
                )
            owed.pop(0)
        yield Step(machine=machine, happened=happened, written=tuple(written), owed=tuple(owed))


def first_difference(
    messages: Sequence[Message], plan: Plan, decider: Decider, *, choices_only: bool = False
) -> Difference | None:
    """Feed the inputs of a journal to a fresh machine and compare what follows from them, line by line.

    Parameters
    ----------
    messages : sequence of Message
        A journal without its header; its first message stands in line 2.
    plan, decider
        Built from the protocol under test; the policy is really asked.
    choices_only : bool
        Compare what was imaged, and leave scores, reasons and parameters aside.

    Returns
    -------
    Difference or None
        None when everything comes out equal.
    """
    machine = Machine(plan, decider)
    expected: list[Message] = []
    for line, message in enumerate(messages, start=2):
        if isinstance(message, Input):
            if expected:
                return _unwritten(expected[0], line)
            expected = list(machine.handle(message))
            continue
        if not expected:
            return Difference(
                line=line, decision=_decision(message), what=f"nothing follows here, but {_name(message)}"
            )
        now = expected.pop(0)
        if choices_only:
            now, message = _choice(now), _choice(message)
        if now != message:
            return Difference(line=line, decision=_decision(message), what=_describe(message, now))
    return None


def _choice(message: Message) -> Message:
    if isinstance(message, Confirm):
        return replace(message, proposed=_bare(message.proposed))
    return _bare(message) if isinstance(message, Decided) else message


def _bare(message: Decided) -> Decided:
    bare = tuple(
        replace(p, score=0.0, why=replace(p.why, text="", numbers={}, instead=None)) for p in message.proposals
    )
    return replace(message, parameters={}, proposals=bare, stop="" if not message.stop else "stop")


def _unwritten(message: Message, line: int) -> Difference:
    return Difference(line=line, decision=_decision(message), what=f"{_name(message)} would follow before this line")


def _decision(message: Message) -> int | None:
    if isinstance(message, Confirm):
        message = message.proposed
    if isinstance(message, Decided):
        return message.decision
    visit = getattr(message, "visit", None)
    return getattr(visit, "decision", None)


def _name(message: Message) -> str:
    number = _decision(message)
    return type(message).__name__ if number is None else f"{type(message).__name__} of decision {number}"


def _describe(then: Message, now: Message) -> str:
    """Say in one sentence what differs, the most telling thing first."""
    if type(then) is not type(now):
        return f"the journal has {_name(then)}, the replay {_name(now)}"
    if isinstance(then, Confirm) and isinstance(now, Confirm):
        then, now = then.proposed, now.proposed
    if isinstance(then, Decided) and isinstance(now, Decided):
        went = [(p.well, p.fields) for p in then.proposals if p.visit > 0]
        goes = [(p.well, p.fields) for p in now.proposals if p.visit > 0]
        if went != goes:
            return f"the journal went to {_wells(went)}, the replay goes to {_wells(goes)}"
        for old, new in zip(then.proposals, now.proposals, strict=False):
            if old != new:
                return f"same wells, but {old.well}: {_fields(old, new)}"
    return _fields(then, now)


def _wells(choices: list[tuple[str, tuple[str, ...]]]) -> str:
    return ", ".join(f"{well}[{','.join(names)}]" for well, names in choices) or "no well"


def _fields(then: Any, now: Any) -> str:
    parts = [
        f"{f.name} was {getattr(then, f.name)!r}, is {getattr(now, f.name)!r}"
        for f in fields(then)
        if f.compare and getattr(then, f.name) != getattr(now, f.name)
    ]
    return "; ".join(parts)
