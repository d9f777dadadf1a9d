"""What rules that are on ask for: which visits, in which order, within the limits of each rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Context, Setup
from phenoloop.policies.plate_table import PlateTable
from phenoloop.policies.rule_checks import Rule
from phenoloop.policies.rule_facts import FieldSeen
from phenoloop.policies.rule_memory import Key, RuleMemory
from phenoloop.policies.told import MAX_VETOED


@dataclass(frozen=True, slots=True)
class Wish:
    """A visit that a rule asks for; `row` is its row among the wells, or among the fields seen."""

    rule: int
    row: int
    key: Key
    fields: int
    have: float
    due_s: float = -math.inf


class RuleWishes:
    """Reads what the policy `rules` knows, and changes nothing.

    Parameters
    ----------
    setup : Setup
        Wells and their fields.
    memory : sequence of RuleMemory
        Of each rule, in the order of the protocol.
    table : PlateTable
        What was told of the wells.
    fields : sequence of FieldSeen
        What was told of the fields; it grows.
    per_visit : int
        Fields of a visit where a rule does not say.
    """

    def __init__(
        self,
        setup: Setup,
        memory: Sequence[RuleMemory],
        table: PlateTable,
        fields: Sequence[FieldSeen],
        per_visit: int,
    ) -> None:
        self._setup, self._memory, self._table, self._fields = setup, memory, table, fields
        self._rules = [one.rule for one in memory]
        self._per_visit = per_visit

    def well(self, rule: Rule, row: int) -> int:
        """Return the well of a row of a rule: the row itself, or the well of the field that it is."""
        return row if rule.params.level == "well" else self._fields[row].well

    def of(self, on: Sequence[NDArray[np.bool_]], left: NDArray[np.int64], context: Context, enough: int) -> list[Wish]:
        """Return what is asked for, rule by rule, in each the wells with the fewest fields first.

        No more is looked for once `enough` wishes are due.
        """
        gone = {
            self.well(rule, int(row))
            for rule, rows in zip(self._rules, on, strict=True)
            if rule.params.do.leave is not None
            for row in np.flatnonzero(rows)
        }
        coming = self._table.pending(context)
        names = {(self._table.place(one.well), name) for one in context.pending for name in one.names}
        taken: dict[Key, None] = {}
        found: list[Wish] = []
        due = 0
        for i, (rule, rows) in enumerate(zip(self._rules, on, strict=True)):
            if rule.image is None:
                continue
            room, asked = self._room(i, context), self._under_way(i, context)
            for due_s, have, row in self._in_order(rule, np.flatnonzero(rows)):
                if due >= enough or room < 1:
                    break
                well = self.well(rule, row)
                key = (well, "" if rule.params.level == "well" else self._fields[row].name)
                busy = coming[well] > 0 if not key[1] else key in names
                if well in gone or busy or key in taken or self._memory[i].vetoed.get(key, 0) >= MAX_VETOED:
                    continue
                fields = int(min(self._fields_for(i, key, left), room, self._per_well(i, well) - asked.get(well, 0)))
                if fields >= 1:
                    room -= fields
                    asked[well] = asked.get(well, 0) + fields
                    taken[key] = None
                    due += due_s <= context.at_s
                    found.append(Wish(rule=i, row=row, key=key, fields=fields, have=have, due_s=due_s))
        return found

    def _in_order(self, rule: Rule, rows: NDArray[np.int64]) -> Iterator[tuple[float, int, int]]:
        """Yield (when due, fields or looks so far, row) of the rows of a rule, what comes first first."""
        image = rule.image
        assert image is not None
        if rule.params.level == "well":
            have = self._table.used_fields(image.profile)[rows]
            for place in np.argsort(have, kind="stable"):
                yield -math.inf, int(have[place]), int(rows[place])
            return
        seen = [(self._fields[int(row)], int(row)) for row in rows]
        yield from sorted(
            (-math.inf if image.every is None else one.last_s + image.every, one.looks, row) for one, row in seen
        )

    def _room(self, i: int, context: Context) -> float:
        """Return the fields that a rule may still image in all."""
        limit = self._rules[i].params.limits.fields
        if limit is None:
            return math.inf
        under_way = sum(one.fields for one in context.pending if one.by == self._rules[i].name)
        return limit - self._memory[i].total - under_way

    def _per_well(self, i: int, well: int) -> float:
        """Return the fields that a rule may still image in a well, those under way not counted."""
        limit = self._rules[i].params.limits.per_well
        return math.inf if limit is None else limit - self._memory[i].spent.get((well, ""), 0)

    def _under_way(self, i: int, context: Context) -> dict[int, int]:
        """Return the fields of a rule that are under way, by well."""
        found: dict[int, int] = {}
        for one in context.pending:
            place = self._table.place(one.well)
            if one.by == self._rules[i].name and place is not None:
                found[place] = found.get(place, 0) + one.fields
        return found

    def _fields_for(self, i: int, key: Key, left: NDArray[np.int64]) -> float:
        """Return how many fields a rule wants of a well, as far as there are any; 1 or 0 for a field."""
        rule, well = self._rules[i], key[0]
        image, again = rule.image, rule.params.limits.per_field
        assert image is not None
        if key[1]:
            return float(again is None or self._memory[i].spent.get(key, 0) < again)
        if image.profile == "main":
            unused = int(left[well])
        else:
            unused = self._setup.fields[well] - len(self._table.used(well, image.profile))
        return min(image.fields or self._per_visit, unused)
