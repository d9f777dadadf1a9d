"""The decisions on the page: few stand one by one, many are folded, and what is remarkable is never hidden."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from phenoloop.model import Answered, Decided, ProposalRecord, Why
from phenoloop.watch.report_decisions import LEAST, MOST, RARE, decision_rows

DENIED = "A1 has had its share of the frames (6 of 6)"


def proposal(visit: int, well: str = "A1", verdict: str = "accepted", instead: str | None = "B1") -> ProposalRecord:
    why = Why(rule="next time point", text="every 3 min", numbers={"late_s": 2.0}, instead=instead)
    return ProposalRecord(
        well=well, profile="main", fields=("0", "1"), score=0.0, why=why, verdict=verdict, visit=visit
    )


def decisions(n: int) -> list[Decided]:
    return [
        Decided(at_s=60.0 * i, decision=i, told=0, asked=1, policy="events", parameters={}, proposals=(proposal(i),))
        for i in range(1, n + 1)
    ]


def sizes(made: Sequence[Decided]) -> list[int]:
    return [len(row["members"]) for row in decision_rows(made)]


def test_few_stand_one_by_one() -> None:
    assert sizes(decisions(MOST)) == [1] * MOST


def test_many_are_folded_but_for_the_first_and_the_last() -> None:
    rows = decision_rows(decisions(52))
    spans = [(row["first"], row["last"]) for row in rows]
    assert spans == [(1, 1), (2, 11), (12, 21), (22, 31), (32, 41), (42, 51), (52, 52)]
    assert rows[1]["rules"] == "next time point"
    assert rows[1]["fields"] == f"{2 * LEAST} fields"
    assert [member["number"] for row in rows for member in row["members"]] == list(range(1, 53))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"proposals": (proposal(0, verdict=DENIED),)}, id="a denial"),
        pytest.param({"error": "ValueError: no"}, id="a policy that failed"),
    ],
)
def test_what_is_remarkable_stands_alone_and_open(changes: dict[str, object]) -> None:
    made = decisions(52)
    made[20] = dataclasses.replace(made[20], **changes)  # type: ignore[arg-type]
    row = next(row for row in decision_rows(made) if row["first"] == 21)
    assert row["last"] == 21
    assert row["members"][0]["shown"]


def test_denials_that_are_the_rule_are_counted_not_opened() -> None:
    made = decisions(52)
    for i in range(10, 10 + RARE + 1):
        made[i] = dataclasses.replace(made[i], proposals=(proposal(i + 1), proposal(0, verdict=DENIED)))
    rows = decision_rows(made)
    assert len(rows) == 7
    assert sum(row["denied"] for row in rows) == RARE + 1
    assert not any(member["shown"] for row in rows[1:-1] for member in row["members"])


def test_what_all_share_is_said_once() -> None:
    (row,) = decision_rows([dataclasses.replace(decisions(1)[0], proposals=(proposal(1, "A1"), proposal(2, "A2")))])
    (group,) = row["members"][0]["groups"]
    assert (group["shared"], group["instead"]) == ("every 3 min", "B1")
    assert [(m["text"], m["instead"], m["numbers"]) for m in group["members"]] == [("", None, "late 2 s")] * 2
    assert group["members"][1]["visit"] == "visit 2: fields 0, 1"


def test_what_a_person_said_is_told() -> None:
    said = Answered(at_s=0.0, decision=1, answer="go", by="a person at the terminal", judged=True)
    (row,) = decision_rows(decisions(1), [said])
    assert row["members"][0]["answer"] == "go, said a person at the terminal"
