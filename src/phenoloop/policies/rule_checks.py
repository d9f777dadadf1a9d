"""What can be known of rules before the run: names, conditions that decide nothing, rules at odds, budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import CONFIRM, Setup
from phenoloop.policies.plate_table import readouts_of
from phenoloop.policies.rule_facts import vocabulary
from phenoloop.policies.rule_params import ImageParams, RuleParams, RulesParams
from phenoloop.policies.templates import Template, compile_template
from phenoloop.protocol.expression_ranges import always, cases, never, together
from phenoloop.protocol.expression_spans import Box, Range
from phenoloop.protocol.expressions import ExpressionError, TableCondition, compile_table
from phenoloop.protocol.names import nearest

Found = TypeVar("Found")
RESERVED: Final = (CONFIRM, "controls on their quota")
"""Rules of the core's own: what they image is treated in a way of its own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that can be followed. Picklable.

    Attributes
    ----------
    params : RuleParams
        As written.
    when, clear : TableCondition
        Its conditions; without `clear` it goes off when `when` is false.
    because, stop : Template or None
        What is told.
    """

    params: RuleParams
    when: TableCondition
    clear: TableCondition | None
    because: Template
    stop: Template | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.params.name

    @property
    def image(self) -> ImageParams | None:
        """How it images, if it does."""
        return self.params.do.image

    @property
    def shown(self) -> tuple[str, ...]:
        """Names that it looks at or tells."""
        stop = () if self.stop is None else self.stop.names
        clear = () if self.clear is None else self.clear.names_used
        return tuple(dict.fromkeys((*self.when.names_used, *clear, *self.because.names, *stop)))

    @property
    def once(self) -> bool:
        """Whether it images a field once, and not again before it was off."""
        return self.params.level == "field" and self.image is not None and self.image.every is None

    @property
    def stays(self) -> bool:
        """Whether nothing switches it off."""
        return self.params.do.leave is not None and self.clear is None

    @property
    def remembers(self) -> bool:
        """Whether it may be on for a reason that is past."""
        return self.clear is not None or self.params.hold > 0 or self.once or self.stays


def compile_rules(params: RulesParams, setup: Setup) -> list[Rule]:
    """Return the rules of a protocol.

    Parameters
    ----------
    params : RulesParams
        As written.
    setup : Setup
        The plate: which names there are, and what limits the run.

    Raises
    ------
    ProtocolError
        With everything that is wrong, each at its key; `Problem.column` counts inside the value.
    """
    problems: list[Problem] = []
    for name in params.ranges:
        if name not in readouts_of(setup):
            said = f"there is no readout {name!r}{nearest(name, readouts_of(setup))}"
            problems.append(Problem(said, where=f"policy.ranges.{name}"))
    declared = dict(params.ranges)
    for name, (low, high) in params.ranges.items():
        if low is not None and high is not None and low >= high:
            problems.append(
                Problem("the first number is the least, the second the greatest", where=f"policy.ranges.{name}")
            )
            del declared[name]
    ranges = {level: vocabulary(setup, level, declared) for level in ("well", "field")}
    rules = [_compiled(i, rule, ranges[rule.level], problems) for i, rule in enumerate(params.rules)]
    for i, given in enumerate(params.rules):
        _check_place(i, given, params, setup, problems)
    found = [(i, rule) for i, rule in enumerate(rules) if rule is not None]
    sound = [(i, rule) for i, rule in found if _can_work(i, rule, ranges[rule.params.level], problems)]
    for place, (i, rule) in enumerate(sound):
        for _, earlier in sound[:place]:
            _check_pair(i, earlier, rule, ranges, problems)
    if problems:
        raise ProtocolError(*problems)
    return [rule for _, rule in found]


def _compiled(i: int, given: RuleParams, ranges: Mapping[str, Range], problems: list[Problem]) -> Rule | None:
    kinds = {name: "number" if one.words is None else "text" for name, one in ranges.items()}
    place = "a rule about wells" if given.level == "well" else "a rule about fields"
    before = len(problems)

    def condition(key: str, source: str | None) -> TableCondition | None:
        return (
            None if source is None else _try(f"policy.rules.{i}.{key}", problems, compile_table, source, kinds, place)
        )

    def template(key: str, source: str | None) -> Template | None:
        return None if source is None else _try(f"policy.rules.{i}.{key}", problems, compile_template, source, shown)

    shown = kinds | ({"field": "text"} if given.level == "field" else {})
    when, clear = condition("when", given.when), condition("clear", given.clear)
    because, stop = template("because", given.because), template("do.stop", given.do.stop)
    if len(problems) > before or when is None or because is None:
        return None
    return Rule(params=given, when=when, clear=clear, because=because, stop=stop)


def _try(where: str, problems: list[Problem], compile_: Callable[..., Found], *given: object) -> Found | None:
    try:
        return compile_(*given)
    except ExpressionError as error:
        problems.append(Problem(error.message, column=error.at + 1, where=where))
        return None


def _check_place(i: int, rule: RuleParams, params: RulesParams, setup: Setup, problems: list[Problem]) -> None:
    """Names, profiles and budgets."""
    where = f"policy.rules.{i}"
    if rule.name in [earlier.name for earlier in params.rules[:i]]:
        problems.append(Problem(f"two rules are called {rule.name!r}", where=f"{where}.name"))
    if rule.name in RESERVED:
        problems.append(Problem(f"{rule.name!r} is a word of phenoloop's own; choose another", where=f"{where}.name"))
    image = rule.do.image
    if image is None:
        return
    if setup.profiles and image.profile not in setup.profiles:
        known = list(setup.profiles)
        said = f"there is no profile {image.profile!r}{nearest(image.profile, known)} (one of {', '.join(known)})"
        problems.append(Problem(said, where=f"{where}.do.image.profile"))
    limits = setup.limits
    of_run = (limits.frames, limits.duration_s, limits.disk_bytes)
    own = (rule.limits.fields, rule.limits.per_well, rule.limits.per_field)
    if all(limit is None for limit in (*of_run, *own)):
        said = (
            f"nothing bounds what {rule.name!r} may spend: give the run limits (frames, duration or disk), "
            "or the rule its own, such as limits: {fields: 200}"
        )
        problems.append(Problem(said, where=where))


def _can_work(i: int, rule: Rule, ranges: Box, problems: list[Problem]) -> bool:
    """Refuse a condition that decides nothing."""
    where = f"policy.rules.{i}"
    said = ""
    if never(rule.when.tree, ranges):
        key, said = "when", f"this is never true{_because(rule.when, ranges)}"
    elif always(rule.when.tree, ranges):
        key, said = "when", f"this is always true{_because(rule.when, ranges)}, so it decides nothing"
    elif rule.clear is not None and never(rule.clear.tree, ranges):
        key, said = "clear", f"this is never true{_because(rule.clear, ranges)}, so the rule would never go off"
    elif rule.clear is not None and (both := together(cases(rule.when.tree, ranges, True), rule.clear.tree)):
        key, said = "clear", f"`when` and `clear` hold at once{_where(both[0], ranges)}; leave a gap between them"
    if said:
        problems.append(Problem(said, where=f"{where}.{key}"))
    return not said


def _check_pair(i: int, earlier: Rule, rule: Rule, ranges: Mapping[str, Box], problems: list[Problem]) -> None:
    """Refuse two rules that want different things of one target, and a rule that another one always overrules."""
    box = ranges[rule.params.level]
    if rule.params.level != earlier.params.level:
        return
    one, other = earlier.image, rule.image
    if one is not None and other is not None and one != other:
        both = [found for first in _on(earlier, box) for found in _on(rule, first)]
        if both:
            said = (
                f"{earlier.name!r} and {rule.name!r} can be on for the same {rule.params.level}"
                f"{_where(both[0], box)} and image it otherwise: let one exclude the other"
            )
            problems.append(Problem(said, where=f"policy.rules.{i}.when"))
    for leaves, images in ((earlier, rule), (rule, earlier)):
        if leaves.params.do.leave is None or images.image is None:
            continue
        acts = cases(images.when.tree, box, True)
        if not together(acts, leaves.when.tree, False) and all(_known(leaves.when, one) for one in acts):
            said = f"{leaves.name!r} leaves the well whenever {images.name!r} is on, so that one never images"
            problems.append(Problem(said, where=f"policy.rules.{i}.when"))


def _on(rule: Rule, box: Box) -> list[Box]:
    """Return the cases in which a rule is on, or may be on still."""
    found = cases(rule.when.tree, box, True)
    if rule.clear is not None:
        found = [*found, *cases(rule.clear.tree, box, False)]
    return found


def _known(condition: TableCondition, box: Box) -> bool:
    """Return whether all that a condition looks at is known in a case."""
    needs = [need for name in condition.names_used if name in box for need in box[name].needs]
    return all(name in box and box[name].low >= least for name, least in needs)


def _because(condition: TableCondition, ranges: Box) -> str:
    known = [
        f"{name} is {_span(ranges[name])}" for name in condition.names_used if name in ranges and _bounded(ranges[name])
    ]
    return f" ({'; '.join(known[:3])})" if known else ""


def _where(box: Box, ranges: Box) -> str:
    """Return an example in words: the names that a case says more of than is known anyway."""
    narrower = [f"{name} is {_span(box[name])}" for name in ranges if box.get(name) != ranges[name]]
    return f" (where {' and '.join(narrower[:3])})" if narrower else ""


def _bounded(one: Range) -> bool:
    return one.words is not None or math.isfinite(one.low) or math.isfinite(one.high)


def _span(one: Range) -> str:
    if one.words is not None:
        return " or ".join(repr(word) for word in one.words[:4]) + (" or another" if len(one.words) > 4 else "")
    if one.low == one.high:
        return f"{one.low:g}"
    if math.isinf(one.high):
        return f"{one.low:g} or more"
    if math.isinf(one.low):
        return f"{one.high:g} or less"
    return f"{one.low:g} to {one.high:g}"


def sorted_names(rules: Sequence[Rule], level: str) -> tuple[str, ...]:
    """Return every name that the rules of a level look at or tell, in order of first use."""
    return tuple(dict.fromkeys(name for rule in rules if rule.params.level == level for name in rule.shown))
