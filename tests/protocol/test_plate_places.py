"""Wells and where they lie: names, ranges, the plate on the stage, fields in a well, and their order."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from useq import WellPlatePlan, registered_well_plate_keys

from phenoloop.protocol.geometry import PlateGeometry, choice_order, grid_offsets, random_offsets
from phenoloop.protocol.microscope_models import A1, StageBlock
from phenoloop.protocol.plate_models import Plate
from phenoloop.protocol.problems import Problems
from phenoloop.protocol.resolve_plate import plate_geometry
from phenoloop.protocol.wells import expand, well_name, well_place
from phenoloop.protocol.yaml_source import Source

NO_FILE = Source("", [])


def on_stage(plate: str, a1: tuple[float, float] = (0.0, 0.0), rotation: float = 0.0) -> PlateGeometry:
    stage = StageBlock(a1=A1(x=a1[0], y=a1[1]), rotation=rotation)
    geometry = plate_geometry(Plate(format=plate), stage, NO_FILE, Problems())
    assert geometry is not None
    return geometry


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("A1", (0, 0), id="first"),
        pytest.param("b03", (1, 2), id="small letter and zero"),
        pytest.param("H12", (7, 11), id="last of 96"),
        pytest.param("AF48", (31, 47), id="last of 1536"),
        pytest.param("Z1", (25, 0), id="Z"),
        pytest.param("AA1", (26, 0), id="after Z"),
    ],
)
def test_well_place(text: str, place: tuple[int, int]) -> None:
    assert well_place(text) == place


@given(st.integers(0, 31), st.integers(0, 47))
def test_names_come_back(row: int, column: int) -> None:
    assert well_place(well_name(row, column)) == (row, column)


@pytest.mark.parametrize("text", ["", "1A", "A0", "A", "7", "A1B", "ABC1", "A-1", "A1:"])
def test_no_well(text: str) -> None:
    with pytest.raises(ValueError, match="write it like B3"):
        expand(text, 8, 12)


def test_a_range_goes_row_by_row() -> None:
    assert [well_name(*well) for well in expand("B2:C4", 8, 12)] == ["B2", "B3", "B4", "C2", "C3", "C4"]


@pytest.mark.parametrize("plate", sorted(str(key) for key in registered_well_plate_keys()))
@pytest.mark.parametrize("rotation", [0.0, 1.5, -7.0])
def test_centres_are_those_of_useq(plate: str, rotation: float) -> None:
    geometry = on_stage(plate, (1234.5, -6789.0), rotation)
    theirs = WellPlatePlan(plate=plate, a1_center_xy=(1234.5, -6789.0), rotation=rotation, selected_wells=slice(None))
    for position in theirs.selected_well_positions:
        ours = geometry.stage_um(position.plate_row, position.plate_col)
        assert ours == pytest.approx((position.x, position.y), abs=2e-3)


def test_row_b_lies_below_row_a_and_columns_go_right() -> None:
    plate = on_stage("96-well", (500.0, 700.0))
    assert plate.stage_um(0, 0) == (500.0, 700.0)
    assert plate.stage_um(1, 0) == (500.0, 700.0 - 9000.0)
    assert plate.stage_um(0, 1) == (500.0 + 9000.0, 700.0)


def test_fields_turn_with_the_plate() -> None:
    plate = on_stage("96-well", rotation=90.0)
    assert plate.stage_um(0, 1) == (0.0, 9000.0)
    assert plate.stage_um(0, 0, (100.0, 0.0)) == (0.0, 100.0)


def test_a_grid_is_walked_like_a_snake_from_the_top_left() -> None:
    assert grid_offsets(2, 3, (10.0, 20.0)) == [
        (-10.0, 10.0), (0.0, 10.0), (10.0, 10.0),
        (10.0, -10.0), (0.0, -10.0), (-10.0, -10.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("plate", "offset", "inside"),
    [
        pytest.param("96-well", (0, 0), True, id="middle"),
        pytest.param("96-well", (2900, 0), True, id="near the wall of a round well"),
        pytest.param("96-well", (2200, 2200), False, id="corner of a round well"),
        pytest.param("384-well", (1500, 1500), True, id="corner of a square well"),
        pytest.param("384-well", (1600, 0), False, id="frame over the wall"),
    ],
)
def test_a_whole_frame_must_lie_in_the_well(plate: str, offset: tuple[float, float], inside: bool) -> None:
    assert on_stage(plate).holds(offset, (256.0, 256.0)) is inside


@given(st.integers(0, 2**31), st.integers(0, 7), st.integers(0, 11), st.integers(1, 12))
def test_random_fields_lie_inside_do_not_overlap_and_come_back(seed: int, row: int, column: int, count: int) -> None:
    plate, frame = on_stage("96-well"), (665.6, 665.6)
    points = random_offsets(count, plate, frame, (seed, row, column))
    assert points == random_offsets(count, plate, frame, (seed, row, column))
    assert len(points) == count
    assert all(plate.holds(point, frame) for point in points)
    for one, other in itertools.combinations(points, 2):
        assert max(abs(one[0] - other[0]), abs(one[1] - other[1])) >= 665.6


def test_random_fields_differ_between_wells_and_seeds() -> None:
    plate = on_stage("96-well")
    found = {tuple(random_offsets(4, plate, (256.0, 256.0), key)) for key in itertools.product((1, 2), (0, 1), (0, 1))}
    assert len(found) == 8


def test_more_random_fields_than_fit_are_not_forced() -> None:
    plate = on_stage("1536-well")
    assert len(random_offsets(9, plate, (800.0, 800.0), (1, 0, 0))) < 9
    assert random_offsets(1, plate, (1800.0, 1800.0), (1, 0, 0)) == []


@given(st.integers(1, 40), st.integers(0, 2**31), st.integers(0, 31), st.integers(0, 47))
def test_choice_is_a_permutation_keyed_by_the_well(fields: int, seed: int, row: int, column: int) -> None:
    order = choice_order(fields, (seed, row, column))
    assert sorted(order) == list(range(fields))
    assert order == choice_order(fields, (seed, row, column))


def test_choice_differs_between_wells_and_begins_everywhere() -> None:
    orders = [choice_order(9, (1, row, column)) for row in range(8) for column in range(12)]
    assert len(set(orders)) > 90
    firsts = [order[0] for order in orders]
    spread = math.sqrt(96 * (1 / 9) * (8 / 9))
    assert all(abs(firsts.count(place) - 96 / 9) < 4 * spread for place in range(9))
