"""Events of the synthetic specimen: pure, as frequent as asked for, and seen in the picture with their precursor."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from phenoloop.microscope.virtual.flares import FlareParams, brightness, onsets
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.ports import View
from tests.virtual.builders import plate

EVENTS: dict[str, Any] = {"per_cell_and_hour": 0.5, "lasts": 120.0, "precursor": 60.0, "brighter": 4.0}


def specimen(seed: int = 3, **changes: Any) -> Synthetic:
    return Synthetic({"width": 256, "height": 256, "events": EVENTS | changes}, plate(seed=seed))


def view(at_s: float = 0.0, well: int = 0) -> View:
    return View(
        address=None,
        x_um=9000.0 * well,
        y_um=100.0,
        z_um=0.0,
        config="DAPI",
        channel="DNA",
        exposure_ms=20.0,
        pixel_size_um=0.5,
        at_s=at_s,
    )


@pytest.mark.parametrize(
    ("since", "factor"),
    [
        pytest.param(-61.0, 1.0, id="before"),
        pytest.param(-30.0, 1.75, id="halfway through the precursor"),
        pytest.param(0.0, 4.0, id="begins"),
        pytest.param(119.0, 4.0, id="goes on"),
        pytest.param(121.0, 1.0, id="over"),
    ],
)
def test_the_course_of_an_event(since: float, factor: float) -> None:
    begins = np.array([1000.0, np.nan])
    assert brightness(FlareParams(**EVENTS), begins, 1000.0 + since) == pytest.approx([factor, 1.0])


def test_events_are_as_frequent_as_asked_for() -> None:
    flares = FlareParams(**EVENTS)
    rng = np.random.default_rng(11)
    found = np.concatenate([onsets(flares, rng.random((200, 2)), number) for number in range(200)])
    hours = 200 * 200 * flares.bin_s / 3600
    rate = np.count_nonzero(np.isfinite(found)) / hours
    assert rate == pytest.approx(0.5, abs=4 * (0.5 / hours) ** 0.5 + 0.01)


def test_they_follow_from_seed_and_place_alone() -> None:
    times = specimen().event_times(view(), 36_000.0)
    assert len(times) > 10
    assert specimen().event_times(view(), 36_000.0) == times
    assert specimen(seed=4).event_times(view(), 36_000.0) != times
    assert specimen().event_times(view(well=1), 36_000.0) != times
    late = specimen()
    late.render(view(30_000.0))  # looked at in another order
    assert [t for t in times if t >= 18_000] == late.event_times(view(18_000.0), 36_000.0)


def test_an_event_is_seen_and_nothing_else_changes() -> None:
    plain = Synthetic({"width": 256, "height": 256}, plate(seed=3))
    eventful = specimen()
    begins = eventful.event_times(view(), 36_000.0)[0]
    during = eventful.light(view(begins + 1.0)) / plain.light(view(begins + 1.0))
    assert during.max() > 3.0
    assert np.mean(during > 1.5) < 0.25
    other = dataclasses.replace(view(begins + 1.0), config="FITC")
    assert np.array_equal(eventful.light(other), plain.light(other))
