"""No refusal of the camera makes it give more light than the caps hold: counted at the camera itself."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from phenoloop.model import AutofocusPlan, ExposuresSet, Limits, Meter, MeteringFailed, Plan, VisitEnded
from tests.microscope.builders import DNA, GFP, Flaw, acquire, make_plan, opened
from tests.microscope.test_metering import AUTO, Lamp

pytestmark = pytest.mark.mm


def capped(plan: Plan, *, frame_um: float | None = 500.0, **limits: float) -> Plan:
    """Fields lie 300 um apart, so frames of 500 um overlap."""
    size = None if frame_um is None else (frame_um, frame_um)
    profiles = {name: replace(one, frame_um=size) for name, one in plan.profiles.items()}
    return replace(plan, profiles=profiles, limits=Limits(**limits))


def always(n: int) -> bool:
    return True


def twice(n: int) -> bool:
    return n <= 2


class LightMeter:
    """Adds up, where the stage stands, what the camera is really asked to expose."""

    def __init__(self, core: Any, method: str = "snapImage", frames: int = 1) -> None:
        self.seconds: Counter[int] = Counter()
        really = getattr(core, method)

        def lit(*args: Any) -> Any:
            self.seconds[round(core.getXPosition() / 300.0)] += core.getExposure() / 1000 * frames
            return really(*args)

        setattr(core, method, lit)

    def most_of_a_place(self) -> float:
        """Field and next field overlap; those at a distance of two do not meet."""
        return max((self.seconds[n] + self.seconds[n + 1] for n in list(self.seconds)), default=0.0)


@pytest.mark.parametrize(
    ("limits", "refuses", "seconds", "reason"),
    [
        pytest.param({}, always, 0.08, "snapImage failed 4 times, at last: snapImage refused by the test", id="no cap"),
        pytest.param(
            {"light_per_field_s": 0.05},
            always,
            0.04,
            "snapImage failed 2 times, at last: snapImage refused by the test; "
            "light cap: not repeated, the field would get more than 0.05 s of light",
            id="two of four attempts fit",
        ),
        pytest.param(
            {"light_per_object_s": 0.039},
            always,
            0.02,
            "snapImage failed once: snapImage refused by the test; "
            "light cap: not repeated, an object could get more than 0.039 s of light",
            id="one attempt fits",
        ),
        pytest.param({"light_per_field_s": 0.06}, twice, 0.06, "", id="the cap is met exactly"),
    ],
)
def test_an_exposure_is_repeated_as_long_as_there_is_light(
    limits: dict[str, float], refuses: Callable[[int], bool], seconds: float, reason: str
) -> None:
    plan = capped(make_plan(channels=(DNA,), fields=1), **limits)
    with opened(plan, retries=3) as (scope, sink):
        Flaw(scope.core, "snapImage", refuses)
        light = LightMeter(scope.core)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert light.seconds[0] == pytest.approx(seconds)
    assert ended.light_s == {"0": pytest.approx(seconds)}
    assert [gap.reason for gap in ended.missing] == ([reason] if reason else [])
    assert all(gap.exposed for gap in ended.missing)


def test_the_other_channels_of_a_field_keep_their_light() -> None:
    plan = capped(make_plan(channels=(DNA, GFP), fields=1), light_per_field_s=0.11)
    with opened(plan, retries=3) as (scope, sink):
        Flaw(scope.core, "snapImage", lambda n: n == 1)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert [frame.address.channel for frame in ended.frames] == ["GFP"]
    assert "light cap: not repeated" in ended.missing[0].reason
    assert ended.light_s == {"0": pytest.approx(0.1)}


def test_a_later_visit_whose_light_is_gone_takes_none() -> None:
    plan = capped(make_plan(channels=(DNA,), fields=2), frame_um=None, light_per_field_s=0.04)
    with opened(plan) as (scope, sink):
        Flaw(scope.core, "snapImage", lambda n: n == 1)  # field 0 is exposed again: with the light of the second visit
        for number in (1, 2):
            scope.acquire(acquire(plan, number))
        sink.wait(ends=2)
    first, second = sink.ends
    assert first.light_s == {"0": pytest.approx(0.04), "1": pytest.approx(0.02)}
    assert second.light_s == {"1": pytest.approx(0.02)}
    (gap,) = second.missing
    assert gap.reason == "light cap: not taken, the field would get more than 0.04 s of light"
    assert not gap.exposed


def test_a_burst_is_not_repeated_beyond_the_cap() -> None:
    plan = capped(make_plan(channels=(DNA,), offsets=(-2.0, 0.0, 2.0), fields=1), light_per_field_s=0.13)
    with opened(plan, retries=3) as (scope, sink):
        Flaw(scope.core, "popNextImageAndMD", always)
        light = LightMeter(scope.core, "startSequenceAcquisition", frames=3)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert light.seconds[0] == pytest.approx(0.12)
    assert ended.light_s == {"0": pytest.approx(0.12)}
    assert len(ended.missing) == 3
    assert all("light cap: not repeated" in gap.reason for gap in ended.missing)


@pytest.mark.parametrize(("if_fails", "stored"), [("keep", 1), ("skip", 0)])
def test_a_plane_of_autofocus_that_may_not_be_repeated_ends_the_sweep(if_fails: str, stored: int) -> None:
    sweep = AutofocusPlan(channel="DNA", range_um=4.0, step_um=2.0, if_fails=if_fails)
    plan = capped(make_plan(channels=(DNA,), autofocus=sweep, fields=1), light_per_field_s=0.09)
    with opened(plan) as (scope, sink):
        Flaw(scope.core, "snapImage", lambda n: n == 1)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    (ended,) = sink.ends
    assert len(ended.frames) == stored
    assert [fault.message for fault in ended.faults if fault.call == "autofocus"] == [
        "snapImage failed once: snapImage refused by the test; "
        "light cap: not repeated, the field would get more than 0.09 s of light"
    ]


@pytest.mark.parametrize(
    ("cap_s", "seconds", "kind"),
    [
        pytest.param(10.0, 0.2 * 0.5 * (1 / 64 + 1 / 16 + 1 / 4), ExposuresSet, id="a cap that is far away"),
        pytest.param(0.005, 0.2 * 0.5 * (1 / 64), MeteringFailed, id="the second look would pass it"),
    ],
)
def test_metering_respects_the_cap(cap_s: float, seconds: float, kind: type) -> None:
    plan = capped(make_plan(channels=(AUTO,)), light_per_field_s=cap_s)
    with opened(plan, specimen=Lamp(300.0)) as (scope, sink):
        scope.meter(Meter(at_s=0.0, wells=("A1",)))
        with sink._changed:
            assert sink._changed.wait_for(lambda: bool(sink.meterings), 20)
    (found,) = sink.meterings
    assert isinstance(found, kind)
    assert found.light_s["A1"] == {"0": pytest.approx(seconds)}
    if isinstance(found, MeteringFailed):
        assert "light cap: not taken, the field would get more than 0.005 s of light" in found.reason


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cap", ["light_per_field_s", "light_per_object_s"])
def test_random_faults_pass_no_cap(seed: int, cap: str) -> None:
    """The same well four times, with all that can refuse refusing by chance."""
    chance = random.Random(seed)
    limit_s = chance.choice([0.05, 0.1, 0.15, 0.25])
    plan = capped(make_plan(channels=(DNA,), fields=4), **{cap: limit_s})
    with opened(plan, retries=chance.choice([1, 4])) as (scope, sink):
        Flaw(scope.core, "snapImage", lambda _: chance.random() < 0.5)
        Flaw(scope.core, "getImage", lambda _: chance.random() < 0.3)
        Flaw(scope.core, "setXYPosition", lambda _: chance.random() < 0.2)
        light = LightMeter(scope.core)
        for number in range(1, 5):
            scope.acquire(acquire(plan, number))
        sink.wait(ends=4)
    most = max(light.seconds.values()) if cap == "light_per_field_s" else light.most_of_a_place()
    assert 0.02 <= most <= limit_s + 1e-6
    assert sum(light.seconds.values()) == pytest.approx(_told(sink.ends))
    assert any("light cap" in gap.reason for ended in sink.ends for gap in ended.missing)


def _told(ends: list[VisitEnded]) -> float:
    return sum(seconds for ended in ends for seconds in ended.light_s.values())
