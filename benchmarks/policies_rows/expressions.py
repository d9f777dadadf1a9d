"""Hostile expressions: how long a rule that holds one takes to be refused, and which is the slowest.

    python benchmarks/policies.py --rows expressions

The table is that of the tests (`tests/decisions/hostile.py`). Each is loaded as the condition of a rule, once to warm
up and then `seeds` times; what counts is processor time, because the machine may have other things to do. The last row
is a rule that is accepted and costs the checks of its ranges most: a product of alternatives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.policies_rows import Row
from phenoloop.errors import ProtocolError
from phenoloop.policies.rules import Rules
from tests.decisions.hostile import COSTLY, EXPRESSIONS
from tests.decisions.plates import setup

BAR_MS = 10.0


def rows(seeds: int) -> Iterator[Row]:
    """Yield how many were refused, the slowest, and the costliest rule that is accepted."""
    refused = sum(_refused(source) for source in EXPRESSIONS.values())
    world = f"{len(EXPRESSIONS)} expressions, each as `when` of a rule"
    yield Row("hostile expressions refused", world, refused, None, None, len(EXPRESSIONS), refused == len(EXPRESSIONS))
    taken = {name: _milliseconds(lambda source=source: _refused(source), seeds) for name, source in EXPRESSIONS.items()}
    slowest = max(taken, key=lambda name: taken[name][1])
    middle, most = taken[slowest]
    said = f"{slowest!r}; median and most of {seeds} loads, processor time"
    yield Row("ms to refuse the slowest", said, most, middle, most, BAR_MS, most < BAR_MS)
    middle, most = _milliseconds(lambda: _refused(COSTLY), seeds)
    said = f"{len(COSTLY)} characters of alternatives; median and most of {seeds} loads"
    yield Row("ms to load the costliest rule that is accepted", said, most, middle, most, None, None)


def _refused(source: str) -> bool:
    rule = {"name": "x", "when": source, "do": {"image": {}}, "because": "x", "limits": {"fields": 9}}
    try:
        Rules(Rules.Params(rules=[rule]), setup())
    except ProtocolError:
        return True
    return False


def _milliseconds(load: Callable[[], object], times: int) -> tuple[float, float]:
    load()
    taken = []
    for _ in range(times):
        begun = time.process_time()
        load()
        taken.append(1000 * (time.process_time() - begun))
    return sorted(taken)[len(taken) // 2], max(taken)
