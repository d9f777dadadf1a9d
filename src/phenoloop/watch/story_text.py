"""The story of a well in words, line by line: the same for a terminal and for a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from phenoloop.watch.report_evidence import FEW
from phenoloop.watch.story import Chapter, Known, Outcome, Story
from phenoloop.watch.tally import ACCEPTED
from phenoloop.watch.verdict import count, duration, evidence, figure, names, number
from phenoloop.watch.well_value import NOVEL

ALIKE: Final = 5
"""From so many visits in a row that differ in nothing but their time, those in the middle are told as one."""
STATUSES: Final = {"ok": "accepted", "qc_fail": "rejected", "late": "too late to count"}
CALLS: Final = {"hit": "called a hit", "no_hit": "called no hit", "undecided": "undecided"}


class Line(NamedTuple):
    """A line: how far it is indented, what kind it is (``title``, ``head``, ``text``, ``denied``), and its text."""

    indent: int
    kind: str
    text: str


def story_lines(story: Story) -> list[Line]:
    """Return the story as lines."""
    return list(_lines(story))


def _lines(story: Story) -> Iterator[Line]:
    taken = [chapter for chapter in story.chapters if chapter.taken]
    said = ", ".join(f"{name} {_value(value)}" for name, value in story.properties.items() if value is not None)
    yield Line(0, "title", f"{story.well}{' (control)' if story.control else ''}{': ' + said if said else ''}")
    yield Line(0, "text", _summary(story, taken))
    for some in _in_runs(story.chapters):
        if len(some) < ALIKE:
            for chapter in some:
                yield from _chapter(chapter, story.readout)
            continue
        yield from _chapter(some[0], story.readout)
        between = some[1:-1]
        text = (
            f"visits {between[0].visit} to {between[-1].visit} ({count(len(between), 'visit')}, decisions "
            f"{between[0].decision} to {between[-1].decision}): for the same reason; all accepted"
            f"{_between(between, story.readout)}"
        )
        yield Line(0, "head", text)
        yield from _chapter(some[-1], story.readout)
    for decision, others in story.passed_over:
        yield Line(0, "head", f"decision {decision}: it came next after {names(others, most=8)} and was not taken")


def _summary(story: Story, taken: Sequence[Chapter]) -> str:
    if not taken:
        ended = f" The run ended: {story.ended}." if story.ended else ""
        return f"No image of it was taken{'' if story.chapters else ', and no policy asked for one'}.{ended}"
    outcomes = [one for chapter in taken for one in chapter.outcomes]
    good = sum(one.status == "ok" for one in outcomes)
    light = sum(chapter.light_s for chapter in taken)
    text = (
        f"{count(len(outcomes), 'look')} in {count(len(taken), 'visit')}, {good} accepted; {number(light)} s of light."
    )
    if story.now is None:
        return text
    band = f" Intervals: {story.band}." if story.band else ""
    return f"{text} In the end: {_known(story.now, story.readout, story.wells)}.{band}"


def _in_runs(chapters: Sequence[Chapter]) -> Iterator[list[Chapter]]:
    """Yield stretches of visits that were made for the same reason and went well; others one by one."""
    run: list[Chapter] = []
    for chapter in chapters:
        if run and not _alike(run[-1], chapter):
            yield run
            run = []
        run.append(chapter)
    if run:
        yield run


def _alike(one: Chapter, other: Chapter) -> bool:
    def key(chapter: Chapter) -> tuple[object, ...]:
        return chapter.policy, chapter.rule, chapter.profile, chapter.person, chapter.by

    fine = all(out.status == "ok" for chapter in (one, other) for out in chapter.outcomes)
    return one.taken and other.taken and fine and key(one) == key(other)


def _chapter(chapter: Chapter, readout: str | None) -> Iterator[Line]:
    by = f" ({chapter.by})" if chapter.by not in ("", chapter.rule) else ""
    head = f"decision {chapter.decision}, after {duration(chapter.at_s)}, {chapter.policy}{by}: {chapter.rule}"
    if chapter.shadow:
        head += " (in the shadow: not acted upon)"
    elif chapter.taken:
        head += f" → visit {chapter.visit}"
    yield Line(0, "head", head)
    yield Line(1, "text", f"why: {chapter.why}{_numbers(chapter)}")
    if chapter.instead is not None:
        yield Line(1, "text", f"considered instead: {chapter.instead}, which came next")
    if chapter.beside:
        yield Line(1, "text", f"in the same batch: {names(chapter.beside, most=8)}")
    if chapter.person:
        yield Line(1, "text", f"asked: {chapter.person}")
    if chapter.verdict != ACCEPTED:
        yield Line(1, "denied", f"{'guards' if chapter.shadow else 'denied'}: {chapter.verdict}")
    if not chapter.taken:
        return
    for one in chapter.outcomes:
        yield Line(1, "text" if one.status == "ok" else "denied", _outcome(one, chapter.profile))
    if chapter.before is not None:
        yield from _change(chapter, readout)


def _between(chapters: Sequence[Chapter], readout: str | None) -> str:
    """Return from where to where the question's readout went meanwhile."""
    if readout is None:
        return ""
    seen = [one.readouts.get(readout) for chapter in chapters for one in chapter.outcomes]
    known = [value for value in seen if value is not None]
    return f"; {readout} {number(min(known))} to {number(max(known))}" if known else ""


