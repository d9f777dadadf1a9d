"""Why each image of a well was taken: its decisions in order, what became of them, and what they changed.

From the journal alone. What was known at a decision is known by telling the journal again up to there and asking the
question anew, with the fields that had been told by then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from phenoloop.core import Decider, walk
from phenoloop.model import (
    Answer,
    Answered,
    Confirm,
    Decided,
    FieldReadout,
    Interval,
    Message,
    Plan,
    ProposalRecord,
    Setup,
    VisitEnded,
)
from phenoloop.ports import Question
from phenoloop.watch.story import Chapter, Known, Outcome, Story
from phenoloop.watch.tally import Tally
from phenoloop.watch.verdict import count, number, percent


def tell_story(
    run: str,
    well: str,
    messages: Sequence[Message],
    plan: Plan,
    setup: Setup,
    decider: Decider,
    question: Question | None,
) -> Story:
    """Return the story of a well.

    Parameters
    ----------
    run : str
        Name of the run.
    well : str
        A selected well.
    messages : sequence of Message
        The journal without its header.
    plan, setup : Plan, Setup
        Of the run.
    decider : Decider
        Fresh; it is told, and not asked.
    question : Question or None
        Asked again at every decision about the well.

    Raises
    ------
    JournalError
        If a line does not follow from the inputs before it.
    """
    teller = _Teller(well, setup, question)
    accepted: list[FieldReadout] = []
    for step in walk(messages, plan, decider):
        teller.hear(step.happened)
        for message in step.written:
            teller.hear(message)
        decided = [message for message in step.written if isinstance(message, Decided)]
        accepted = step.machine.accepted()
        for decision in decided:
            teller.decide(decision, [field for field in accepted if field.visit <= decision.told])
        waiting = next((visit.number for visit in step.machine.untold), None)
        teller.settle([field for field in accepted if waiting is None or field.visit < waiting], waiting)
    tally = Tally(plan).take_all(messages)
    return Story(
        run=run,
        well=well,
        control=well in setup.controls,
        properties=plan.well(well).properties,
        readout=setup.readout,
        chapters=tuple(teller.told(tally)),
        passed_over=tuple(teller.passed_over),
        now=teller.known(accepted),
        wells=len(plan.wells),
        band=teller.band,
        ended="" if tally.ended is None else tally.ended.reason or tally.ended.exit,
    )


class _Teller:
    """Collects what the journal says of one well."""

    def __init__(self, well: str, setup: Setup, question: Question | None) -> None:
        self._well = well
        self._setup = setup
        self._question = question
        self._chapters: list[Chapter] = []
        self._open: dict[int, int] = {}
        self._people: dict[int, str] = {}
        self._ends: dict[int, VisitEnded] = {}
        self._asked: tuple[tuple[int, ...], Known | None] = ((), None)
        self.passed_over: list[tuple[int, tuple[str, ...]]] = []
        self.band = ""

    def hear(self, message: Message) -> None:
        """Take note of what a chapter may need later."""
        if isinstance(message, Confirm):
            self._people[message.proposed.decision] = "it was put to a person, who has not answered"
        elif isinstance(message, Answered):
            self._people[message.decision] = f"{message.answer}, said {message.by}"
        elif isinstance(message, VisitEnded):
            self._ends[message.visit] = message

    def decide(self, decided: Decided, fields: Sequence[FieldReadout]) -> None:
        """Begin a chapter for each proposal about the well."""
        taken = [made.well for made in decided.proposals if made.visit > 0]
        for made in decided.proposals:
            if made.well == self._well:
                self._begin(decided, made, decided.policy, taken, fields)
        before_it = [made.well for made in decided.proposals if made.visit > 0 and made.why.instead == self._well]
        if before_it and self._well not in taken:
            self.passed_over.append((decided.decision, tuple(before_it)))
        if decided.shadow is not None:
            for made in decided.shadow.proposals:
                if made.well == self._well:
                    self._begin(decided, made, decided.shadow.policy, taken, fields, shadow=True)

    def _begin(
        self,
        decided: Decided,
        made: ProposalRecord,
        policy: str,
        taken: Sequence[str],
        fields: Sequence[FieldReadout],
        *,
        shadow: bool = False,
    ) -> None:
        if made.visit > 0:
            self._open[made.visit] = len(self._chapters)
        places = {target.name: target for target in made.targets}
        names = made.fields or tuple(places)
        self._chapters.append(
            Chapter(
                decision=decided.decision,
                at_s=decided.at_s,
                policy=policy,
                rule=made.why.rule,
                why=made.why.text,
                numbers=made.why.numbers,
                by=made.why.by,
                instead=made.why.instead,
                beside=tuple(dict.fromkeys(well for well in taken if well != self._well)),
                verdict=made.verdict,
                shadow=shadow,
                person=self._people.get(decided.decision, ""),
                visit=made.visit,
                profile=made.profile,
                outcomes=tuple(Outcome(field=name, status="not taken", target=places.get(name)) for name in names),
                before=self.known(fields),
            )
        )

    def settle(self, fields: Sequence[FieldReadout], waiting: int | None) -> None:
        """Note what is known now that visits before `waiting` were told."""
        for visit in [visit for visit in self._open if waiting is None or visit < waiting]:
            at = self._open.pop(visit)
            self._chapters[at] = dataclasses.replace(self._chapters[at], after=self.known(fields))

    def known(self, fields: Sequence[FieldReadout]) -> Known | None:
        """Ask the question; the same fields give the same answer, so they are asked about once."""
        if self._question is None:
            return None
        key = tuple(field.visit for field in fields)
        if key != self._asked[0] or self._asked[1] is None:
            answer = self._question.answer(fields)
            self._asked = key, self._known(answer, fields)
        return self._asked[1]

    def _known(self, answer: Answer, fields: Sequence[FieldReadout]) -> Known:
        said, band = answer.wells[self._well], answer.wells[self._well].interval
        own = [field for field in fields if field.well == self._well]
        if band is not None:
            self.band = _claim(band)
        return Known(
            call=said.call,
            evidence=said.evidence,
            rank=said.rank,
            mean=None if band is None else band.mean,
            low=None if band is None else band.low,
            high=None if band is None else band.high,
            fields=len(own) if band is None else band.n,
            said=", ".join(filter(None, [_effect(said.effect), self._of_group(answer.summary, own)])),
        )

    def _of_group(self, summary: Mapping[str, Any], own: Sequence[FieldReadout]) -> str:
        """Return what an answer says of the compound of the well, or of the objects or events in it."""
        compounds = summary.get("compounds")
        if compounds is not None and self._setup.by is not None:
            row = self._setup.properties[self._setup.wells.index(self._well)]
            name = str(row.get(self._setup.by))
            return f"{name}: {compounds[name]['said']}" if name in compounds else ""
        if self._setup.objects is not None:
            confirmed = summary.get("wells", {}).get(self._well, 0)
            found = sum(len(field.candidates) for field in own if field.imaging == self._setup.objects.found_by)
            return f"{found} candidates, {confirmed} of them confirmed"
        told = summary.get("wells", {}).get(self._well)
        if isinstance(told, Mapping) and "events" in told:
            return f"{count(told['events'], 'event')} in {number(told['field_hours'])} field-hours"
        return ""

    def told(self, tally: Tally) -> list[Chapter]:
        """Return the chapters with what became of their fields."""
        chapters = [self._ended(chapter, tally) if chapter.taken else chapter for chapter in self._chapters]
        by_field = {
            (outcome.field, chapter.visit): f"field {outcome.field} of {self._well} was rejected"
            for chapter in chapters
            for outcome in chapter.outcomes
            if outcome.status == "qc_fail"
        }
        found: dict[tuple[str, int], int] = {}
        for (field, visit), words in by_field.items():
            later = (one.visit for one in chapters if one.visit > visit and one.why.startswith(words))
            if (again := next(later, None)) is not None:
                found[field, visit] = again
        return [
            dataclasses.replace(
                chapter,
                outcomes=tuple(
                    dataclasses.replace(one, replaced_by=found.get((one.field, chapter.visit)))
                    for one in chapter.outcomes
                ),
            )
            for chapter in chapters
        ]

    def _ended(self, chapter: Chapter, tally: Tally) -> Chapter:
        ended = self._ends.get(chapter.visit)
        gaps = {} if ended is None else {one.address.field: one for one in reversed(ended.missing)}
        outcomes = []
        for one in chapter.outcomes:
            result = tally.results.get((chapter.visit, one.field))
            if result is not None:
                one = dataclasses.replace(
                    one, status=result.status, reason=result.reason, readouts=result.readouts, objects=result.objects
                )
            elif one.field in gaps:
                gap = gaps[one.field]
                one = dataclasses.replace(one, status="missing", reason=f"{gap.address.channel}: {gap.reason}")
            else:
                one = dataclasses.replace(one, status="under way")
            outcomes.append(one)
        return dataclasses.replace(
            chapter,
            outcomes=tuple(outcomes),
            exposures=0 if ended is None else ended.exposures,
            light_s=0.0 if ended is None else sum(ended.light_s.values()),
        )


def _claim(band: Interval) -> str:
    often = "valid however often one looks" if band.valid_when_peeking else "valid for one look only"
    return f"{percent(band.level)}, unit of replication: {band.unit}, {often}"


def _effect(effect: Interval | None) -> str:
    if effect is None or effect.mean is None:
        return ""
    band = "" if effect.low is None else f" ({number(effect.low)} to {number(effect.high)})"
    return f"effect {number(effect.mean)}{band} from {count(effect.n, 'field')} that had no part in the call"
