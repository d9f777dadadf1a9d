"""Pause, resume and stop in every state; every visit that was ever queued ends exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from phenoloop.microscope.mmcore import MMCoreMicroscope
from phenoloop.model import ChannelPlan, Plan
from tests.microscope.builders import DNA, Recorder, acquire, assert_taken_where_said, make_plan, opened, read_imprint

pytestmark = pytest.mark.mm

LONG = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=4000.0)
LATER = 1000.0
"""A due time that no test lives to see."""

Bring = Callable[[MMCoreMicroscope, Recorder, Plan], None]


def hold_at_frame(scope: MMCoreMicroscope, number: int) -> tuple[threading.Event, threading.Event]:
    """Let the camera wait inside the `number`-th snap; returns (it is there, let it go)."""
    there, go = threading.Event(), threading.Event()
    really = scope.core.snapImage
    calls = 0

    def snap() -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            there.set()
            go.wait(10)
        really()

    scope.core.snapImage = snap  # type: ignore[method-assign]
    return there, go


def waiting_for_work(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    scope.acquire(acquire(plan, 1))
    sink.wait(ends=1)


def not_begun(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    pass


def waiting_for_a_due_time(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    scope.acquire(acquire(plan, 1, at_s=LATER))
    scope.acquire(acquire(plan, 2, at_s=LATER))
    time.sleep(0.05)


def in_the_middle_of_a_visit(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    there, go = hold_at_frame(scope, 2)
    for number in (1, 2, 3):
        scope.acquire(acquire(plan, number))
    assert there.wait(10)
    threading.Timer(0.2, go.set).start()


def paused_between_visits(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    scope.pause()
    scope.acquire(acquire(plan, 1))
    scope.acquire(acquire(plan, 2))
    time.sleep(0.05)


def paused_in_the_middle_of_a_visit(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    there, go = hold_at_frame(scope, 2)
    scope.acquire(acquire(plan, 1))
    scope.acquire(acquire(plan, 2))
    assert there.wait(10)
    scope.pause()
    go.set()
    sink.wait(frames=2)


def paused_by_a_viewer(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    there, go = hold_at_frame(scope, 2)
    scope.acquire(acquire(plan, 1))
    assert there.wait(10)
    scope.core.mda.set_paused(True)
    go.set()
    sink.wait(frames=2)
    while not scope.core.mda.is_paused():
        time.sleep(0.01)


def in_a_long_exposure(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    there, go = hold_at_frame(scope, 1)
    for number in (1, 2):
        scope.acquire(acquire(plan, number))
    assert there.wait(10)
    threading.Timer(3.0, go.set).start()


def while_the_stage_does_not_come(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    there = threading.Event()

    def stuck(label: str) -> None:
        there.set()
        time.sleep(0.3)
        raise RuntimeError("timed out")

    scope.core.waitForDevice = stuck  # type: ignore[method-assign]
    scope.acquire(acquire(plan, 1))
    scope.acquire(acquire(plan, 2))
    assert there.wait(10)


def while_the_disk_is_slow(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    sink.hold.clear()
    scope.acquire(acquire(plan, 1))
    scope.acquire(acquire(plan, 2))
    time.sleep(0.2)
    threading.Timer(0.3, sink.hold.set).start()


STATES = [
    pytest.param(not_begun, 0, id="before the first visit"),
    pytest.param(waiting_for_work, 1, id="waiting for work"),
    pytest.param(waiting_for_a_due_time, 2, id="waiting for a due time"),
    pytest.param(in_the_middle_of_a_visit, 3, id="in the middle of a visit"),
    pytest.param(paused_between_visits, 2, id="paused between visits"),
    pytest.param(paused_in_the_middle_of_a_visit, 2, id="paused in the middle of a visit"),
    pytest.param(paused_by_a_viewer, 1, id="paused by a viewer"),
    pytest.param(in_a_long_exposure, 2, id="in a long exposure"),
    pytest.param(while_the_stage_does_not_come, 2, id="while the stage does not come"),
    pytest.param(while_the_disk_is_slow, 2, id="while the disk is slow"),
]


@pytest.mark.parametrize(("bring", "queued"), STATES)
def test_stop_ends_every_visit_once(bring: Bring, queued: int) -> None:
    plan = make_plan(virtual_clock=False)
    with opened(plan) as (scope, sink):
        bring(scope, sink, plan)
        scope.stop()
        # The bar is two seconds; the wait is the assertion, and it is far longer than any path here needs but one.
        sink.wait(ends=queued, timeout_s=2.0)
        scope.acquire(acquire(plan, queued + 1))
        sink.wait(ends=queued + 1, timeout_s=2.0)
    assert [ended.visit for ended in sink.ends] == list(range(1, queued + 2)), "each once, in order"
    for ended in sink.ends:
        assert len(ended.frames) + len(ended.missing) == 6
        assert {frame.reason for frame in ended.missing} <= {"stopped"}
    assert {frame.address for frame, _ in sink.frames} == {f.address for ended in sink.ends for f in ended.frames}
    assert_taken_where_said(plan, sink.frames)
    assert not sink.failures


def test_the_frame_in_the_camera_is_kept_when_it_comes_in_time() -> None:
    plan = make_plan(virtual_clock=False)
    with opened(plan) as (scope, sink):
        in_the_middle_of_a_visit(scope, sink, plan)
        scope.stop()
        sink.wait(ends=3, timeout_s=2.0)
    assert len(sink.ends[0].frames) == 2
    assert not any(frame.exposed for frame in sink.ends[0].missing)


def test_light_that_fell_for_a_frame_that_came_too_late_is_told() -> None:
    plan = make_plan(channels=(LONG,), virtual_clock=False)
    with opened(plan) as (scope, sink):
        in_a_long_exposure(scope, sink, plan)
        scope.stop()
        sink.wait(ends=2, timeout_s=2.0)
    first, second = sink.ends
    assert [frame.exposed for frame in first.missing] == [True, False, False]
    assert first.light_s == {"0": pytest.approx(4.0)}
    assert second.light_s == {}
    assert not sink.frames


@pytest.mark.parametrize(
    ("bring", "frames"),
    [
        pytest.param(not_begun, 0, id="before the first visit"),
        pytest.param(waiting_for_work, 6, id="waiting for work"),
        pytest.param(in_the_middle_of_a_visit, 2, id="in the middle of a visit"),
    ],
)
def test_pause_holds_before_the_next_frame_and_resume_goes_on(bring: Bring, frames: int) -> None:
    plan = make_plan(virtual_clock=False)
    with opened(plan) as (scope, sink):
        bring(scope, sink, plan)
        scope.pause()
        scope.acquire(acquire(plan, 4))
        time.sleep(0.4)
        held = len(sink.frames)
        scope.resume()
        visits = {not_begun: 1, waiting_for_work: 2, in_the_middle_of_a_visit: 4}[bring]
        sink.wait(ends=visits)
    assert held == frames
    assert not any(ended.missing for ended in sink.ends)
    assert_taken_where_said(plan, sink.frames)


def test_paused_time_does_not_count_on_the_virtual_clock() -> None:
    plan = make_plan()
    ends = []
    for pause in (False, True):
        with opened(plan) as (scope, sink):
            if pause:
                scope.pause()
            scope.acquire(acquire(plan, 1))
            time.sleep(0.2)
            scope.resume()
            sink.wait(ends=1)
            ends.append(sink.ends[0])
    assert ends[0] == ends[1]


def test_cancelling_from_a_viewer_is_a_failure_and_not_a_silence() -> None:
    plan = make_plan()
    with opened(plan) as (scope, sink):
        waiting_for_work(scope, sink, plan)
        scope.core.mda.cancel()
        sink.wait(failures=1)
        scope.acquire(acquire(plan, 2))
        sink.wait(ends=2)
        assert str(scope.core.mda.status.finish_reason) == "canceled"
    assert "cancelled by another user" in sink.failures[0].reason
    assert len(sink.ends[1].missing) == 6


def test_light_without_auto_shutter_is_shut_out_while_nothing_is_imaged() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    shutter: list[bool] = []
    with opened(plan) as (scope, sink):
        core = scope.core
        core.setAutoShutter(False)
        core.setShutterOpen(True)
        really: Any = core.snapImage

        def snap() -> None:
            shutter.append(core.getShutterOpen())
            really()

        core.snapImage = snap  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        for _ in range(100):
            if not core.getShutterOpen():
                break
            time.sleep(0.01)
        shutter.append(core.getShutterOpen())
        scope.acquire(acquire(plan, 2))
        sink.wait(ends=2)
    assert shutter == [True, False, True]


def test_a_visit_is_not_begun_before_its_time() -> None:
    plan = make_plan(virtual_clock=False, channels=(DNA,), fields=1)
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1, at_s=scope.now_s() + 0.5))
        sink.wait(ends=1)
    assert read_imprint(sink.frames[0][1])["at"] >= 0.5


def test_safe_state_is_set_and_devices_are_let_go_at_the_end() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    with opened(plan, safe_state=(("LED", "Label", "635nm"),)) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        scope.stop()
        sink.wait(ends=1)
        for _ in range(100):
            if scope.core.getProperty("LED", "Label") == "635nm":
                break
            time.sleep(0.01)
        assert scope.core.getProperty("LED", "Label") == "635nm"
    assert list(scope.core.getLoadedDevices()) == ["Core"]
