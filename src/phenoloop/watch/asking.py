"""What a person is asked while a batch waits: in which words, with which keys, and how much time is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from phenoloop.model import Answered, Confirm, ProposalRecord
from phenoloop.watch.verdict import count, duration, names

KEYS: Final = {"y": "go", "n": "skip"}
"""Key of the live console to answer."""
OTHERWISE: Final = {"skip": "it is skipped", "go": "it goes on", "stop": "the run ends"}
ANSWERS: Final = {"go": "goes on", "skip": "is skipped", "stop": "ends the run"}


class Question:
    """An open question.

    Parameters
    ----------
    command : Confirm
        What is asked.
    clock : callable
        Wall clock in seconds.
    """

    def __init__(self, command: Confirm, clock: Callable[[], float] = time.monotonic) -> None:
        self.command: Final = command
        self._clock = clock
        self._began = clock()

    @property
    def about(self) -> list[ProposalRecord]:
        """The visits that are asked about, in the order in which they would be made."""
        made = [made for made in self.command.proposed.proposals if made.visit in self.command.about]
        return sorted(made, key=lambda made: made.visit)

    @property
    def head(self) -> str:
        """What it is, in a line."""
        decided = self.command.proposed
        fields = count(sum(len(made.fields) for made in self.about), "field")
        visits = count(len(self.about), "visit")
        return f"Decision {decided.decision} of {decided.policy} waits for you: {visits}, {fields}"

    def lines(self, *, most: int) -> list[str]:
        """Return the visits with their reasons, one line for those that share a reason, at most `most` lines."""
        grouped: dict[tuple[str, str, str], list[ProposalRecord]] = {}
        for made in self.about:
            grouped.setdefault((made.profile, made.why.head, made.why.text), []).append(made)
        lines = []
        for (profile, rule, text), members in grouped.items():
            under = "" if profile == "main" else f" under {profile}"
            where = names([f"{made.well} [{', '.join(made.fields)}]" for made in members], most=6)
            lines.append(f"{where}{under} - {rule}" + (f": {text.rstrip('.')}" if text else ""))
        return lines if len(lines) <= most else [*lines[: most - 1], f"and {len(lines) - most + 1} more"]

    def left_s(self) -> float | None:
        """Return the wall seconds until the default counts; None: no end."""
        within = self.command.within_s
        return None if within is None else max(0.0, within - (self._clock() - self._began))

    def default(self) -> str:
        """Return what happens without an answer; empty where it waits."""
        left = self.left_s()
        if left is None or self.command.otherwise is None:
            return ""
        return f"without an answer {OTHERWISE[self.command.otherwise]} in {duration(int(left))}"


def plain(command: Confirm) -> str:
    """Return a question in one line, for what is no terminal."""
    question = Question(command)
    wells = names([made.well for made in question.about])
    why = question.about[0].why.head
    default = "no end is set"
    if command.within_s is not None and command.otherwise is not None:
        default = f"without an answer {OTHERWISE[command.otherwise]} in {duration(command.within_s)}"
    return f"{question.head} ({wells} - {why}); {default}"


def told(answered: Answered) -> str:
    """Return an answer in one line."""
    return f"decision {answered.decision} {ANSWERS.get(answered.answer, answered.answer)}: {answered.by}"


def keys_said() -> Sequence[str]:
    """Return the hints for the keys."""
    return "y go", "n veto these wells"
