"""Software autofocus: the sweep finds the plane, refuses where there is none, and costs light that is counted."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from phenoloop.microscope.focus import planes_of
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import AutofocusPlan, StageBox
from phenoloop.numerics.autofocus import sharpest, tenengrad
from phenoloop.ports import Image, View
from tests.microscope.builders import DNA, GFP, acquire, make_plan, opened
from tests.virtual import builders as virtual

SWEEP = AutofocusPlan(channel="DNA", range_um=20.0, step_um=2.0)


class Slanted:
    """Bright dots on a plate that is tilted: sharp at ``z = 3 + x / 3000``, and shot noise keyed by the look."""

    def __init__(self, *, empty: bool = False, at_um: float = 3.0) -> None:
        self.views: list[View] = []
        self._empty = empty
        self._at_um = at_um
        chance = np.random.default_rng(1)
        self._dots = np.zeros((128, 128), dtype=np.float32)
        self._dots[tuple(chance.integers(8, 120, size=(2, 40)))] = 60_000.0

    def shape(self) -> tuple[int, int]:
        return 128, 128

    def bit_depth(self) -> int:
        return 16

    def focus_um(self, x_um: float) -> float:
        return self._at_um + x_um / 3000

    def render(self, view: View) -> Image:
        self.views.append(view)
        blur = 1.0 + abs(view.z_um - self.focus_um(view.x_um)) / 2
        signal: Any = 0.0 if self._empty else cv2.GaussianBlur(self._dots, (0, 0), blur)
        seed = view.salt if view.address is None else view.address.visit
        noise = np.random.default_rng(seed).poisson(np.full(self.shape(), 100.0) + signal)
        return np.clip(noise, 0, 65535).astype(np.uint16)


@pytest.mark.mm
def test_the_focus_is_found_in_each_well_and_its_light_is_counted() -> None:
    plan = make_plan(channels=(DNA, GFP), autofocus=SWEEP, fields=2)
    slanted = Slanted()
    with opened(plan, specimen=slanted) as (scope, sink):
        for number, well in enumerate(("A1", "A3"), start=1):
            scope.acquire(acquire(plan, number, well))
        sink.wait(ends=2)
    for ended in sink.ends:
        assert not ended.missing
        assert ended.exposures == 11 + 4
        assert ended.light_s == {
            "0": pytest.approx(11 * 0.02 + 0.1),
            "1": pytest.approx(0.1),
        }
        for frame in ended.frames:
            assert frame.z_um == pytest.approx(slanted.focus_um(frame.x_um), abs=0.4)
    looks = [view.salt for view in slanted.views if view.address is None]
    assert len(set(looks)) == 22, "each look has noise of its own"


@pytest.mark.mm
def test_each_field_may_have_a_sweep_of_its_own() -> None:
    plan = make_plan(
        channels=(DNA,),
        autofocus=AutofocusPlan(channel="DNA", range_um=12.0, step_um=2.0, when="each_field"),
        fields=3,
    )
    with opened(plan, specimen=Slanted()) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert sink.ends[0].exposures == 3 * 7 + 3
    assert sink.ends[0].light_s == {name: pytest.approx(8 * 0.02) for name in ("0", "1", "2")}


@pytest.mark.mm
@pytest.mark.parametrize(
    ("specimen", "sentence"),
    [
        pytest.param(Slanted(empty=True), "differ too little", id="empty field"),
        pytest.param(Slanted(at_um=17.0), "edge of the sweep", id="focus beyond the sweep"),
    ],
)
@pytest.mark.parametrize("if_fails", ["keep", "skip"])
def test_a_sweep_without_an_answer(specimen: Slanted, sentence: str, if_fails: str) -> None:
    sweep = AutofocusPlan(channel="DNA", range_um=20.0, step_um=2.0, if_fails=if_fails)
    plan = make_plan(channels=(DNA,), autofocus=sweep, fields=2)
    with opened(plan, specimen=specimen) as (scope, sink):
        scope.core.setZPosition(5.0)
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        after = scope.core.getZPosition()
    (ended,) = sink.ends
    assert after == 5.0
    if if_fails == "skip":
        assert len(ended.missing) == 2
        assert all(sentence in frame.reason for frame in ended.missing)
        assert ended.exposures == 11
    else:
        assert [frame.z_um for frame in ended.frames] == [5.0, 5.0]
        assert ended.exposures == 13
    assert [fault.call for fault in ended.faults] == ["autofocus"]
    assert sentence in ended.faults[0].message


@pytest.mark.mm
def test_a_sweep_stays_inside_the_stage_limits() -> None:
    box = StageBox(x_um=(-1e5, 1e5), y_um=(-1e5, 1e5), z_um=(-5.0, 50.0))
    plan = make_plan(channels=(DNA,), autofocus=SWEEP, fields=1, stage=box)
    with opened(plan, specimen=Slanted()) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert "leaves the stage limits" in sink.ends[0].faults[0].message
    assert sink.ends[0].exposures == 1


@pytest.mark.mm
def test_with_heights_in_the_protocol_the_sweep_corrects_them() -> None:
    plan = make_plan(channels=(DNA,), autofocus=SWEEP, fields=1, z_um=-2.0)
    with opened(plan, specimen=Slanted()) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert sink.ends[0].frames[0].z_um == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize(
    ("cells", "found"),
    [pytest.param(0, False, id="no cell"), pytest.param(3, True, id="three cells"), pytest.param(60, True, id="many")],
)
def test_the_least_contrast_tells_cells_from_noise(cells: int, found: bool) -> None:
    plate = virtual.plate()
    specimen = Synthetic({"phenotype": {}, "cells_per_field": cells}, plate)
    heights = planes_of(SWEEP, 1.0)
    for field in ("0", "1", "2"):
        views = [virtual.look(plate, field=field, frame=False, z_um=z, salt=i) for i, z in enumerate(heights)]
        scores = [tenengrad(specimen.render(view)) for view in views]
        if found:
            assert sharpest(heights, scores) == pytest.approx(0.0, abs=0.2)
        else:
            with pytest.raises(ValueError, match="too little"):
                sharpest(heights, scores)


def test_sharpness_does_not_depend_on_the_lamp() -> None:
    image = np.random.default_rng(1).integers(0, 200, size=(64, 64)).astype(np.uint16)
    assert tenengrad(image * 10) == pytest.approx(tenengrad(image))
    assert tenengrad(np.zeros((8, 8), dtype=np.uint8)) == 0.0


def test_the_planes_of_a_sweep_are_symmetric() -> None:
    assert planes_of(SWEEP, 1.0) == [-9.0, -7.0, -5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0]


def test_the_peak_of_a_parabola_is_exact() -> None:
    z = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert sharpest(z, [10 - (h - 2.3) ** 2 for h in z]) == pytest.approx(2.3)


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        pytest.param([1.0, 2.0], "no peak", id="two planes"),
        pytest.param([1.0, 1.1, 1.0], "too little", id="no contrast"),
        pytest.param([3.0, 2.0, 1.0], "edge", id="first plane"),
        pytest.param([1.0, 2.0, 3.0], "edge", id="last plane"),
        pytest.param([0.0, 0.0, 0.0], "too little", id="black"),
        pytest.param([1.0, float("nan"), 1.0], "no sharpness", id="not a number"),
    ],
)
def test_no_answer_is_said(scores: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        sharpest([float(i) for i in range(len(scores))], scores)
