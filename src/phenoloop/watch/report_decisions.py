"""The decisions for the page: what was chosen, why, what came next and was not taken, what was denied, who was asked.

A long run decides hundreds of times, mostly alike: there, those with nothing remarkable are folded into stretches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any, Final

from phenoloop.model import Answered, Decided, Message, ProposalRecord
from phenoloop.watch.decision_line import in_shadow
from phenoloop.watch.tally import ACCEPTED
from phenoloop.watch.verdict import count, duration, figure, names

MOST: Final = 30
"""With more decisions than this they are folded."""
STRETCHES: Final = 20
"""About how many stretches a run is folded into."""
LEAST: Final = 10
"""Decisions that a stretch may hold before the next begins."""
RARE: Final = 5
"""So many decisions with a denial, or with a policy in the shadow, stand out; with more they are the rule."""


def decision_rows(decisions: Sequence[Decided], messages: Iterable[Message] = ()) -> list[dict[str, Any]]:
    """Return stretches of decisions in order; a stretch of one is that decision by itself.

    Parameters
    ----------
    decisions : sequence of Decided
        All of a run.
    messages : iterable of Message
        The journal, for what people answered.
    """
    answers = {said.decision: f"{said.answer}, said {said.by}" for said in messages if isinstance(said, Answered)}
    some = [decided for decided in decisions if _denied(decided) or decided.shadow is not None]
    remarkable = {decided.decision for decided in some} if len(some) <= RARE else set()
    remarkable |= {decided.decision for decided in decisions if decided.stop or decided.error}
    remarkable |= {decided.decision for decided in (*decisions[:1], *decisions[-1:])}
    return [_stretch(some, answers, remarkable) for some in _stretches(decisions, remarkable)]


def _denied(decided: Decided) -> list[ProposalRecord]:
    return [made for made in decided.proposals if made.verdict != ACCEPTED]


def _stretches(decisions: Sequence[Decided], remarkable: Set[int]) -> Iterator[list[Decided]]:
    size = 1 if len(decisions) <= MOST else max(LEAST, len(decisions) // STRETCHES)
    some: list[Decided] = []
    for decided in decisions:
        alone = decided.decision in remarkable
        if some and (alone or len(some) == size or decided.policy != some[0].policy):
            yield some
            some = []
        if alone:
            yield [decided]
        else:
            some.append(decided)
    if some:
        yield some


def _stretch(some: Sequence[Decided], answers: dict[int, str], remarkable: Set[int]) -> dict[str, Any]:
    taken = [made for decided in some for made in decided.proposals if made.verdict == ACCEPTED]
    rules = Counter(made.why.head for made in taken)
    return {
        "first": some[0].decision,
        "last": some[-1].decision,
        "begins": duration(some[0].at_s),
        "wells": names(list(dict.fromkeys(made.well for made in taken))),
        "rules": ", ".join(f"{rule} ({times})" if len(rules) > 1 else rule for rule, times in rules.most_common()),
        "fields": count(sum(len(made.fields) for made in taken), "field"),
        "denied": sum(len(_denied(decided)) for decided in some),
        "members": [
            _decision(decided, answers.get(decided.decision, ""), shown=decided.decision in remarkable)
            for decided in some
        ],
    }


def _decision(decided: Decided, answer: str, *, shown: bool) -> dict[str, Any]:
    """One decision; proposals with the same rule stand together."""
    taken = [made for made in decided.proposals if made.verdict == ACCEPTED]
    grouped: dict[str, list[ProposalRecord]] = defaultdict(list)
    for made in taken:
        grouped[made.why.head].append(made)
    return {
        "number": decided.decision,
        "shown": shown,
        "at": duration(decided.at_s),
        "policy": decided.policy,
        "stop": decided.stop.rstrip("."),
        "error": decided.error,
        "answer": answer,
        "shadow": "" if decided.shadow is None else in_shadow(decided.shadow),
        "wells": list(dict.fromkeys(made.well for made in taken)),
        "fields": count(sum(len(made.fields) for made in taken), "field"),
        "groups": [_group(rule, members) for rule, members in grouped.items()],
        "denied": [{"well": made.well, "verdict": made.verdict, "rule": made.why.head} for made in _denied(decided)],
    }


def _group(rule: str, members: Sequence[ProposalRecord]) -> dict[str, Any]:
    """Proposals of one rule; a sentence, and a next in line, that all of them share are said once."""
    texts, following = {made.why.text for made in members}, {made.why.instead for made in members}
    shared = texts.pop() if len(texts) == 1 and len(members) > 1 else ""
    instead = following.pop() if len(following) == 1 and len(members) > 1 else None
    return {
        "rule": rule,
        "shared": shared,
        "instead": instead,
        "members": [_member(made, shared, instead) for made in members],
    }


def _member(made: ProposalRecord, shared: str, instead: str | None) -> dict[str, Any]:
    under = "" if made.profile == "main" else f" under {made.profile}"
    noun = "field" if len(made.fields) == 1 else "fields"
    return {
        "well": made.well,
        "text": "" if shared else made.why.text,
        "visit": f"visit {made.visit}: {noun} {', '.join(made.fields)}{under}",
        "numbers": ", ".join(figure(name, value) for name, value in made.why.numbers.items()),
        "instead": None if instead else made.why.instead,
    }
