"""Opening: what cannot be used is told as a `HardwareError` with the way out, and nothing stays behind."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pymmcore_plus
import pytest

from phenoloop.errors import HardwareError
from phenoloop.microscope import doctor, loading
from phenoloop.microscope.mmcore import MMCoreMicroscope
from phenoloop.microscope.steps import same_value, wrong_exposure
from phenoloop.model import ChannelPlan
from phenoloop.ports import Image, View
from tests.microscope.builders import (
    CONFIG,
    DNA,
    Imprint,
    Recorder,
    acquire,
    make_microscope_plan,
    make_plan,
    opened,
)

pytestmark = pytest.mark.mm


class Wide(Imprint):
    """Pictures of an odd size and 16 bit, as a recorded plate may have."""

    def shape(self) -> tuple[int, int]:
        return 211, 190

    def bit_depth(self) -> int:
        return 16

    def render(self, view: View) -> Image:
        return np.full(self.shape(), 40_000, dtype=np.uint16)


def broken_config(tmp_path: Path, old: str, new: str) -> str:
    text = CONFIG.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "broken.cfg"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        pytest.param("Device,Z,DemoCamera,DStage", "Device,Z,DemoCamera,DStge", "DStge", id="misspelt device"),
        pytest.param("Device,XY,DemoCamera,", "Device,XY,NikonTi2,", "NikonTi2", id="missing adapter"),
        pytest.param("Property,Core,Camera,Camera", "Property,Core,Camera,", "names no Camera", id="no camera"),
        pytest.param("ConfigGroup,Channel,DAPI", "ConfigGroup,Channel,Dapi", "no preset 'DAPI'", id="preset lacking"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    scope = MMCoreMicroscope(make_plan(), make_microscope_plan(config=broken_config(tmp_path, old, new)), Imprint())
    with pytest.raises(HardwareError, match=sentence):
        scope.open(Recorder())
    scope.close()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"config": "/nowhere/room4.cfg"}, "is not a file", id="file"),
        pytest.param({"startup": (("XY", "Speed", "1"),)}, "Speed", id="start-up property"),
    ],
)
def test_a_microscope_file_that_cannot_be_used(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HardwareError, match=sentence):
        MMCoreMicroscope(make_plan(), make_microscope_plan(**changes), Imprint()).open(Recorder())


def test_without_adapters_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pymmcore_plus, "find_micromanager", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HardwareError, match=r"pip install 'phenoloop\[demo\]'.*MICROMANAGER_PATH"):
        loading.find_adapters(make_microscope_plan())


def test_an_installation_without_the_demo_camera_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pymmcore_plus, "find_micromanager", lambda: str(tmp_path))
    assert "mm_test_adapters" in loading.find_adapters(make_microscope_plan())
    assert loading.find_adapters(make_microscope_plan(needs_demo_adapters=False)) == str(tmp_path)


def test_a_pixel_size_that_is_not_the_planned_one_is_refused_on_hardware_only() -> None:
    plan = make_plan()
    main = dataclasses.replace(plan.profiles["main"], pixel_size_um=0.65)
    plan = dataclasses.replace(plan, profiles={"main": main})
    with pytest.raises(HardwareError, match=r"0\.5 um with objective 20x, the plan says 0\.65 um"):
        MMCoreMicroscope(plan, make_microscope_plan()).open(Recorder())
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
    assert not sink.ends[0].missing


def test_without_a_specimen_the_camera_shows_its_own_pictures_at_the_real_exposure() -> None:
    plan = make_plan(channels=(ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=30.0),), fields=1)
    sink = Recorder()
    scope = MMCoreMicroscope(plan, make_microscope_plan())
    described = scope.open(sink)
    scope.acquire(acquire(plan, 1))
    sink.wait(ends=1)
    scope.close()
    assert described["camera"] == {"device": "Camera", "height": 512, "width": 512, "bit_depth": 16}
    assert described["devices"]["XY"] == "DemoCamera/DXYStage"
    assert sink.frames[0][1].shape == (512, 512)
    assert sink.frames[0][0].exposure_ms == 30.0
    assert sink.frames[0][1].std() > 0


def test_the_virtual_camera_takes_the_shape_and_depth_of_the_specimen() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    with opened(plan, specimen=Wide()) as (scope, sink):
        core = scope.core
        assert (core.getImageHeight(), core.getImageWidth(), core.getImageBitDepth()) == (211, 190, 16)
        assert core.getBytesPerPixel() == 2
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        core.setExposure("Camera", 33.0)
        assert core.getExposure() == 33.0
        assert core.snap().shape == core.getLastImage().shape == (211, 190)
    assert sink.frames[0][1].shape == (211, 190)


def test_profiles_change_objective_and_binning_and_the_picture_keeps_its_shape() -> None:
    main = make_plan(channels=(DNA,)).profiles["main"]
    closeup = dataclasses.replace(
        main, name="closeup", objective="40x", objective_config="40X", pixel_size_um=0.5, binning=2
    )
    plan = make_plan(fields=1, profiles={"main": main, "closeup": closeup})
    labels: list[str] = []
    with opened(plan) as (scope, sink):
        for number, profile in enumerate(("main", "closeup", "main"), start=1):
            scope.acquire(acquire(plan, number, profile=profile))
            sink.wait(ends=number)
            labels.append(scope.core.getProperty("Objective", "Label") + scope.core.getProperty("Camera", "Binning"))
    assert labels == [
        "Nikon 20X Plan Fluor ELWD1",
        "Nikon 40X Plan Fluor ELWD2",
        "Nikon 20X Plan Fluor ELWD1",
    ]
    assert not any(ended.missing for ended in sink.ends)
    assert [pixels.shape for _, pixels in sink.frames] == [(32, 32)] * 3
    starts = [0.0, *(ended.at_s for ended in sink.ends)]
    durations = [end - start for start, end in itertools.pairwise(starts)]
    assert durations[1] == pytest.approx(durations[2])
    assert durations[1] > plan.cost.objective_s > durations[0]


def test_a_visit_to_a_place_the_plan_lacks_is_missing_with_its_name() -> None:
    plan = make_plan(channels=(DNA,), fields=1)
    command = acquire(plan, 1)
    lost = dataclasses.replace(command, visit=dataclasses.replace(command.visit, well="H12"))
    with opened(plan) as (scope, sink):
        scope.acquire(lost)
        scope.acquire(acquire(plan, 2))
        sink.wait(ends=2)
    assert "H12" in sink.ends[0].missing[0].reason
    assert not sink.ends[1].missing


def test_the_doctor_finds_the_demo_microscope_well() -> None:
    checks = doctor.hardware_checks(make_microscope_plan())
    assert all(check.ok for check in checks), checks
    assert {"configuration", "stage", "focus drive", "pixel size", "snap"} <= {check.name for check in checks}
    assert all(check.ok for check in doctor.environment_checks())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"config": "/nowhere/room4.cfg"}, "configuration", id="file"),
        pytest.param({"record": (("Camera", "Temperature"),)}, "property Camera-Temperature", id="record"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_the_way_out(changes: dict[str, Any], name: str) -> None:
    bad = [check for check in doctor.hardware_checks(make_microscope_plan(**changes)) if not check.ok]
    assert [check.name for check in bad] == [name]
    assert bad[0].way_out


def test_the_doctor_gives_a_hanging_camera_up(monkeypatch: pytest.MonkeyPatch) -> None:
    microscope = make_microscope_plan(timeout_s=0.2)
    core = loading.load_core(microscope)
    back = threading.Event()
    core.snapImage = lambda: back.wait(20)  # type: ignore[method-assign]
    monkeypatch.setattr(loading, "load_core", lambda _: core)
    bad = [check for check in doctor.hardware_checks(microscope) if not check.ok]
    back.set()
    assert [check.name for check in bad] == ["snap"]
    assert "has not come back" in bad[0].detail


@pytest.mark.parametrize(
    ("asked", "found", "wrong"),
    [
        pytest.param(20.0, 20.0, False, id="equal"),
        pytest.param(20.0, 20.3, False, id="line time"),
        pytest.param(20.0, 10.0, True, id="half"),
        pytest.param(0.5, 0.58, False, id="short, within a tenth"),
        pytest.param(0.5, 10.0, True, id="camera has a minimum"),
    ],
)
def test_which_exposure_is_another_exposure(asked: float, found: float, wrong: bool) -> None:
    assert bool(wrong_exposure(asked, found)) is wrong


@pytest.mark.parametrize(
    ("found", "asked", "same"),
    [
        pytest.param("1.0000", "1", True, id="number"),
        pytest.param("Yes", "Yes", True, id="text"),
        pytest.param("Yes", "No", False, id="other text"),
        pytest.param("2", "1", False, id="other number"),
    ],
)
def test_which_property_values_are_the_same(found: str, asked: str, same: bool) -> None:
    assert same_value(found, asked) is same
