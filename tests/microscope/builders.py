"""A plan on the demo stand, a specimen that prints the state into its pixels, a sink that remembers, and faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.microscope.mmcore import MMCoreMicroscope
from phenoloop.model import (
    Acquire,
    AutofocusPlan,
    ChannelPlan,
    ExposuresSet,
    FieldPlace,
    FieldVisit,
    MeteringFailed,
    MicroscopeFailed,
    MicroscopePlan,
    Plan,
    ProfilePlan,
    StageBox,
    StoredFrame,
    Visit,
    VisitEnded,
    WellPlan,
)
from phenoloop.ports import Image, Specimen, View

CONFIG = Path(__file__).parents[2] / "mm_configs" / "demo.cfg"
DNA = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=20.0)
GFP = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=80.0, exposures_ms={"A2": 40.0})
STAGE_STEP_UM = 0.02
"""The demo stage counts in steps of 0.015 um."""
BOX = StageBox(x_um=(-20_000.0, 130_000.0), y_um=(-95_000.0, 20_000.0), z_um=(-250.0, 250.0))


def make_plan(
    *,
    channels: tuple[ChannelPlan, ...] = (DNA, GFP),
    offsets: tuple[float, ...] = (),
    autofocus: AutofocusPlan | None = None,
    z_um: float | None = None,
    wells: int = 3,
    fields: int = 3,
    stage: StageBox = BOX,
    virtual_clock: bool = True,
    profiles: Mapping[str, ProfilePlan] | None = None,
) -> Plan:
    main = ProfilePlan(
        name="main",
        channels=channels,
        pixel_size_um=0.5,
        objective="20x",
        objective_group="Objective",
        objective_config="20X",
        z_offsets_um=offsets,
        autofocus=autofocus,
    )
    return Plan(
        name="test",
        seed=1,
        plate_rows=8,
        plate_columns=12,
        wells=tuple(
            WellPlan(
                name=f"A{column + 1}",
                row=0,
                column=column,
                x_um=9000.0 * column,
                y_um=0.0,
                fields=tuple(
                    FieldPlace(name=str(n), x_um=9000.0 * column + 300.0 * n, y_um=-100.0 * n, z_um=z_um)
                    for n in range(fields)
                ),
                choice=tuple(range(fields)),
            )
            for column in range(wells)
        ),
        profiles=profiles or {"main": main},
        stage=stage,
        virtual_clock=virtual_clock,
    )


def make_microscope_plan(**changes: Any) -> MicroscopePlan:
    values: dict[str, Any] = {
        "name": "demo",
        "config": str(CONFIG),
        "needs_demo_adapters": True,
        "timeout_s": 5.0,
        "safe_state": (("White Light Shutter", "State", "0"),),
        "record": (("Objective", "Label"),),
        "buffer_mb": 32,
    }
    return MicroscopePlan(**{**values, **changes})


def acquire(plan: Plan, number: int, well: str = "A1", profile: str = "main", at_s: float = 0.0) -> Acquire:
    places = plan.well(well).fields
    how = plan.profiles[profile]
    return Acquire(
        at_s=at_s,
        visit=Visit(
            number=number,
            decision=1,
            well=well,
            profile=profile,
            fields=tuple(FieldVisit(field=place.name, t=0, image=i) for i, place in enumerate(places)),
            channels=tuple(channel.name for channel in how.channels),
            planes=how.planes,
        ),
    )


class Imprint:
    """A specimen whose pictures are the state they were taken at, as text."""

    def shape(self) -> tuple[int, int]:
        return 32, 32

    def bit_depth(self) -> int:
        return 8

    def render(self, view: View) -> Image:
        text = json.dumps(
            {
                "x": round(view.x_um, 3),
                "y": round(view.y_um, 3),
                "z": round(view.z_um, 3),
                "config": view.config,
                "exposure": view.exposure_ms,
                "at": view.at_s,
                "frame": None
                if view.address is None
                else [view.address.visit, view.address.field, view.address.channel],
            }
        ).encode()
        pixels = np.zeros(32 * 32, dtype=np.uint8)
        pixels[: len(text)] = np.frombuffer(text, dtype=np.uint8)
        return pixels.reshape(32, 32)


def read_imprint(pixels: NDArray[Any]) -> dict[str, Any]:
    found = json.loads(pixels.tobytes().rstrip(b"\0"))
    assert isinstance(found, dict)
    return found


class Recorder:
    """A `FrameSink` that keeps everything."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.frames: list[tuple[StoredFrame, Image]] = []
        self.ends: list[VisitEnded] = []
        self.failures: list[MicroscopeFailed] = []
        self.meterings: list[ExposuresSet | MeteringFailed] = []
        self.order: list[str] = []
        self.hold = threading.Event()
        self.hold.set()

    def frame(self, frame: StoredFrame, pixels: Image) -> None:
        self.hold.wait(10)
        with self._changed:
            self.frames.append((frame, pixels.copy()))
            self.order.append(f"frame {frame.address.visit}")
            self._changed.notify_all()

    def ended(self, visit: VisitEnded) -> None:
        with self._changed:
            self.ends.append(visit)
            self.order.append(f"ended {visit.visit}")
            self._changed.notify_all()

    def metered(self, happened: ExposuresSet | MeteringFailed) -> None:
        with self._changed:
            self.meterings.append(happened)
            self.order.append("metered")
            self._changed.notify_all()

    def failed(self, failure: MicroscopeFailed) -> None:
        with self._changed:
            self.failures.append(failure)
            self.order.append("failed")
            self._changed.notify_all()

    def wait(self, *, ends: int = 0, frames: int = 0, failures: int = 0, timeout_s: float = 20.0) -> None:
        def enough() -> bool:
            return len(self.ends) >= ends and len(self.frames) >= frames and len(self.failures) >= failures

        with self._changed:
            assert self._changed.wait_for(enough, timeout_s), (len(self.ends), len(self.frames), self.failures)


