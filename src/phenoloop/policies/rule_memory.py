"""What a rule remembers: since when it is on for each well or field, and what it has spent. Only tells change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.policies.rule_checks import Rule
from phenoloop.policies.rule_facts import Facts, meaning

Key = tuple[int, str]
"""A field (well, name); the name is empty for the well itself."""


@dataclass(slots=True)
class RuleMemory:
    """The memory of one rule.

    Attributes
    ----------
    rule : Rule
        Whose.
    since : list of float
        For each well or field, the run clock at which it was switched on; NaN is off.
    served : list of bool
        The field was imaged since.
    spent : dict of field to int
        Fields imaged by it, by (well, "") and by (well, field).
    total : int
        All of them.
    vetoed : dict of field to int
        Denials in a row.
    """

    rule: Rule
    since: list[float] = field(default_factory=list)
    served: list[bool] = field(default_factory=list)
    spent: dict[Key, int] = field(default_factory=dict)
    total: int = 0
    vetoed: dict[Key, int] = field(default_factory=dict)

    def on(self, facts: Facts) -> NDArray[np.bool_]:
        """Return where the rule has something to do, shape (rows,)."""
        since, fresh = self._switched(facts)
        on = ~np.isnan(since)
        if self.rule.once:
            served = np.zeros(len(on), dtype=np.bool_)
            served[: len(self.served)] = self.served
            on &= fresh | ~served
        return on

    def unknown(self, facts: Facts) -> dict[str, Any]:
        """Return in how many wells or fields the rule is unknown, and for want of what; nothing where it is in none."""
        when, level = self.rule.when, self.rule.params.level
        n = facts.rows(level)
        columns = facts.columns(when.names_used, level)
        rows = np.isnan(when.evaluate(columns, n))
        if not rows.any():
            return {}
        missing = [
            f"{name} missing, it needs {meaning(name)}"
            for name, column in columns.items()
            if any(value is None or value != value for value in column[rows])
        ]
        return {"rows": int(rows.sum()), "missing": f"unknown: {'; '.join(missing) or 'it cannot be computed'}"}

    def remember(self, facts: Facts) -> None:
        """Switch on and off by what is known now."""
        since, fresh = self._switched(facts)
        self.served += [False] * (len(since) - len(self.served))
        for row in np.flatnonzero(fresh):
            self.served[int(row)] = False
        self.since = [float(value) for value in since]

    def spend(self, well: int, fields: Sequence[str], rows: Sequence[int | None]) -> None:
        """Take in a visit of its own; `rows` are those of the fields, None for one that was not seen."""
        self.vetoed.pop((well, ""), None)
        self.total += len(fields)
        self.spent[well, ""] = self.spent.get((well, ""), 0) + len(fields)
        for name, row in zip(fields, rows, strict=True):
            self.vetoed.pop((well, name), None)
            self.spent[well, name] = self.spent.get((well, name), 0) + 1
            if row is not None and row < len(self.served):
                self.served[row] = True

    def deny(self, keys: Sequence[Key]) -> None:
        """Take in a visit of its own that was denied."""
        for key in keys:
            self.vetoed[key] = self.vetoed.get(key, 0) + 1

    def _switched(self, facts: Facts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return since when each row is on (NaN: off), and which were off before."""
        rule = self.rule
        level, n = rule.params.level, facts.rows(rule.params.level)
        since = np.full(n, np.nan)
        since[: len(self.since)] = self.since
        before = ~np.isnan(since)
        columns = facts.columns(rule.shown, level)
        fires = rule.when.evaluate(columns, n)
        if rule.stays:
            over = np.zeros(n, dtype=np.bool_)
        else:
            over = fires == 0 if rule.clear is None else rule.clear.evaluate(columns, n) == 1
            over &= facts.at_s - np.where(before, since, facts.at_s) >= rule.params.hold
        since[before & over] = np.nan
        fresh = np.isnan(since) & (fires == 1)
        since[fresh] = facts.at_s
        return since, fresh
