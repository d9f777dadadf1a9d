"""Hardware that refuses, through the whole stack: nothing shifted, nothing silently wrong, the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phenoloop import api
from phenoloop.api import session
from phenoloop.api.resolved import Resolved
from phenoloop.microscope import MMCoreMicroscope
from phenoloop.model import MeasurementFailed, VisitEnded
from phenoloop.ports import View
from phenoloop.storage.images import RunImages
from phenoloop.storage.journal import read
from tests.whole.plates import SWEEP, write_protocol

pytestmark = pytest.mark.mm

Sabotage = Callable[[Any], None]


def every(n: int, name: str) -> Sabotage:
    """The named call of the core raises every n-th time."""

    def apply(core: Any) -> None:
        real = getattr(core, name)
        calls = [0]

        def faulty(*args: Any) -> Any:
            calls[0] += 1
            if calls[0] % n == 0:
                raise RuntimeError(f"{name} refused (test)")
            return real(*args)

        setattr(core, name, faulty)

    return apply


def preset_fails(config: str) -> Sabotage:
    """A preset can never be set."""

    def apply(core: Any) -> None:
        real = core.setConfig

        def faulty(group: str, preset: str) -> None:
            if preset == config:
                raise RuntimeError(f"{group}-{preset} refused (test)")
            real(group, preset)

        core.setConfig = faulty

    return apply


def channel_fails_at(column: float) -> Sabotage:
    """The camera refuses the second channel, at stage positions right of `column` only."""

    def apply(core: Any) -> None:
        real = core.snapImage

        def faulty() -> None:
            if core.getCurrentConfig("Channel") == "FITC" and core.getXPosition() > column:
                raise RuntimeError("snapImage refused (test)")
            real()

        core.snapImage = faulty

    return apply


ROWS = [
    pytest.param(every(3, "setXYPosition"), 0, id="stage raises 1 in 3"),
    pytest.param(every(4, "snapImage"), 0, id="camera 1 in 4"),
    pytest.param(every(3, "setExposure"), 0, id="exposure fails 1 in 3"),
    pytest.param(preset_fails("FITC"), 48, id="preset fails always"),
    pytest.param(channel_fails_at(20_000.0), 12, id="second channel fails in the last column"),
]


@pytest.mark.parametrize(("sabotage", "missing"), ROWS)
def test_each_stored_frame_is_the_picture_of_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sabotage: Sabotage, missing: int
) -> None:
    class Faulty(MMCoreMicroscope):
        def open(self, sink: Any) -> Any:
            description = super().open(sink)
            sabotage(self.core)
            return description

    monkeypatch.setattr(session, "MMCoreMicroscope", Faulty)
    result = api.run(write_protocol(tmp_path, policy=SWEEP, frames=96), out=tmp_path / "run")
    messages = read(result.folder.journal).messages
    ends = [message for message in messages if isinstance(message, VisitEnded)]
    gone = [frame for end in ends for frame in end.missing]
    kept = [frame for end in ends for frame in end.frames]
    assert len(gone) == missing
    assert len(kept) + len(gone) == 96
    assert all(frame.reason for frame in gone)
    assert sum(len(end.faults) for end in ends) > 0
    assert result.report["faults"] == sum(len(end.faults) for end in ends)
    assert result.report["lost_frames"] == sum(frame.exposed for frame in gone)

    # The picture is a pure function of place, preset and exposure: taken again from the specimen, it must be equal.
    resolved = Resolved.from_json(result.folder.resolved.read_bytes(), "resolved.json")
    specimen = resolved.build_specimen()
    assert specimen is not None
    images = RunImages(result.folder.images_folder, resolved.plan)
    channels = {channel.name: channel for channel in resolved.plan.profiles["main"].channels}
    for frame in kept:
        address = frame.address
        place = next(f for f in resolved.plan.well(address.well).fields if f.name == address.field)
        assert (frame.x_um, frame.y_um) == pytest.approx((place.x_um, place.y_um), abs=1.0)
        assert frame.exposure_ms == channels[address.channel].exposure_ms
        view = View(
            address=address,
            x_um=frame.x_um,
            y_um=frame.y_um,
            z_um=frame.z_um or 0.0,
            config=channels[address.channel].config,
            channel=address.channel,
            exposure_ms=frame.exposure_ms,
            pixel_size_um=resolved.plan.profiles["main"].pixel_size_um,
            at_s=frame.at_s,
        )
        stored = images.read(address)
        assert stored is not None
        np.testing.assert_array_equal(stored, specimen.render(view))

    # A field that lacks a channel is missing, all others are measured.
    lacking = {(frame.address.visit, frame.address.field) for frame in gone}
    assert result.report["fields"] + result.report["quality"]["rejected"] == 48 - len(lacking)
    assert not any(isinstance(message, MeasurementFailed) for message in messages)
    assert api.replay(result.folder.path).equal
