"""The stage limits, once more in the engine: whatever a proposal says, nothing outside is commanded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phenoloop.microscope.events import address_of, frame_event, outside
from phenoloop.microscope.private import SequencedEvent
from phenoloop.model import FieldPlace, StageBox
from tests.microscope.builders import BOX, DNA, acquire, make_plan

ADDRESS = acquire(make_plan(), 1).visit.frames()[0]


def refusal(x: float, y: float, z: float | None = None, box: StageBox = BOX) -> str:
    return outside(frame_event(ADDRESS, FieldPlace(name="0", x_um=x, y_um=y), DNA, z), box)


def test_ten_thousand_random_places() -> None:
    chance = np.random.default_rng(7)
    places = chance.uniform(-300_000, 300_000, size=(10_000, 2))
    heights = chance.uniform(-500, 500, size=10_000)
    passed = [(x, y, z) for (x, y), z in zip(places, heights, strict=True) if not refusal(float(x), float(y), float(z))]
    inside = (
        (places[:, 0] >= -20_000) & (places[:, 0] <= 130_000) & (places[:, 1] >= -95_000)
        & (places[:, 1] <= 20_000) & (np.abs(heights) <= 250)
    )  # fmt: skip
    assert len(passed) == int(inside.sum()) > 100


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        pytest.param(math.nan, 0.0, None, id="x is no number"),
        pytest.param(0.0, math.inf, None, id="y is infinite"),
        pytest.param(0.0, 0.0, math.nan, id="z is no number"),
        pytest.param(130_000.001, 0.0, None, id="x just beyond"),
        pytest.param(0.0, 0.0, -250.1, id="z just beyond"),
    ],
)
def test_outside_is_refused(x: float, y: float, z: float | None) -> None:
    assert "outside the stage limits" in refusal(x, y, z)


def test_the_edge_is_inside() -> None:
    assert refusal(130_000.0, -95_000.0, 250.0) == ""


def test_one_bad_plane_refuses_the_whole_burst() -> None:
    place = FieldPlace(name="0", x_um=0.0, y_um=0.0)
    events = tuple(frame_event(ADDRESS, place, DNA, z) for z in (0.0, 251.0))
    burst = SequencedEvent(events=events, x_pos=0.0, y_pos=0.0, z_pos=0.0, z_sequence=(0.0, 251.0))
    assert "251" in outside(burst, BOX)
    assert address_of(events[0]) == ADDRESS
