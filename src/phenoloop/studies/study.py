"""A study: every policy and every grid on the same plates, looked at while they go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from phenoloop.core import Decider
from phenoloop.model import FieldReadout, Plan
from phenoloop.ports import Question
from phenoloop.studies.quality import Quality
from phenoloop.studies.simulator import Course, FieldSource, Spent, simulate

LOOKS: Final = 24
"""Looks at a run, spread evenly over the frames that all fields would take."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an answer was worth after so much was spent; `score` is None where it says too little."""

    spent: Spent
    score: float | None
    beside: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run of one contestant on one plate.

    Attributes
    ----------
    seed : int
        Of the plate.
    looks : tuple of Look
        In time; the last one is at the end.
    exit, reason : str
        How it ended.
    """

    seed: int
    looks: tuple[Look, ...]
    exit: str
    reason: str

    @property
    def end(self) -> Look:
        """The last look."""
        return self.looks[-1]


@dataclass(frozen=True, kw_only=True)
class Game:
    """One contestant and one plate, ready to be played."""

    plan: Plan
    decider: Decider
    question: Question
    source: FieldSource
    quality: Quality


def play(game: Game, seed: int, *, looks: int = LOOKS) -> Record:
    """Let a policy run to its end on a plate, and judge what could be answered on the way.

    Parameters
    ----------
    game : Game
        Who and where.
    seed : int
        Of the plate, for the record.
    looks : int
        How many looks; 0 looks at the end only.
    """
    judge = Judge(game.question, game.quality)
    every = between_looks(game.plan, looks) if looks else 0
    course: Course = simulate(game.plan, game.decider, game.source, look_every=every, look=judge.look)
    return Record(seed=seed, looks=tuple(judge.looks), exit=course.exit, reason=course.reason)


def between_looks(plan: Plan, looks: int = LOOKS) -> int:
    """Return the frames between two of so many looks at a run that takes all fields; at least those of a field."""
    main = plan.profiles["main"]
    per_field = main.frames_per_field
    everything = main.frames_in_all * sum(len(well.fields) for well in plan.wells)
    return max(per_field, -(-everything // looks))


class Judge:
    """Asks the question at every look, and says what the answer is worth."""

    def __init__(self, question: Question, quality: Quality) -> None:
        self._question = question
        self._quality = quality
        self.looks: list[Look] = []

    def look(self, spent: Spent, fields: Sequence[FieldReadout]) -> None:
        """Take a look; two at the same state of things are one."""
        answer = self._question.answer(fields)
        found = Look(spent=spent, score=self._quality.of(answer), beside=self._quality.beside(answer))
        if self.looks and self.looks[-1].spent.frames == spent.frames:
            self.looks.pop()
        self.looks.append(found)
