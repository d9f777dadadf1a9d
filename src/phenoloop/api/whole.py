"""Whole-stack plates: every policy runs through the real core, which images, segments and measures; slow and sure."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from phenoloop.api.contestants import Contestant
from phenoloop.api.grounds import as_grid, play_grid
from phenoloop.api.measuring import OnField
from phenoloop.api.resolved import Resolved
from phenoloop.api.running import carry_out
from phenoloop.api.worlds import Recording, judged_by_truth, respond, results_of, with_seed
from phenoloop.core import walk
from phenoloop.model import Autonomy, Measured, Message
from phenoloop.storage.journal import read
from phenoloop.studies.baselines import FieldGrids, depths_of
from phenoloop.studies.coverage import CoverageJudge
from phenoloop.studies.quality import Found, Quality
from phenoloop.studies.simulator import Spent
from phenoloop.studies.study import Judge, Record, between_looks
from phenoloop.studies.truth import require_judged


class WholePlates:
    """The virtual plate of a protocol, another one per seed (a `Ground`).

    Parameters
    ----------
    resolved : Resolved
        With a synthetic specimen and a question.
    text : str
        The protocol as given.
    scratch : Path
        Folder for the runs; each is removed when it was read.
    on_field : callable
        Told how far the sample is measured.
    """

    def __init__(self, resolved: Resolved, text: str, scratch: Path, on_field: OnField) -> None:
        self.resolved = unattended(resolved)
        self.words = "whole runs on the virtual plate: real core, rendered images, the protocol's own analysis"
        self._text, self._scratch = text, scratch
        self.baseline = FieldGrids()
        self.quality: Quality
        if resolved.setup.objects is not None:
            self.quality = Found()
        else:
            assert resolved.question is not None
            require_judged(resolved.question.kind)
            self.quality = judged_by_truth(self.resolved, *respond(self.resolved, on_field))

    def play(self, contestant: Contestant, seed: int) -> Record:
        """Let a policy run under the limits of the protocol."""
        return self._run(contestant.apply(with_seed(self.resolved, seed)), seed)[0]

    def grids(self, seed: int) -> dict[int, Record]:
        """Sweep all fields in a run, and the smaller grids over what it measured; none for a question about objects.

        A field shows the same picture whoever asks for it, so a smaller grid would have measured the same.
        """
        if self.resolved.setup.objects is not None:
            return {}
        plate = with_seed(self.resolved, seed)
        *smaller, deepest = depths_of(plate.plan)
        swept, messages = self._run(as_grid(plate, deepest), seed)
        fields = results_of(messages)
        measured = Recording(words=self.words, resolved=plate, quality=self.quality, fields=fields)
        found = {depth: play_grid(plate, measured, depth, seed) for depth in smaller}
        return {**found, deepest: swept}

    def _run(self, resolved: Resolved, seed: int) -> tuple[Record, Sequence[Message]]:
        question = resolved.build_question()
        assert question is not None
        return walked_through(resolved, self._text, self._scratch, Judge(question, self.quality), seed)


def unattended(resolved: Resolved) -> Resolved:
    """Return a protocol that asks nobody, because nobody is there."""
    return dataclasses.replace(resolved, plan=dataclasses.replace(resolved.plan, autonomy=Autonomy()))


def walked_through(
    resolved: Resolved, text: str, scratch: Path, judge: Judge | CoverageJudge, seed: int
) -> tuple[Record, Sequence[Message]]:
    """Run a protocol to its end, and judge what was known on the way; the run folder is removed."""
    out = scratch / "run"
    result = carry_out(resolved, text, out=out)
    messages = read(result.folder.journal).messages
    shutil.rmtree(out)
    spent, every = Spent(), between_looks(resolved.plan)
    due = every
    for step in walk(messages, resolved.plan, resolved.decider()):
        spent = spent.after(step.happened)
        if isinstance(step.happened, Measured) and spent.frames >= due:
            due = spent.frames + every
            judge.look(spent, step.machine.accepted())
    judge.look(spent, step.machine.accepted())
    report = result.report
    return Record(seed=seed, looks=tuple(judge.looks), exit=report["exit"], reason=report["reason"]), messages
