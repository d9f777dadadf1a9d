"""A policy on a plate of numbers (`phenoloop.testing.play`): it is asked and told as the loop asks and tells."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from phenoloop.model import Context, FieldResult, Limits, Proposal, Setup, Stop, Visit, VisitResult, Why
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


def test_no_more_frames_are_taken_than_there_are() -> None:
    plate = dataclasses.replace(small_plate(batch=4), limits=Limits(frames=7))
    done = play(Sweep(Sweep.Params(fields_per_visit=2), plate), plate, look)
    assert [len(visit.fields) for visit in done.visits] == [2, 2, 2, 1]
    assert len(done.results) == 4
    assert not done.reason


def test_it_can_be_ended_between_two_asks() -> None:
    plate = small_plate(batch=4)
    seen: list[str] = []

    def noted(visit: Visit) -> list[FieldResult]:
        seen.append(visit.well)
        return look(visit)

    done = play(Sweep(Sweep.Params(), plate), plate, noted, enough=lambda: len(seen) >= 8)
    assert len(done.results) == 8
    assert len(done.visits) == 12  # what was under way is not told


def test_after_a_stop_what_is_under_way_is_told_and_nobody_is_asked() -> None:
    class Hasty(Watched):
        def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
            return Stop(reason="enough") if super().ask(k, context) and len(self.under_way) == 2 else self.first(k)

        def first(self, k: int) -> Sequence[Proposal]:
            return [Proposal(well="A1", fields=1, score=1.0, why=Why(rule="look", text="because"))] * k

    plate = small_plate(batch=4)
    policy = Hasty(plate)
    done = play(policy, plate, look)
    assert (len(policy.under_way), len(done.visits), len(done.results), done.reason) == (2, 4, 4, "enough")


def test_time_goes_by_and_a_refusal_is_told() -> None:
    """Four visits of 2 s one after another, told 0.5 s after their end; a well that is denied is told as vetoed."""

    class Hearing(Sweep):
        heard: tuple[tuple[int, str, float], ...] = ()

        def tell(self, visit: Visit, result: VisitResult) -> None:
            self.heard += ((visit.number, result.fields[0].status, result.at_s),)
            super().tell(visit, result)

    plate = dataclasses.replace(small_plate(batch=4), limits=Limits(frames=4))
    policy = Hearing(Sweep.Params(order="plate"), plate)
    done = play(
        policy,
        plate,
        look,
        deny=lambda wish, at_s: wish.well == "A2" and at_s < 1,
        seconds=lambda visit, before: 2.0,
        latency_s=0.5,
    )
    assert policy.heard[0] == (-1, "vetoed", 0.0)
    assert [at_s for number, _, at_s in policy.heard if number > 0] == [2.5, 4.5, 6.5, 8.5]
    assert done.at_s == 8.5
    assert "A2" not in [visit.well for visit in done.visits[:3]]