def _numbers(chapter: Chapter) -> str:
    told = [figure(name, value) for name, value in chapter.numbers.items()]
    return f" [{', '.join(told)}]" if told else ""


def _outcome(one: Outcome, profile: str) -> str:
    what = f"field {one.field}"
    if one.target is not None:
        what = f"object {one.field} at ({one.target.x_um:.0f}, {one.target.y_um:.0f}) um"
    if profile != "main":
        what += f" under {profile}"
    values = ", ".join(
        f"{name} {'unknown' if value is None else number(value)}" for name, value in one.readouts.items()
    )
    text = f"{what}: {STATUSES.get(one.status, one.status)}"
    text += f"; {values}" if values else ""
    if one.status == "ok" and one.target is None and 0 < one.objects < FEW:
        text += f"; from {count(one.objects, 'object')} only"
    text += f"; {one.reason}" if one.reason else ""
    return text if one.replaced_by is None else f"{text}; looked at again, or replaced, in visit {one.replaced_by}"


def _change(chapter: Chapter, readout: str | None) -> Iterator[Line]:
    assert chapter.before is not None
    yield Line(1, "text", f"known when decided: {_known(chapter.before, readout)}")
    if chapter.after is None:
        yield Line(1, "text", "its results were not told")
        return
    yield Line(1, "text", f"known when told:    {_known(chapter.after, readout)}")


def _known(known: Known, readout: str | None, wells: int | None = None) -> str:
    parts = []
    if known.mean is not None:
        band = "" if known.low is None else f" ({number(known.low)} to {number(known.high)})"
        if readout is None:  # a question about single objects: its intervals are of the share that is confirmed
            parts.append(f"share confirmed {number(known.mean)}{band} of {count(known.fields, 'close look')}")
        else:
            parts.append(f"{readout} {number(known.mean)}{band} from {count(known.fields, 'field')}")
    elif known.fields:
        parts.append(count(known.fields, "look"))
    if known.rank is not None:
        parts.append(f"rank {known.rank}" + (f" of {wells}" if wells else ""))
    if known.call is not None and known.fields:
        # Calls without a readout are of phenotypes.
        parts.append((NOVEL if readout is None else CALLS).get(known.call, known.call))
    if known.evidence is not None and known.fields:
        parts.append(f"evidence {evidence(known.evidence)}")
    if known.said:
        parts.append(known.said)
    return ", ".join(parts) or "nothing yet"


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
