"""The pump: nothing a watcher does reaches the loop."""

from __future__ import annotations

import logging
import threading

import pytest

from phenoloop.model import Fault, Measure, Message, Paused, Resumed, RunEnded, VisitEnded
from phenoloop.runner.signals import RunSignals, SignalPump


def fault(number: int) -> Fault:
    return Fault(call="setXYPosition", message="no", attempt=number)


def test_notifications_arrive_in_order_in_another_thread() -> None:
    signals, seen, threads = RunSignals(), [], set()

    def slot(message: Fault) -> None:
        seen.append(message.attempt)
        threads.add(threading.current_thread())

    signals.fault.connect(slot)
    pump = SignalPump(signals)
    for number in range(200):
        pump.post("fault", fault(number))
    assert pump.close()
    assert seen == list(range(200))
    assert threading.current_thread() not in threads
    assert (pump.dropped, pump.failed) == (0, 0)


@pytest.mark.parametrize(
    ("message", "heard"),
    [
        pytest.param(RunEnded(at_s=1.0, exit="completed", reason=""), [("finished", RunEnded)], id="the end"),
        pytest.param(Paused(at_s=1.0), [("pause_changed", True)], id="a pause"),
        pytest.param(Resumed(at_s=1.0), [("pause_changed", False)], id="the end of a pause"),
        pytest.param(
            VisitEnded(at_s=1.0, visit=1, faults=(fault(1), fault(2))),
            [("visit_ended", VisitEnded), ("fault", Fault), ("fault", Fault)],
            id="a visit and what the hardware refused in it",
        ),
        pytest.param(Measure(at_s=1.0, visit=1, field="0"), [], id="a command that nobody hears of"),
    ],
)
def test_each_kind_of_message_has_its_signal(message: Message, heard: list[tuple[str, object]]) -> None:
    signals, seen = RunSignals(), []
    for name in signals:
        signals[name].connect(
            lambda said, name=name: seen.append((name, said if said in (True, False) else type(said)))
        )
    pump = SignalPump(signals)
    pump.tell(message)
    assert pump.close()
    assert seen == heard


def test_a_raising_slot_is_logged_and_the_next_notification_still_arrives(caplog: pytest.LogCaptureFixture) -> None:
    signals, seen = RunSignals(), []

    def slot(message: Fault) -> None:
        seen.append(message.attempt)
        raise ValueError("broken watcher")

    signals.fault.connect(slot)
    pump = SignalPump(signals)
    with caplog.at_level(logging.ERROR):
        pump.post("fault", fault(1))
        pump.post("fault", fault(2))
        assert pump.close()
    assert seen == [1, 2]
    assert pump.failed == 2
    assert "a watcher of 'fault' raised" in caplog.text
    assert "broken watcher" in caplog.text


def test_a_slow_slot_costs_the_oldest_notifications_and_never_the_poster() -> None:
    signals, seen, gate, inside = RunSignals(), [], threading.Event(), threading.Event()

    def slot(message: Fault) -> None:
        seen.append(message.attempt)
        inside.set()
        gate.wait(10)

    signals.fault.connect(slot)
    pump = SignalPump(signals, capacity=3)
    pump.post("fault", fault(0))
    assert inside.wait(10)
    for number in range(1, 11):
        pump.post("fault", fault(number))  # returns though the slot is stuck
    gate.set()
    assert pump.close(timeout_s=10)
    assert seen == [0, 8, 9, 10]
    assert pump.dropped == 7


def test_close_leaves_a_stuck_slot_behind_and_says_so() -> None:
    signals, gate, inside = RunSignals(), threading.Event(), threading.Event()

    def slot(_: RunEnded) -> None:
        inside.set()
        gate.wait(10)

    signals.finished.connect(slot)
    pump = SignalPump(signals)
    pump.post("finished", RunEnded(at_s=0.0, exit="completed"))
    assert inside.wait(10)
    pump.post("finished", RunEnded(at_s=0.0, exit="completed"))
    assert not pump.close(timeout_s=0.01)
    assert pump.dropped == 1
    gate.set()


def test_after_close_a_post_is_ignored() -> None:
    signals, seen = RunSignals(), []
    signals.pause_changed.connect(seen.append)
    pump = SignalPump(signals)
    assert pump.close()
    pump.post("pause_changed", True)
    assert seen == []


def test_an_unknown_signal_is_refused_where_it_is_posted() -> None:
    pump = SignalPump(RunSignals())
    with pytest.raises(KeyError, match="no signal 'mesured'; it has answered, budget, decided"):
        pump.post("mesured", None)
    pump.close()


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in RunSignals()])
def test_every_signal_takes_one_argument_and_says_what_it_is(name: str) -> None:
    signal = RunSignals()[name]
    assert len(signal.signature.parameters) == 1
    assert signal.description