@contextmanager
def opened(
    plan: Plan, *, specimen: Specimen | None = None, start_s: float = 0.0, **microscope: Any
) -> Iterator[tuple[MMCoreMicroscope, Recorder]]:
    """Open a microscope on the demo core, and close it whatever happens."""
    sink = Recorder()
    scope = MMCoreMicroscope(plan, make_microscope_plan(**microscope), specimen or Imprint(), start_s=start_s)
    scope.open(sink)
    try:
        yield scope, sink
    finally:
        sink.hold.set()
        scope.close()


class Flaw:
    """Replaces a method of the core by one that refuses, or silently does nothing, at chosen calls (counted from 1)."""

    def __init__(self, core: Any, method: str, when: Callable[[int], bool], *, silent: bool = False) -> None:
        self.calls = 0
        self.refused = 0
        self._really = getattr(core, method)
        self._method = method
        self._when = when
        self._silent = silent
        setattr(core, method, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if not self._when(self.calls):
            return self._really(*args, **kwargs)
        self.refused += 1
        if not self._silent:
            raise RuntimeError(f"{self._method} refused by the test")
        return None


def assert_taken_where_said(plan: Plan, frames: Sequence[tuple[StoredFrame, Image]]) -> None:
    """Compare the state in the pixels, the state in the record, and the plan, for every stored frame."""
    for stored, pixels in frames:
        address = stored.address
        seen = read_imprint(pixels)
        place = next(place for place in plan.well(address.well).fields if place.name == address.field)
        channel = next(c for c in plan.profiles[address.profile].channels if c.name == address.channel)
        assert seen["frame"] == [address.visit, address.field, address.channel]
        assert (seen["x"], seen["y"]) == pytest.approx((place.x_um, place.y_um), abs=STAGE_STEP_UM)
        assert seen["config"] == channel.config
        assert seen["exposure"] == channel.exposure_in(address.well) == stored.exposure_ms
        assert (stored.x_um, stored.y_um) == pytest.approx((seen["x"], seen["y"]), abs=0.001)
        assert stored.z_um is not None
        assert seen["z"] == round(stored.z_um, 3)
