"""Exposures are metered by the real core before the first decision: found, limited, counted, or refused, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.core.metering import WORST
from phenoloop.microscope.mmcore import MMCoreMicroscope
from phenoloop.model import ChannelPlan, ExposuresSet, Meter, MeteringFailed, Plan
from phenoloop.numerics.metering import FLOOR_MS, NothingToMeter, meter
from phenoloop.ports import Image, View
from tests.microscope.builders import GFP, Recorder, acquire, make_plan, opened

pytestmark = pytest.mark.mm


class Lamp:
    """A specimen as bright as its light: counts per millisecond on a few objects, above an offset."""

    def __init__(self, rate: float, *, dark_wells: tuple[float, ...] = ()) -> None:
        self.rate = rate
        self.dark_wells = dark_wells
        self.views: list[View] = []

    def shape(self) -> tuple[int, int]:
        return 64, 64

    def bit_depth(self) -> int:
        return 16

    def render(self, view: View) -> Image:
        self.views.append(view)
        picture = np.full((64, 64), 100.0)
        if not any(abs(view.x_um - x) < 3000 for x in self.dark_wells):
            picture[:8] += self.rate * view.exposure_ms
        picture += np.random.default_rng(view.salt).normal(0, 2, picture.shape)
        return np.clip(picture, 0, 65535).astype(np.uint16)


AUTO = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=200.0, auto=0.6, power=0.5)


def metered(plan: Plan, specimen: Lamp, wells: tuple[str, ...]) -> tuple[Any, MMCoreMicroscope, Recorder]:
    with opened(plan, specimen=specimen) as (scope, sink):
        scope.meter(Meter(at_s=0.0, wells=wells))
        with sink._changed:
            assert sink._changed.wait_for(lambda: bool(sink.meterings), 20)
        return sink.meterings[0], scope, sink


def test_an_exposure_is_found_and_used(tmp_path: Any) -> None:
    plan = make_plan(channels=(AUTO, GFP))
    lamp = Lamp(1000.0)
    with opened(plan, specimen=lamp) as (scope, sink):
        scope.meter(Meter(at_s=0.0, wells=("A1", "A2")))
        with sink._changed:
            assert sink._changed.wait_for(lambda: bool(sink.meterings), 20)
        found = sink.meterings[0]
        assert isinstance(found, ExposuresSet)
        (channel,) = found.channels
        assert (channel.profile, channel.channel) == ("main", "DNA")
        assert channel.exposure_ms == pytest.approx(0.6 * 65535 / 1000, rel=0.02)
        assert channel.level == pytest.approx(0.6, abs=0.01)
        assert channel.looks == found.exposures == len(lamp.views)
        assert max(view.exposure_ms for view in lamp.views) <= AUTO.exposure_ms
        given = sum(view.exposure_ms for view in lamp.views) / 1000 * 0.5  # at half the power
        assert sum(s for fields in found.light_s.values() for s in fields.values()) == pytest.approx(given)
        scope.acquire(acquire(plan, 1, "A3"))
        sink.wait(ends=1)
        exposures = {frame.address.channel: frame.exposure_ms for frame, _ in sink.frames}
        assert exposures == {"DNA": channel.exposure_ms, "GFP": 80.0}


@pytest.mark.parametrize(
    ("rate", "dark", "exposure_ms", "level"),
    [
        pytest.param(20.0, (), 200.0, 0.0625, id="dim: never above the longest"),
        pytest.param(1000.0, (0.0,), 39.0, 0.6, id="an empty control does not decide"),
    ],
)
def test_what_the_light_allows(rate: float, dark: tuple[float, ...], exposure_ms: float, level: float) -> None:
    found, *_ = metered(make_plan(channels=(AUTO,)), Lamp(rate, dark_wells=dark), ("A1", "A2", "A3"))
    assert isinstance(found, ExposuresSet)
    assert found.channels[0].exposure_ms == pytest.approx(exposure_ms, rel=0.02)
    assert found.channels[0].level == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        pytest.param(0.0, "is dark even at 200 ms", id="dark"),
        pytest.param(1e6, "is saturated already at 1 ms: lower the power", id="saturated"),
    ],
)
def test_nothing_to_meter(rate: float, said: str) -> None:
    failed, *_ = metered(make_plan(channels=(AUTO,)), Lamp(rate), ("A1", "A2"))
    assert isinstance(failed, MeteringFailed)
    assert failed.reason.startswith("no exposure was found for DNA: it ")
    assert said in failed.reason
    assert "(in A1)" in failed.reason
    assert failed.exposures > 0


def test_a_place_outside_the_stage_limits_is_not_metered() -> None:
    plan = make_plan(channels=(AUTO,))
    plan = replace(plan, stage=replace(plan.stage, x_um=(-20_000.0, -10_000.0)))
    failed, *_ = metered(plan, Lamp(1000.0), ("A1",))
    assert isinstance(failed, MeteringFailed)
    assert "outside the stage limits" in failed.reason
    assert failed.exposures == 0


def test_a_stop_ends_a_metering() -> None:
    with opened(make_plan(channels=(AUTO,)), specimen=Lamp(1000.0)) as (scope, sink):
        scope.pause()
        scope.meter(Meter(at_s=0.0, wells=("A1",)))
        scope.stop()
        with sink._changed:
            assert sink._changed.wait_for(lambda: bool(sink.meterings), 20)
        assert isinstance(sink.meterings[0], MeteringFailed)
        assert "stopped" in sink.meterings[0].reason


# -- the arithmetic ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [5.0, 50.0, 500.0, 5000.0, 30_000.0])
@pytest.mark.parametrize("longest_ms", [4.0, 30.0, 1000.0])
@pytest.mark.parametrize("offset", [0.0, 100.0, 2000.0])
def test_the_line_through_the_looks(rate: float, longest_ms: float, offset: float) -> None:
    rng, taken = np.random.default_rng(7), []

    def look(exposure_ms: float) -> NDArray[Any]:
        taken.append(exposure_ms)
        picture = np.zeros((100, 100))
        picture[:5] += rate * exposure_ms
        return np.clip(rng.poisson(picture) + offset + rng.normal(0, 3, picture.shape), 0, 65535)

    found = meter(look, 0.6, longest_ms, 65535.0)
    assert found.looks == len(taken)
    assert max(taken) <= longest_ms
    assert sum(taken) <= WORST * longest_ms
    ideal = (0.6 * 65535 - offset) / rate
    assert min(FLOOR_MS, longest_ms) <= found.exposure_ms <= longest_ms
    if FLOOR_MS < ideal < longest_ms:
        assert found.exposure_ms == pytest.approx(ideal, rel=0.06)
    elif ideal >= longest_ms:
        assert found.exposure_ms == pytest.approx(longest_ms, rel=0.06)


def test_noise_alone_is_no_light() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        with pytest.raises(NothingToMeter, match="dark"):
            meter(lambda ms: 100 + rng.normal(0, 5, (128, 128)), 0.6, 100.0, 65535.0)
