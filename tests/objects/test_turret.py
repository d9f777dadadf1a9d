"""Changing the objective on the real core: the drive goes out of the way and back, the stage goes by the offset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from phenoloop.microscope.mmcore import MMCoreMicroscope
from phenoloop.model import Acquire, AutofocusPlan, FieldVisit, Plan
from tests.microscope.builders import DNA, Flaw, Recorder, acquire, make_plan, opened, read_imprint

pytestmark = pytest.mark.mm


def two_objectives(*, safe: tuple[float | None, float | None], **changes: Any) -> Plan:
    """``main`` under 20X, ``close`` under 60X with an offset; safe heights of both."""
    plan = make_plan(channels=(DNA,), fields=1)
    main = replace(plan.profiles["main"], safe_z_um=safe[0])
    close = replace(
        main,
        name="close",
        objective_config="60X",
        pixel_size_um=0.1667,
        safe_z_um=safe[1],
        **{"offset_um": (30.0, -10.0, 0.0), **changes},
    )
    return replace(plan, profiles={"main": main, "close": close})


def spied(scope: MMCoreMicroscope) -> list[str]:
    """Record what is sent to the focus drive and the turret."""
    said: list[str] = []
    core: Any = scope.core
    move, turn = core.setZPosition, core.setConfig

    def setZPosition(z: float) -> None:
        said.append(f"z {z:g}")
        move(z)

    def setConfig(group: str, config: str) -> None:
        if group == "Objective":
            said.append(config)
        turn(group, config)

    core.setZPosition, core.setConfig = setZPosition, setConfig
    return said


def visit_both(scope: MMCoreMicroscope, sink: Recorder, plan: Plan) -> None:
    for number, profile in enumerate(("main", "close", "main"), start=1):
        scope.acquire(acquire(plan, number, profile=profile))
    sink.wait(ends=3)


@pytest.mark.parametrize(
    ("safe", "expected"),
    [
        pytest.param((None, None), ["60X", "20X"], id="none: Z is never commanded"),
        pytest.param(
            (None, -50.0), ["z -50", "60X", "z 0", "z -50", "20X", "z 0"], id="of the one that comes and goes"
        ),
        pytest.param(
            (-20.0, -50.0),
            ["z -20", "z -50", "60X", "z 0", "z -50", "z -20", "20X", "z 0"],
            id="of both, that of the present one first",
        ),
    ],
)
def test_the_drive_is_out_of_the_way(safe: tuple[float | None, float | None], expected: list[str]) -> None:
    plan = two_objectives(safe=safe)
    with opened(plan) as (scope, sink):
        said = spied(scope)
        visit_both(scope, sink, plan)
    assert said[: len(expected)] == expected
    assert len(sink.frames) == 3


def test_the_stage_goes_beyond_the_place_by_the_offset() -> None:
    plan = two_objectives(safe=(None, None))
    with opened(plan) as (scope, sink):
        visit_both(scope, sink, plan)
    here = plan.wells[0].fields[0]
    away = [stored.x_um - here.x_um for stored, _ in sink.frames] + [
        stored.y_um - here.y_um for stored, _ in sink.frames
    ]
    assert away == pytest.approx([0, 30, 0, 0, -10, 0], abs=0.05)
    # What the objective looks at is the place itself.
    for _, pixels in sink.frames:
        seen = read_imprint(pixels)
        assert (seen["x"], seen["y"]) == pytest.approx((here.x_um, here.y_um), abs=0.05)


def test_a_turret_that_refuses_leaves_the_drive_in_safety_and_does_not_forget_the_focus() -> None:
    """All attempts of the first change are refused; the next one works, and the focus is where it was before."""
    plan = two_objectives(safe=(None, -50.0))
    with opened(plan, retries=1) as (scope, sink):
        scope.core.setZPosition(7.0)
        refusing: list[bool] = [True]
        Flaw(scope.core, "setConfig", lambda call: refusing[0])
        scope.acquire(acquire(plan, 1, profile="close"))
        sink.wait(ends=1)
        assert not sink.frames
        assert scope.core.getZPosition() == pytest.approx(-50.0, abs=0.1)
        refusing[0] = False
        scope.acquire(acquire(plan, 2, profile="close"))
        sink.wait(ends=2)
        assert scope.core.getZPosition() == pytest.approx(7.0, abs=0.1)
    assert len(sink.frames) == 1
    assert "setConfig failed" in sink.ends[0].missing[0].reason


@pytest.mark.parametrize(
    ("changes", "heights"),
    [
        pytest.param({"offset_um": (0.0, 0.0, 4.0)}, [4.0], id="its own focus"),
        pytest.param({"offset_um": (0.0, 0.0, 4.0), "z_offsets_um": (-1.0, 1.0)}, [3.0, 5.0], id="a stack around it"),
    ],
)
def test_the_focus_of_the_objective(changes: dict[str, Any], heights: list[float]) -> None:
    plan = two_objectives(safe=(None, None), **changes)
    with opened(plan) as (scope, sink):
        visit_both(scope, sink, plan)
    found = [stored.z_um for stored, _ in sink.frames if stored.address.profile == "close"]
    assert found == pytest.approx(heights, abs=0.1)
    main = [stored.z_um for stored, _ in sink.frames if stored.address.profile == "main"]
    assert main == pytest.approx([0.0, 0.0], abs=0.1)


def test_a_target_with_a_height_is_imaged_there() -> None:
    plan = two_objectives(safe=(None, None), offset_um=(30.0, -10.0, 2.0))
    place = FieldVisit(field="0-7", t=0, image=0, x_um=123.0, y_um=-45.0, z_um=11.0)
    with opened(plan) as (scope, sink):
        command = acquire(plan, 1, profile="close")
        scope.acquire(Acquire(at_s=0.0, visit=replace(command.visit, fields=(place,))))
        sink.wait(ends=1)
    (stored, pixels) = sink.frames[0]
    assert (stored.x_um, stored.y_um, stored.z_um) == pytest.approx((153.0, -55.0, 13.0), abs=0.1)
    seen = read_imprint(pixels)
    assert (seen["x"], seen["y"], seen["z"]) == pytest.approx((123.0, -45.0, 11.0), abs=0.1)


def test_autofocus_under_an_offset_finds_the_same_reference() -> None:
    """Found under the objective with an offset, the focus of the other one differs by that offset."""
    focus = AutofocusPlan(channel="DNA", range_um=20.0, step_um=2.0)
    plan = two_objectives(safe=(None, None), offset_um=(0.0, 0.0, 4.0), autofocus=focus)

    class Sharp:
        """Sharp at 6 um for an objective without offset."""

        def shape(self) -> tuple[int, int]:
            return 64, 64

        def bit_depth(self) -> int:
            return 8

        def render(self, view: Any) -> Any:
            away = abs(view.z_um - 6.0)
            chance = np.random.default_rng(1).random((64, 64))
            return (100 + 100 * chance / (1 + away)).astype(np.uint8)

    with opened(plan, specimen=Sharp()) as (scope, sink):
        visit_both(scope, sink, plan)
    close = next(stored for stored, _ in sink.frames if stored.address.profile == "close")
    assert close.z_um == pytest.approx(10.0, abs=0.5)
