"""Hostile expressions: how long a rule that holds one takes to be refused, and which is the slowest.

    python benchmarks/policies.py --rows expressions

The table is that of the tests (`tests/decisions/hostile.py`). Each is loaded as the condition of a rule, once to warm
up and then `seeds` times, in processor time, with the garbage collector as it is. The bar is held against the median of
the slowest expression: what it costs. The worst single load of all is told beside it, without a bar, because it is not
the expression's: of 19 200 loads three took more than 3 ms, two of them 15.6 and 16.9 ms, in which a collection of the
whole process took 14.8 and 16.1 ms. The last row is a rule that is accepted and costs the checks of its ranges most.
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
    """Yield how many were refused, the slowest, the worst single load, and the costliest rule that is accepted."""
    refused = sum(_refused(source) for source in EXPRESSIONS.values())
    world = f"{len(EXPRESSIONS)} expressions, each as `when` of a rule"
    yield Row("hostile expressions refused", world, refused, None, None, len(EXPRESSIONS), refused == len(EXPRESSIONS))
    taken = {name: _milliseconds(lambda source=source: _refused(source), seeds) for name, source in EXPRESSIONS.items()}
    slowest = max(taken, key=lambda name: _middle(taken[name]))
    some = taken[slowest]
    said = f"{slowest!r}; median, least and most of {seeds} loads, processor time"
    middle = _middle(some)
    yield Row("ms to refuse the slowest expression", said, middle, min(some), max(some), BAR_MS, middle < BAR_MS)
    worst = max(taken, key=lambda name: max(taken[name]))
    said = f"{worst!r} (median {_middle(taken[worst]):.2g}); most of {seeds * len(EXPRESSIONS)} loads, with collections"
    yield Row("ms of the worst single load", said, max(taken[worst]), None, None, None, None)
    some = _milliseconds(lambda: _refused(COSTLY), seeds)
    said = f"{len(COSTLY)} characters of alternatives; median, least and most of {seeds} loads"
    yield Row("ms to load the costliest rule that is accepted", said, _middle(some), min(some), max(some), None, None)


def _refused(source: str) -> bool:
    rule = {"name": "x", "when": source, "do": {"image": {}}, "because": "x", "limits": {"fields": 9}}
    try:
        Rules(Rules.Params(rules=[rule]), setup())
    except ProtocolError:
        return True
    return False


def _milliseconds(load: Callable[[], object], times: int) -> list[float]:
    load()
    taken = []
    for _ in range(times):
        begun = time.process_time()
        load()
        taken.append(1000 * (time.process_time() - begun))
    return taken


def _middle(taken: list[float]) -> float:
    return sorted(taken)[len(taken) // 2]
