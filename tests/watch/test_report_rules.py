"""How often each rule fired: also those that never did, what was refused, what is on at the end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from phenoloop.model import Decided, ProposalRecord, Why
from phenoloop.watch.report_rules import rule_rows

PARAMETERS = {
    "rules": [
        {"name": "first look", "when": "n_fields < 2", "do": {"image": {}}},
        {"name": "close look", "when": "vesicles > 4", "do": {"image": {}}},
        {"name": "enough", "when": "plate_fields >= 6", "do": {"stop": "enough"}},
    ]
}
BELIEVES = {
    "rules": {
        "first look": {"on": 0, "where": [], "fields": 4},
        "close look": {
            "on": 8,
            "where": [f"B{i}" for i in range(1, 9)],
            "fields": 1,
            "unknown": {"rows": 3, "missing": "unknown: control_mean_vesicles missing, it needs a control"},
        },
    }
}


def proposal(well: str, rule: str, fields: int, verdict: str = "accepted", by: str = "") -> ProposalRecord:
    names = tuple(str(i) for i in range(fields))
    why = Why(rule=rule, text="", by=by or rule)
    visit = 1 if verdict == "accepted" else -1
    return ProposalRecord(
        well=well, profile="main", fields=names, score=1.0, why=why, verdict=verdict, visit=visit, targets=()
    )


def decided(number: int, at_s: float, *made: ProposalRecord, stop: str = "") -> Decided:
    return Decided(
        at_s=at_s, decision=number, told=0, asked=4, policy="rules", parameters={}, proposals=made, stop=stop
    )


RUN = [
    decided(1, 0.0, proposal("A1", "first look", 2), proposal("A2", "first look", 2)),
    decided(2, 60.0, proposal("A1", "close look", 1), proposal("A2", "close look", 1, "A2 had its light")),
    decided(3, 90.0, proposal("A3", "close look", 1, "A3 had its light")),
    decided(4, 120.0, stop="enough: six fields (rule enough)"),
]


def rows(parameters: Any = PARAMETERS, believes: Any = BELIEVES) -> dict[str, dict[str, Any]]:
    return {row["rule"]: row for row in rule_rows(RUN, parameters, believes)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            "first look", {"visits": 2, "fields": 4, "wells": 2, "first": "0 s", "last": "0 s", "said": ""}, id="fired"
        ),
        pytest.param(
            "close look",
            {
                "visits": 1,
                "refused": 2,
                "last": "1 min 00 s",
                "when": "vesicles > 4",
                "said": "at the end still on in B1, B2, B3, B4, B5, B6 and 2 more; "
                "could not be told in 3 places: control_mean_vesicles missing, it needs a control; "
                "refused 2 times: the well had its light",
            },
            id="refused, on, and unknown",
        ),
        pytest.param("enough", {"visits": 0, "last": "2 min 00 s", "said": "ended the run"}, id="ended the run"),
    ],
)
def test_a_rule(rule: str, expected: dict[str, Any]) -> None:
    row = rows()[rule]
    assert {key: row[key] for key in expected} == expected


def test_rules_stand_in_the_order_of_the_protocol_and_those_that_never_fired_too() -> None:
    quiet = {"rules": [{"name": "never", "when": "cells > 1e9"}, *PARAMETERS["rules"]]}
    found = rows(quiet)
    assert list(found) == ["never", "first look", "close look", "enough"]
    assert found["never"]["said"] == "never fired"


@pytest.mark.parametrize(
    ("parameters", "believes"),
    [
        pytest.param(
            {"parts": {"habits": {"policy": PARAMETERS}}}, {"parts": {"habits": {"believes": BELIEVES}}}, id="a part"
        ),
        pytest.param({"parts": [PARAMETERS]}, {}, id="a list of parts, silent"),
    ],
)
def test_rules_of_a_part_of_the_policy_are_found(parameters: Any, believes: Any) -> None:
    assert list(rows(parameters, believes)) == ["first look", "close look", "enough"]


def test_other_policies_tell_their_reasons_by_their_part() -> None:
    made = proposal("A1", "explore", 1, by="mix/hits")
    run = [decided(1, 0.0, made, dataclasses.replace(made, well="A2"))]
    assert [(row["rule"], row["visits"]) for row in rule_rows(run, {}, {})] == [(made.why.head, 2)]
