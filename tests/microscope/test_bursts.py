"""Hardware sequences: merged where the hardware allows, all frames at their addresses, or none of a short burst."""

from __future__ import annotations

from typing import Any

import pytest
from useq import MDAEvent

from phenoloop.microscope.private import SequencedEvent
from tests.microscope.builders import (
    DNA,
    GFP,
    acquire,
    assert_taken_where_said,
    make_plan,
    opened,
    read_imprint,
)

pytestmark = pytest.mark.mm
OFFSETS = (-4.0, -2.0, 0.0, 2.0, 4.0)


def test_a_stack_is_one_burst_per_channel_and_every_plane_is_where_it_says() -> None:
    plan = make_plan(channels=(DNA, GFP), offsets=OFFSETS, fields=2)
    events: list[MDAEvent] = []
    with opened(plan) as (scope, sink):
        scope.core.setZPosition(7.0)
        scope.core.mda.events.eventStarted.connect(events.append)
        for number in (1, 2):
            scope.acquire(acquire(plan, number))
        sink.wait(ends=2)
        after = scope.core.getZPosition()
    assert [len(event.events) if isinstance(event, SequencedEvent) else 1 for event in events] == [5] * 8
    assert [frame.address for frame, _ in sink.frames] == [
        address for number in (1, 2) for address in acquire(plan, number).visit.frames()
    ]
    assert_taken_where_said(plan, sink.frames)
    assert [read_imprint(pixels)["z"] for _, pixels in sink.frames] == [7.0 + offset for offset in OFFSETS] * 8
    assert after == 7.0, "a stack is never the reference of the next one"
    assert [ended.exposures for ended in sink.ends] == [20, 20]


def test_without_sequences_the_same_frames_come_one_by_one() -> None:
    plan = make_plan(channels=(DNA,), offsets=OFFSETS, fields=2)
    stacks = []
    for use in ("Yes", "No"):
        with opened(plan, startup=(("Z", "UseSequences", use),)) as (scope, sink):
            events: list[MDAEvent] = []
            scope.core.mda.events.eventStarted.connect(events.append)
            scope.acquire(acquire(plan, 1))
            sink.wait(ends=1)
        stacks.append((len(events), [(frame.address, frame.z_um) for frame, _ in sink.frames]))
        assert_taken_where_said(plan, sink.frames)
    assert [count for count, _ in stacks] == [2, 10]
    assert stacks[0][1] == stacks[1][1]


def test_absolute_heights_are_commanded_and_planes_are_relative_to_them() -> None:
    plan = make_plan(channels=(DNA,), offsets=(-1.0, 1.0), fields=1, z_um=30.0)
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert [frame.z_um for frame, _ in sink.frames] == [29.0, 31.0]


def test_focus_is_never_commanded_unless_asked_for() -> None:
    plan = make_plan(channels=(DNA,))
    with opened(plan) as (scope, sink):
        scope.core.setZPosition(123.0)
        sent: list[float] = []
        scope.core.setZPosition = sent.append  # type: ignore[method-assign]
        scope.core.setPosition = lambda *a: sent.append(a[-1])  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert sent == []
    assert {frame.z_um for frame, _ in sink.frames} == {123.0}


def short(core: Any, frames: int, bursts: int) -> None:
    """Let the camera stop too early in the first `bursts` sequences."""
    really = core.startSequenceAcquisition
    calls = 0

    def start(count: int, interval: float, stop: bool) -> None:
        nonlocal calls
        calls += 1
        really(frames if calls <= bursts else count, interval, stop)

    core.startSequenceAcquisition = start


@pytest.mark.parametrize("frames", [1, 4])
def test_a_short_burst_is_taken_again(frames: int) -> None:
    plan = make_plan(channels=(DNA,), offsets=OFFSETS, fields=1)
    with opened(plan) as (scope, sink):
        short(scope.core, frames, bursts=1)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert not ended.missing
    assert [fault.call for fault in ended.faults] == ["startSequenceAcquisition"]
    assert f"gave {frames} of 5 frames" in ended.faults[0].message
    assert ended.exposures == 10, "the light of the burst that was lost is counted"
    assert {frame.attempts for frame in ended.frames} == {2}
    assert_taken_where_said(plan, sink.frames)


def test_a_burst_that_stays_short_gives_no_frame_since_none_can_be_placed() -> None:
    plan = make_plan(channels=(DNA, GFP), offsets=OFFSETS, fields=1)
    with opened(plan, retries=1) as (scope, sink):
        short(scope.core, 3, bursts=2)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert {m.address.channel for m in ended.missing} == {"DNA"}
    assert len(ended.missing) == len(ended.frames) == 5
    assert "3 of 5 frames" in ended.missing[0].reason
    assert all(m.exposed for m in ended.missing)
    assert_taken_where_said(plan, sink.frames)


def test_a_burst_is_cut_by_a_stop() -> None:
    plan = make_plan(channels=(DNA,), offsets=tuple(float(z) for z in range(200)), fields=1, virtual_clock=False)
    with opened(plan) as (scope, sink):
        scope.core.mda.events.eventStarted.connect(lambda _: scope.stop())
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1, timeout_s=2.0)
    assert {m.reason for m in sink.ends[0].missing} == {"stopped"}
    assert len(sink.ends[0].missing) + len(sink.ends[0].frames) == 200


def test_a_stack_outside_the_stage_limits_is_missing() -> None:
    plan = make_plan(channels=(DNA,), offsets=(0.0, 300.0), fields=1)
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        assert scope.core.getZPosition() == 0.0
    assert [m.reason for m in sink.ends[0].missing] == ["(0, -0, z 300) um is outside the stage limits"] * 2
