"""Rules of the protocol's own: a condition over what was seen, and what to do while it holds.

A rule is switched on when ``when`` becomes true of a well or of a field, and off when ``clear`` is true (or ``when`` is
false) and ``hold`` is over. What is unknown switches nothing, either way, and is reported. A well with a visit under
way is not judged anew before its result is told, so a rule does not ask twice for what it is about to get.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult, Why
from phenoloop.policies.plate_table import PlateTable
from phenoloop.policies.rule_checks import Rule, compile_rules, sorted_names
from phenoloop.policies.rule_facts import Facts, FieldSeen
from phenoloop.policies.rule_memory import Key, RuleMemory
from phenoloop.policies.rule_params import RulesParams
from phenoloop.policies.rule_wishes import RuleWishes, Wish

TOLD: Final = 50
"""Wells or fields that the report lists of each rule."""

Columns = Mapping[str, NDArray[Any]]


class Rules:
    """Follows rules that the protocol gives.

    Parameters
    ----------
    params : RulesParams
        As in the protocol.
    setup : Setup
        Wells, readouts, controls, profiles, limits.

    Raises
    ------
    ProtocolError
        With everything that is wrong with the rules, each at its place.
    """

    kind: ClassVar[str] = "rules"
    Params: ClassVar[type[RulesParams]] = RulesParams

    def __init__(self, params: RulesParams, setup: Setup) -> None:
        self._setup = setup
        self._rules = compile_rules(params, setup)
        self._places = {rule.name: i for i, rule in enumerate(self._rules)}
        self._names = {level: sorted_names(self._rules, level) for level in ("well", "field")}
        self._table = PlateTable(setup)
        self._fields: list[FieldSeen] = []
        self._rows: dict[Key, int] = {}
        self._memory = [RuleMemory(rule) for rule in self._rules]
        self._wishes = RuleWishes(setup, self._memory, self._table, self._fields, params.fields_per_visit)
        self._told_s = 0.0

    def try_alone(self) -> None:
        """See that something will be imaged at all; called when a protocol is loaded that has no other policy.

        Raises
        ------
        ProtocolError
            If no rule is on before anything was seen.
        """
        facts = self._facts(np.array(self._setup.fields, dtype=np.int64), 0.0)
        for i, rule in enumerate(self._rules):
            if rule.image is not None and rule.params.level == "well" and np.any(self._memory[i].on(facts)):
                return
        said = (
            "no rule is on before anything was seen, so nothing would ever be imaged: begin with one such as "
            "when: n_fields < 1, do: {image: {fields: 1}}"
        )
        raise ProtocolError(Problem(said, where="policy.rules"))

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        left = self._table.left(context)
        facts = self._facts(left, context.at_s)
        on = [memory.on(facts) for memory in self._memory]
        columns = {level: facts.columns(names, level) for level, names in self._names.items()}
        for rule, rows in zip(self._rules, on, strict=True):
            if rule.stop is not None and rows.any():
                return Stop(reason=self._reason(rule, columns, int(np.flatnonzero(rows)[0])))
        wishes = self._wishes.of(on, left, context, k + 1)
        due = [wish for wish in wishes if wish.due_s <= context.at_s]
        # A visit that waits holds up those behind it: only where nothing else is to be done at all.
        later = sorted((wish for wish in wishes if wish.due_s > context.at_s), key=lambda wish: wish.due_s)
        chosen = due if due or context.pending else later[:1]
        if not chosen:
            return [] if context.pending else Stop(reason=self._nothing(on, facts))
        following = [*chosen, *later][k:] if due else []
        instead = self._setup.wells[following[0].key[0]] if following else None
        return [self._proposal(wish, columns, instead) for wish in chosen[:k]]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        i = self._table.place(visit.well)
        if i is None:
            return
        own = self._places.get(visit.by)
        keys: list[Key] = [(i, "")]
        if own is not None and self._rules[own].params.level == "field":
            keys += [(i, place.field) for place in visit.fields]
        if all(one.status == "vetoed" for one in result.fields):
            if own is not None:
                self._memory[own].deny(keys)
            return
        self._told_s = max(self._told_s, result.at_s)
        self._table.tell(visit, result)
        self._see(i, visit, result)
        if own is not None:
            names = [place.field for place in visit.fields]
            self._memory[own].spend(i, names, [self._rows.get((i, name)) for name in names])
        facts = self._facts(self._unused(), result.at_s)
        for memory in self._memory:
            if memory.rule.remembers:
                memory.remember(facts)

    def report(self) -> Mapping[str, Any]:
        """Return, for each rule, where it is on, what it imaged, and where it is unknown and why."""
        facts = self._facts(self._unused(), self._told_s)
        rules: dict[str, Any] = {}
        for i, rule in enumerate(self._rules):
            rows = [self._name(rule, int(row)) for row in np.flatnonzero(self._memory[i].on(facts))]
            said: dict[str, Any] = {"on": len(rows), "where": rows[:TOLD], "fields": self._memory[i].total}
            if unknown := self._memory[i].unknown(facts):
                said["unknown"] = unknown
            rules[rule.name] = said
        return {"rules": rules, "left_alone": self._table.left_alone()}

    # -- what was seen ----------------------------------------------------------------------------------------------

    def _see(self, i: int, visit: Visit, result: VisitResult) -> None:
        objects = {place.field for place in visit.fields if place.target is not None}
        for one in result.fields:
            if one.field in objects or one.status == "missing":
                continue
            key = (i, one.field)
            if key not in self._rows:
                self._rows[key] = len(self._fields)
                self._fields.append(FieldSeen(well=i, name=one.field, readouts={}))
            seen = self._fields[self._rows[key]]
            seen.looks += 1
            seen.last_s = result.at_s if one.at_s is None else one.at_s
            if one.status == "ok":
                seen.readouts.update({name: value for name, value in one.readouts.items() if value is not None})

    def _unused(self) -> NDArray[np.int64]:
        every = np.array(self._setup.fields, dtype=np.int64)
        left: NDArray[np.int64] = np.maximum(0, every - self._table.used_fields("main"))
        return left

    def _facts(self, left: NDArray[np.int64], at_s: float) -> Facts:
        return Facts(self._setup, self._table, self._fields, left, at_s)

    def _proposal(self, wish: Wish, columns: Mapping[str, Columns], instead: str | None) -> Proposal:
        rule = self._rules[wish.rule]
        assert rule.image is not None
        shown = self._shown(rule, columns, wish.row)
        numbers = {name: value for name, value in shown.items() if isinstance(value, float) and math.isfinite(value)}
        return Proposal(
            well=self._setup.wells[wish.key[0]],
            fields=(wish.key[1],) if wish.key[1] else wish.fields,
            profile=rule.image.profile,
            # Rule by rule; in one rule what has least comes first.
            score=float(len(self._rules) - wish.rule) + 1 / (2 + wish.have),
            why=Why(rule=rule.name, text=rule.because.fill(shown), numbers=numbers, instead=instead, by=rule.name),
            not_before_s=wish.due_s if math.isfinite(wish.due_s) else None,
        )

    # -- words ------------------------------------------------------------------------------------------------------

    def _shown(self, rule: Rule, columns: Mapping[str, Columns], row: int) -> dict[str, float | str | None]:
        found: dict[str, float | str | None] = {}
        for name in rule.shown:
            if name == "field":
                found[name] = self._fields[row].name
                continue
            value = columns[rule.params.level][name][row]
            found[name] = value if value is None or isinstance(value, str) else float(value)
        return found

    def _reason(self, rule: Rule, columns: Mapping[str, Columns], row: int) -> str:
        assert rule.stop is not None
        shown = self._shown(rule, columns, row)
        because = rule.because.fill(shown)
        return f"{rule.stop.fill(shown)}{': ' if because else ''}{because} (rule {rule.name})"

    def _nothing(self, on: Sequence[NDArray[np.bool_]], facts: Facts) -> str:
        """Return why no rule asks for an image: what each has had, and where one is on and cannot have more."""
        said = ["no rule asks for another image"]
        for memory, rows in zip(self._memory, on, strict=True):
            rule, unknown = memory.rule, memory.unknown(facts)
            if rule.image is not None:
                taken = f"{rule.name} took {memory.total} {'field' if memory.total == 1 else 'fields'}"
                fits = f", and fits {_count(rows, rule)} that may have no more" if rows.any() else ""
                said.append(taken + fits)
            if unknown:
                said.append(f"{rule.name} is unknown in {unknown['rows']} {rule.params.level}s: {unknown['missing']}")
        return "; ".join(said)

    def _name(self, rule: Rule, row: int) -> str:
        well = self._setup.wells[self._wishes.well(rule, row)]
        return well if rule.params.level == "well" else f"{well} field {self._fields[row].name}"


def _count(rows: NDArray[np.bool_], rule: Rule) -> str:
    count = int(rows.sum())
    return f"{count} {rule.params.level}{'' if count == 1 else 's'}"
