"""The virtual clock moves by the cost model alone: never by the wall, never by what viewers or disks do."""

from __future__ import annotations

import threading
import time

import pytest

from phenoloop.microscope.clock import RealClock, VirtualClock
from phenoloop.model import VisitEnded
from tests.microscope.builders import DNA, GFP, Flaw, acquire, make_plan, opened

pytestmark = pytest.mark.mm


def take_three(*, busy: bool = False, stage_fault: bool = False) -> list[VisitEnded]:
    plan = make_plan()
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            sum(range(1000))

    burner = threading.Thread(target=burn)
    if busy:
        burner.start()
    try:
        with opened(plan) as (scope, sink):
            if stage_fault:
                Flaw(scope.core, "setXYPosition", lambda n: n == 2)
            for number, (well, at_s) in enumerate((("A1", 0.0), ("A3", 0.0), ("A2", 100.0)), start=1):
                scope.acquire(acquire(plan, number, well, at_s=at_s))
                if busy:
                    time.sleep(0.05)
            sink.wait(ends=3)
            return sink.ends
    finally:
        stop.set()
        if busy:
            burner.join()


def test_two_runs_agree_to_the_last_digit_however_busy_the_computer() -> None:
    assert take_three() == take_three(busy=True)


def test_a_fault_takes_time_of_its_own() -> None:
    calm, troubled = take_three(), take_three(stage_fault=True)
    assert troubled[0].at_s > calm[0].at_s
    assert take_three(stage_fault=True) == troubled


def test_the_first_visit_takes_what_the_cost_model_says() -> None:
    plan = make_plan()
    cost = plan.cost
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    # Three fields; the stage stands at the first one; two channels each, and back to the first channel twice.
    moves = 2 * cost.move_s(300.0, -100.0)
    changes = 6 * cost.channel_s
    frames = 3 * ((DNA.exposure_ms + GFP.exposure_ms) / 1000 + 2 * cost.readout_s)
    assert sink.ends[0].at_s == pytest.approx(moves + changes + frames)
    assert [frame.at_s for frame in sink.ends[0].frames] == sorted(frame.at_s for frame in sink.ends[0].frames)


def test_a_visit_begins_when_it_is_due_or_when_the_microscope_is_free() -> None:
    third = take_three()[2]
    assert third.frames[0].at_s > 100.0
    early = take_three()[1]
    assert early.frames[0].at_s > take_three()[0].at_s


def test_a_resumed_run_goes_on_where_it_was() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    with opened(plan, start_s=500.0) as (scope, sink):
        assert scope.now_s() == 500.0
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert 500.0 < sink.ends[0].at_s < 501.0


def test_the_virtual_clock_stands_still_and_jumps() -> None:
    clock = VirtualClock(3.0)
    assert clock.wait_s(1e9) == 0.0
    clock.begin(10.0)
    clock.begin(5.0)
    clock.spend(0.5)
    assert clock.now_s() == 10.5


def test_the_real_clock_passes_by_itself() -> None:
    clock = RealClock(100.0)
    before = clock.now_s()
    clock.begin(1e9)
    clock.spend(1e9)
    assert 100.0 <= before <= clock.now_s() < 1000.0
    assert 0.0 < clock.wait_s(1000.0) <= 900.0
