"""How often each reason led to an image: first, last, refused and why; of `rules` also what never fired or is on.

Counted from the decisions. What is on at the end, and what a rule could not know, is what the policy itself says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from phenoloop.model import Decided
from phenoloop.watch.alike import told_once
from phenoloop.watch.tally import ACCEPTED
from phenoloop.watch.verdict import count, duration, names

WHERE_TOLD: Final = 6
REFUSALS_TOLD: Final = 2


def rule_rows(
    decisions: Sequence[Decided], parameters: Mapping[str, Any], believes: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a row for each rule, in the order of the protocol, then for other reasons in that of their first use.

    Parameters
    ----------
    decisions : sequence of Decided
        All of a run.
    parameters : mapping
        Of the policy; its rules, also those of its parts, are told even if they never fired.
    believes : mapping
        What the policy says of itself at the end.
    """
    written = {rule["name"]: rule for rule in _rules(parameters)}
    state = dict(_states(believes))
    rows = {name: _row(name, rule) for name, rule in written.items()}
    for decided in decisions:
        for made in decided.proposals:
            name = made.why.rule if made.why.rule in written else made.why.head
            row = rows.setdefault(name, _row(name, {}))
            if made.verdict != ACCEPTED:
                row["refused"].append(made.verdict)
                continue
            row["visits"] += 1
            row["fields"] += len(made.fields)
            row["wells"].add(made.well)
            row["first"] = row["first"] or duration(decided.at_s)
            row["last"] = duration(decided.at_s)
        for name in written:
            if decided.stop.endswith(f"(rule {name})"):
                rows[name]["last"] = duration(decided.at_s)
                rows[name]["said"].append("ended the run")
    for name, told in state.items():
        if name in rows:
            rows[name]["said"] += _state(told)
    return [_told(row) for row in rows.values()]


def _row(name: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    fresh = {"visits": 0, "fields": 0, "first": "", "last": "", "when": rule.get("when", "")}
    return {"rule": name, **fresh, "wells": set(), "refused": [], "said": []}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    refusals = [
        f"refused {times} times: {why}" if times > 1 else f"refused: {why}"
        for why, times in told_once(row["refused"], most=REFUSALS_TOLD)
    ]
    said = [*row["said"], *refusals]
    if not row["last"] and not row["refused"]:
        said.insert(0, "never fired")
    return row | {"wells": len(row["wells"]), "refused": len(row["refused"]), "said": "; ".join(said)}


def _state(told: Mapping[str, Any]) -> Iterator[str]:
    if on := told.get("on"):
        more = f" and {on - WHERE_TOLD} more" if on > WHERE_TOLD else ""
        where = ", ".join(told["where"][:WHERE_TOLD]) + more if more else names(told["where"])
        yield f"at the end still on in {where}"
    if unknown := told.get("unknown"):
        yield f"could not be told in {count(unknown['rows'], 'place')}: {unknown['missing'].removeprefix('unknown: ')}"


def _rules(parameters: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rules in parameters of a policy, those of its parts too."""
    if isinstance(parameters, Mapping):
        for key, value in parameters.items():
            if key == "rules" and isinstance(value, list | tuple):
                yield from (rule for rule in value if isinstance(rule, Mapping) and "name" in rule)
            else:
                yield from _rules(value)
    elif isinstance(parameters, list | tuple):
        for value in parameters:
            yield from _rules(value)


def _states(believes: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what rules say of themselves, those of parts too."""
    if isinstance(believes, Mapping):
        for key, value in believes.items():
            if key == "rules" and isinstance(value, Mapping):
                yield from ((name, told) for name, told in value.items() if isinstance(told, Mapping))
            else:
                yield from _states(value)
