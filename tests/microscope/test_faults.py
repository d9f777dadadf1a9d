"""No frame is delivered at a state that was not reached: the pixels themselves say where they were taken."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from phenoloop.model import StageBox
from tests.microscope.builders import (
    DNA,
    Flaw,
    acquire,
    assert_taken_where_said,
    make_plan,
    opened,
    read_imprint,
)

pytestmark = pytest.mark.mm


def third(n: int) -> bool:
    return n % 3 == 0


def fourth(n: int) -> bool:
    return n % 4 == 0


def never(n: int) -> bool:
    return False


def always(n: int) -> bool:
    return True


@pytest.mark.parametrize(
    ("method", "when", "silent"),
    [
        pytest.param("setXYPosition", third, False, id="stage raises 1 in 3"),
        pytest.param("setXYPosition", third, True, id="stage stays put 1 in 3"),
        pytest.param("waitForDevice", third, False, id="stage is not there in time 1 in 3"),
        pytest.param("getXYPosition", third, False, id="stage does not say where it is 1 in 3"),
        pytest.param("snapImage", fourth, False, id="camera raises 1 in 4"),
        pytest.param("getImage", fourth, False, id="picture is lost 1 in 4"),
        pytest.param("setConfig", third, False, id="preset raises 1 in 3"),
        pytest.param("setConfig", third, True, id="preset does not change 1 in 3"),
        pytest.param("setExposure", third, False, id="exposure raises 1 in 3"),
        pytest.param("setExposure", third, True, id="exposure is not applied 1 in 3"),
        pytest.param("getROI", third, False, id="region is not told 1 in 3"),
    ],
)
def test_a_passing_fault_costs_no_frame(method: str, when: Callable[[int], bool], silent: bool) -> None:
    plan = make_plan()
    with opened(plan) as (scope, sink):
        flaw = Flaw(scope.core, method, when, silent=silent)
        for number, well in enumerate(("A1", "A2", "A3"), start=1):
            scope.acquire(acquire(plan, number, well))
        sink.wait(ends=3)
    assert flaw.refused > 0
    assert not any(ended.missing for ended in sink.ends)
    assert [frame.address for frame, _ in sink.frames] == [
        address
        for number, well in enumerate(("A1", "A2", "A3"), 1)
        for address in acquire(plan, number, well).visit.frames()
    ]
    assert_taken_where_said(plan, sink.frames)
    faults = [fault for ended in sink.ends for fault in ended.faults]
    assert len(faults) == flaw.refused
    assert all(fault.attempt == 1 for fault in faults)
    assert {fault.field for fault in faults} <= {"0", "1", "2", ""}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_faults_without_retries_shift_nothing(seed: int) -> None:
    plan = make_plan()
    chance = random.Random(seed)
    with opened(plan, retries=0) as (scope, sink):
        Flaw(scope.core, "setXYPosition", lambda _: chance.random() < 1 / 3)
        Flaw(scope.core, "snapImage", lambda _: chance.random() < 1 / 4)
        Flaw(scope.core, "setConfig", lambda _: chance.random() < 1 / 4, silent=True)
        Flaw(scope.core, "setExposure", lambda _: chance.random() < 1 / 4, silent=True)
        for number, well in enumerate(("A1", "A2", "A3"), start=1):
            scope.acquire(acquire(plan, number, well))
        sink.wait(ends=3)
    assert_taken_where_said(plan, sink.frames)
    missing = [frame for ended in sink.ends for frame in ended.missing]
    assert missing
    assert len(sink.frames) + len(missing) == 18
    assert all(frame.reason for frame in missing)
    assert not sink.failures


def test_the_second_channel_fails_and_the_first_is_kept() -> None:
    plan = make_plan()
    with opened(plan) as (scope, sink):
        really = scope.core.setConfig

        def refuse(group: str, config: str) -> None:
            # FITC cannot be reached while the stage is at the second field.
            if config == "FITC" and abs(scope.core.getXPosition() - 300.0) < 1:
                raise RuntimeError("the wheel is stuck")
            really(group, config)

        scope.core.setConfig = refuse  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert [(m.address.field, m.address.channel) for m in ended.missing] == [("1", "GFP")]
    assert "the wheel is stuck" in ended.missing[0].reason
    assert not ended.missing[0].exposed
    assert [(f.address.field, f.address.channel) for f in ended.frames] == [
        ("0", "DNA"), ("0", "GFP"), ("1", "DNA"), ("2", "DNA"), ("2", "GFP"),
    ]  # fmt: skip
    assert [(f.call, f.attempt, f.field, f.channel) for f in ended.faults] == [
        ("setConfig", attempt, "1", "GFP") for attempt in (1, 2, 3)
    ]
    assert_taken_where_said(plan, sink.frames)


def test_a_field_the_stage_cannot_reach_is_missing_and_the_others_go_on() -> None:
    plan = make_plan()
    with opened(plan) as (scope, sink):
        really = scope.core.setXYPosition

        def jam(*target: float) -> None:
            if abs(target[0] - 300.0) < 1:
                raise RuntimeError("limit switch")
            really(*target)

        scope.core.setXYPosition = jam  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert [m.address.field for m in ended.missing] == ["1", "1"]
    assert len(ended.faults) == 3, "the second channel does not ask the same stage again"
    assert len(ended.frames) == 4
    assert_taken_where_said(plan, sink.frames)


def test_an_exposure_that_is_never_applied_is_told_by_its_number() -> None:
    plan = make_plan(channels=(DNA,))
    with opened(plan) as (scope, sink):
        Flaw(scope.core, "setExposure", always, silent=True)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert len(sink.ends[0].missing) == 3
    assert "not 20 ms" in sink.ends[0].missing[0].reason
    assert sink.ends[0].exposures == 0


def test_a_camera_that_always_refuses_costs_its_frames_and_its_light_is_counted() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    with opened(plan, retries=2) as (scope, sink):
        Flaw(scope.core, "snapImage", always)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        scope.core.snapImage = scope.core.snapImage._really  # type: ignore[attr-defined,method-assign]
        scope.acquire(acquire(plan, 2))
        sink.wait(ends=2)
    first, second = sink.ends
    assert first.missing[0].exposed, "the shutter opens before the camera is asked"
    assert first.exposures == 3
    assert first.light_s == {"0": pytest.approx(0.06)}
    assert "refused by the test" in first.missing[0].reason
    assert not second.missing
    assert second.exposures == 1


def test_after_a_refusal_of_the_camera_everything_is_brought_to_its_place_again() -> None:
    plan = make_plan(fields=1)
    with opened(plan) as (scope, sink):
        core = scope.core
        really = core.snapImage
        calls = 0

        def fall_over() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:  # the controller was switched off and on: it stands elsewhere, with other settings
                core.setExposure(1.0)
                core.setXYPosition(5000.0, 5000.0)
                core.setConfig("Channel", "Cy5")
                raise RuntimeError("power")
            really()

        core.snapImage = fall_over  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert [frame.attempts for frame in sink.ends[0].frames] == [1, 2]
    assert_taken_where_said(plan, sink.frames)


def test_the_shutter_is_closed_after_a_camera_that_refused_in_the_middle() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    shutter: list[bool] = []
    with opened(plan, retries=0) as (scope, sink):

        def burn() -> None:
            scope.core.setShutterOpen(True)
            raise RuntimeError("no trigger")

        scope.core.snapImage = burn  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        shutter.append(scope.core.getShutterOpen())
    assert shutter == [False]


def test_a_picture_of_another_shape_is_no_frame() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    with opened(plan) as (scope, sink):
        really: Any = scope.core.getImage
        scope.core.getImage = lambda *a, **k: really(*a, **k)[::2, ::2]  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert "shape (16, 16), not (32, 32)" in sink.ends[0].missing[0].reason


def test_a_binning_that_somebody_changed_is_set_back() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    with opened(plan) as (scope, sink):
        scope.core.setProperty("Camera", "Binning", "2")
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        assert scope.core.getProperty("Camera", "Binning") == "1"
    assert not sink.ends[0].missing


@pytest.mark.parametrize("device", ["Camera", "XY"])
def test_a_device_that_is_gone_ends_the_microscope_and_every_visit(device: str) -> None:
    plan = make_plan()
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        scope.core.unloadDevice(device)
        for number in (2, 3):
            scope.acquire(acquire(plan, number, "A2"))
        sink.wait(ends=3, failures=1)
        scope.acquire(acquire(plan, 4))
        sink.wait(ends=4)
    assert len(sink.failures) == 1
    assert "is gone" in sink.failures[0].reason
    assert [ended.visit for ended in sink.ends] == [1, 2, 3, 4]
    assert [len(ended.missing) for ended in sink.ends] == [0, 6, 6, 6]
    assert_taken_where_said(plan, sink.frames)


def test_a_camera_that_hangs_is_given_up_and_every_visit_ends_once() -> None:
    plan = make_plan(channels=(DNA,))
    threads: set[int] = set()
    back = threading.Event()
    with opened(plan, timeout_s=0.3) as (scope, sink):
        really = scope.core.snapImage
        calls = 0

        def hang() -> None:
            nonlocal calls
            calls += 1
            threads.add(threading.get_ident())
            if calls == 2:
                back.wait(20)
            really()

        scope.core.snapImage = hang  # type: ignore[method-assign]
        for number in (1, 2):
            scope.acquire(acquire(plan, number))
        sink.wait(ends=2, failures=1)
        scope.acquire(acquire(plan, 3))
        sink.wait(ends=3)
        back.set()
        scope.close()
    assert len(sink.failures) == 1
    assert "snapImage has not come back" in sink.failures[0].reason
    assert [ended.visit for ended in sink.ends] == [1, 2, 3]
    assert [len(ended.frames) for ended in sink.ends] == [1, 0, 0]
    assert [m.exposed for m in sink.ends[0].missing] == [True, False]
    assert len(sink.frames) == 1, "what came back from the dead is dropped"
    assert len(threads) == 1


def test_a_place_outside_the_stage_limits_is_never_commanded() -> None:
    plan = make_plan(channels=(DNA,), stage=StageBox(x_um=(-1.0, 350.0), y_um=(-1000.0, 1000.0)))
    sent: list[tuple[float, ...]] = []
    with opened(plan) as (scope, sink):
        really = scope.core.setXYPosition

        def note(*target: float) -> None:
            sent.append(target)
            really(*target)

        scope.core.setXYPosition = note  # type: ignore[method-assign]
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert [m.address.field for m in sink.ends[0].missing] == ["2"]
    assert "outside the stage limits" in sink.ends[0].missing[0].reason
    assert sent == [(0.0, 0.0), (300.0, -100.0)]


def test_a_listener_that_raises_costs_one_frame_and_not_the_run() -> None:
    plan = make_plan(channels=(DNA,))
    with opened(plan) as (scope, sink):
        told = 0

        def slot(event: object) -> None:
            nonlocal told
            told += 1
            if told == 2:
                raise ValueError("a bug of the viewer")

        scope.core.mda.events.eventStarted.connect(slot)
        scope.acquire(acquire(plan, 1))
        scope.acquire(acquire(plan, 2))
        sink.wait(ends=2)
    assert [len(ended.frames) for ended in sink.ends] == [2, 3]
    assert not sink.failures
    assert_taken_where_said(plan, sink.frames)


def test_viewers_see_the_frames_with_their_address() -> None:
    plan = make_plan(channels=(DNA,), fields=2)
    seen: list[Any] = []
    with opened(plan) as (scope, sink):
        scope.core.mda.events.frameReady.connect(lambda img, event, meta: seen.append((img, event, meta)))
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert [event.metadata["phenoloop"] for _, event, _ in seen] == list(acquire(plan, 1).visit.frames())
    assert [meta["position"]["x"] for _, _, meta in seen] == [0.0, 300.0]
    assert [read_imprint(img)["x"] for img, _, _ in seen] == [0.0, 300.0]


def test_the_faultless_visit_tells_its_light_its_time_and_its_record() -> None:
    plan = make_plan()
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1, "A2"))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert ended.exposures == 6
    assert ended.light_s == {name: pytest.approx(0.06) for name in ("0", "1", "2")}
    assert len(ended.wall["frames_ms"]) == 6
    assert ended.wall["acquire_ms"] > 0
    assert ended.wall["record"] == {"Objective-Label": "Nikon 20X Plan Fluor ELWD"}
    assert ended.faults == ()
    assert sink.order == ["frame 1"] * 6 + ["ended 1"]
