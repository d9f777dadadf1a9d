"""A policy on a plate of numbers (`phenoloop.testing.play`): it is asked and told as the loop asks and tells."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from phenoloop.model import Context, FieldResult, Proposal, Setup, Stop, Visit, Why
from phenoloop.policies.sweep import Sweep
from phenoloop.testing import READOUT, play, small_plate


def look(visit: Visit) -> list[FieldResult]:
    """The second column cannot be measured."""
    status = "qc_fail" if visit.well.endswith("2") else "ok"
    return [FieldResult(field=place.field, status=status, readouts={READOUT: 1.0}) for place in visit.fields]


class Watched(Sweep):
    """Notes what was under way when it was asked."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(Sweep.Params(), setup)
        self.under_way: list[int] = []

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        self.under_way.append(len(context.pending))
        return super().ask(k, context)


@pytest.mark.parametrize(
    ("lag", "most"), [pytest.param(0, 0, id="results-awaited"), pytest.param(1, 4, id="in-flight")]
)
def test_every_field_is_seen_once_and_told_in_order(lag: int, most: int) -> None:
    plate = small_plate()
    policy = Watched(plate)
    done = play(policy, plate, look, lag=lag)
    assert sorted((v.well, place.field) for v in done.visits for place in v.fields) == sorted(
        (well, str(f)) for well in plate.wells for f in range(4)
    )
    assert [result.visit for result in done.results] == [visit.number for visit in done.visits]
    assert done.reason
    assert max(policy.under_way) == most
    assert len(done.accepted()) == 4 * 20
    assert {readout.well[1:] for readout in done.accepted()} == set("13456")
    assert done.wells("main", *set(done.rules)) == [visit.well for visit in done.visits]


def test_what_has_no_end_is_told() -> None:
    class Endless(Watched):
        def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
            return [Proposal(well="A1", fields=("0",), score=1.0, why=Why(rule="again", text="because"))]

    plate = small_plate()
    with pytest.raises(AssertionError, match="no end after 30 asks"):
        play(Endless(plate), plate, look, most_asks=30)
