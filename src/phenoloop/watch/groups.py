"""Rejected fields by treatment, controls apart: a gate that rejects one group more often biases the answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from phenoloop.model import Plan, Setup
from phenoloop.numerics.association import permutation_p
from phenoloop.watch.alike import told_once
from phenoloop.watch.tally import Tally


def group_of_wells(plan: Plan, setup: Setup) -> dict[str, str]:
    """Return the group of each selected well: the first text column of the plate map, controls apart."""
    columns = dict.fromkeys(name for well in plan.wells for name in well.properties)
    text = [c for c in columns if all(isinstance(well.properties.get(c), str | None) for well in plan.wells)]
    controls = set(setup.controls)

    def group(name: str, properties: Mapping[str, Any]) -> str:
        label = str(properties.get(text[0])) if text else "wells"
        if name in controls:
            return f"controls ({label})" if text else "controls"
        return label

    return {well.name: group(well.name, well.properties) for well in plan.wells}


def rejections(plan: Plan, setup: Setup, tally: Tally) -> list[dict[str, Any]]:
    """Return one row per group: wells, fields that were accepted and not, share, most frequent reasons."""
    groups = group_of_wells(plan, setup)
    wells = Counter(groups.values())
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, list[str]] = defaultdict(list)
    for result in tally.results.values():
        name = groups[result.well]
        statuses[name][result.status] += 1
        if result.status != "ok":
            reasons[name].append(result.reason or result.status)
    return [
        {
            "group": name,
            "wells": size,
            "ok": statuses[name]["ok"],
            "rejected": statuses[name].total() - statuses[name]["ok"],
            "share": 1 - statuses[name]["ok"] / total if (total := statuses[name].total()) else None,
            "reasons": told_once(reasons[name], most=3),
        }
        for name, size in sorted(wells.items(), key=lambda item: (not item[0].startswith("controls"), item[0]))
    ]


def dependence(plan: Plan, setup: Setup, tally: Tally) -> float | None:
    """Return the p-value of "rejections do not depend on the group"; None where there is nothing to compare."""
    groups = group_of_wells(plan, setup)
    rejected: Counter[str] = Counter()
    fields: Counter[str] = Counter()
    for result in tally.results.values():
        fields[result.well] += 1
        rejected[result.well] += result.status != "ok"
    names = list(groups)
    return permutation_p(
        [groups[name] for name in names],
        [rejected[name] for name in names],
        [fields[name] for name in names],
        seed=plan.seed,
    )
