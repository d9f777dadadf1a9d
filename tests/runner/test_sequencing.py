from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phenoloop.model import Acquire, FieldVisit, Measure, Measured, StopRequested, Visit, VisitEnded
from phenoloop.runner import VirtualOrder


def acquire(number: int, at_s: float) -> Acquire:
    fields = (FieldVisit(field="0", t=0, image=0),)
    return Acquire(
        at_s=at_s, visit=Visit(number=number, decision=1, well="A1", profile="main", fields=fields, channels=("DNA",))
    )


def test_a_result_waits_for_a_visit_that_may_end_before_it() -> None:
    order = VirtualOrder(latency_s=5.0)
    for number in (1, 2):
        order.sent(acquire(number, 0.0))
    order.push(VisitEnded(at_s=1.0, visit=1))
    assert order.pop() == VisitEnded(at_s=1.0, visit=1)
    order.sent(Measure(at_s=1.0, visit=1, field="0"))
    order.push(Measured(at_s=6.0, visit=1, field="0"))
    assert order.pop() is None  # visit 2 can still end before 6 s
    order.push(VisitEnded(at_s=2.0, visit=2))
    assert order.pop() == VisitEnded(at_s=2.0, visit=2)
    assert order.pop() == Measured(at_s=6.0, visit=1, field="0")


def test_an_end_waits_for_a_measurement_that_is_due_before_it() -> None:
    order = VirtualOrder(latency_s=0.5)
    order.sent(Measure(at_s=1.0, visit=1, field="0"))
    order.push(VisitEnded(at_s=2.0, visit=2))
    assert order.pop() is None
    order.push(Measured(at_s=1.5, visit=1, field="0"))
    assert order.pop() == Measured(at_s=1.5, visit=1, field="0")
    assert order.pop() == VisitEnded(at_s=2.0, visit=2)


def test_people_go_first() -> None:
    order = VirtualOrder(latency_s=1.0)
    order.sent(acquire(1, 0.0))
    stop = StopRequested(at_s=0.0, reason="q")
    order.push(stop)
    assert order.pop() == stop


@given(seed=st.integers(0, 2**32 - 1), latency=st.floats(0.01, 10))
def test_any_order_of_arrival_gives_the_order_of_the_clock(seed: int, latency: float) -> None:
    rng = np.random.default_rng(seed)
    ends = np.cumsum(rng.exponential(1.0, 8))
    order = VirtualOrder(latency)
    for number in range(1, 9):
        order.sent(acquire(number, 0.0))
    waiting: list[VisitEnded | Measured] = []
    told: list[VisitEnded | Measured] = []
    next_end = 1
    while len(told) < 16:
        while (happened := order.pop()) is not None:
            told.append(happened)  # type: ignore[arg-type]
            if isinstance(happened, VisitEnded):
                order.sent(Measure(at_s=happened.at_s, visit=happened.visit, field="0"))
                waiting.append(Measured(at_s=happened.at_s + latency, visit=happened.visit, field="0"))
        arriving = list(waiting)
        if next_end <= 8:
            arriving.append(VisitEnded(at_s=float(ends[next_end - 1]), visit=next_end))
        if not arriving:
            break
        chosen = arriving[int(rng.integers(len(arriving)))]
        if isinstance(chosen, VisitEnded):
            next_end += 1
        else:
            waiting.remove(chosen)
        order.push(chosen)
    times = [happened.at_s for happened in told]
    assert len(told) == 16
    assert times == sorted(times)


@pytest.mark.parametrize("latency", [0.1, 3.0])
def test_nothing_waits_for_ever(latency: float) -> None:
    order = VirtualOrder(latency)
    order.push(VisitEnded(at_s=3.0, visit=7))  # of a run that was taken up again: nobody sent it here
    assert order.pop() == VisitEnded(at_s=3.0, visit=7)
