"""Units: what each kind of quantity understands, and what it says when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from phenoloop.protocol import quantities as q
from phenoloop.protocol.base import PolicyParams

IN_FILE = {q.STRICT: True}


def read(kind: Any, value: object, *, in_file: bool = True) -> Any:
    return TypeAdapter(kind).validate_python(value, context=IN_FILE if in_file else None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        pytest.param(q.Duration, "200 ms", 0.2, id="milliseconds"),
        pytest.param(q.Duration, "2h", 7200.0, id="hours, no space"),
        pytest.param(q.Duration, "1.5 d", 129600.0, id="days"),
        pytest.param(q.Duration, ".5 min", 30.0, id="no leading zero"),
        pytest.param(q.Exposure, "20 ms", 20.0, id="exposure"),
        pytest.param(q.Exposure, "2 s", 2000.0, id="exposure in seconds"),
        pytest.param(q.Exposure, 20, 20, id="bare exposure is ms"),
        pytest.param(q.Exposure, "20", 20.0, id="bare exposure in quotes"),
        pytest.param(q.Length, "500 nm", 0.5, id="nanometres"),
        pytest.param(q.Length, "-1.5 mm", -1500.0, id="negative length"),
        pytest.param(q.Length, "5 \u00b5m", 5.0, id="micro sign"),
        pytest.param(q.Length, "5 \u03bcm", 5.0, id="Greek mu"),
        pytest.param(q.Percent, "15 %", 0.15, id="percent is exact"),
        pytest.param(q.Percent, "0.1%", 0.001, id="permille"),
        pytest.param(q.Bytes, "20 GB", 20_000_000_000, id="bytes"),
        pytest.param(q.Bytes, "2 GiB", 2 * 2**30, id="binary bytes"),
        pytest.param(q.Bytes, "1.5 KB", 1500, id="half a kilobyte"),
        pytest.param(q.Speed, "20 mm/s", 20_000.0, id="speed"),
        pytest.param(q.Acceleration, "100 mm/s2", 100_000.0, id="acceleration"),
        pytest.param(q.Angle, "1.5 deg", 1.5, id="degrees"),
        pytest.param(q.Angle, "-1.5°", -1.5, id="degree sign"),
        pytest.param(q.Pixels, "4 px", 4.0, id="pixels"),
    ],
)
def test_reads(kind: Any, text: object, value: float) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        pytest.param(q.Duration, 30, "30 has no unit; write a duration like '30 s'", id="bare number"),
        pytest.param(q.Duration, "30", "has no unit", id="bare number in quotes"),
        pytest.param(q.Duration, "30 um", "unknown unit 'um' for a duration; use us, ms, s, min, h or d", id="length"),
        pytest.param(q.Duration, "-3 s", "greater than or equal to 0", id="negative duration"),
        pytest.param(q.Duration, "soon", "'soon' is not a duration", id="a word"),
        pytest.param(q.Duration, "1e999 s", "finite", id="infinite"),
        pytest.param(q.Exposure, "0 ms", "greater than 0", id="no exposure"),
        pytest.param(q.Exposure, True, "True is not an exposure", id="truth value"),
        pytest.param(q.Length, "20 px", "use nm, um, mm or cm", id="pixels for a length"),
        pytest.param(q.Length, [1], "is not a length", id="list"),
        pytest.param(q.Percent, 0.15, "write '15 %', or '0.15 %'", id="share instead of percent"),
        pytest.param(q.Percent, 5, "5 has no unit; write '5 %'", id="percent without its sign"),
        pytest.param(q.Pixels, "4", "write '4 px'", id="the only unit there is"),
        pytest.param(q.Percent, "150 %", "less than or equal to 1", id="more than all"),
        pytest.param(q.Bytes, "20 Gb", "unknown unit 'Gb'", id="bits"),
        pytest.param(q.Speed, "20 mm", "use um/s or mm/s", id="length for a speed"),
        pytest.param(q.Length, "1 2 um", "is not a length", id="two numbers"),
    ],
)
def test_refuses(kind: Any, value: object, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    assert said in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(q.Percent, 0.1, id="share"),
        pytest.param(q.Duration, 30.0, id="seconds"),
        pytest.param(q.Length, 12.5, id="micrometres"),
        pytest.param(q.Bytes, 1000, id="bytes"),
    ],
)
def test_a_bare_number_from_python_is_in_base_units(kind: Any, value: float) -> None:
    assert read(kind, value, in_file=False) == value


@given(st.decimals(min_value=0, max_value=100, places=4))
def test_percent_is_the_nearest_float_to_what_was_written(value: object) -> None:
    assert read(q.Percent, f"{value} %") == float(f"{value}e-2")


@pytest.mark.parametrize(
    ("given_keys", "room"),
    [
        pytest.param({}, None, id="default"),
        pytest.param({"wells_per_batch": 3, "in_flight": 3}, 3, id="one batch"),
    ],
)
def test_policies_share_their_keys(given_keys: dict[str, int], room: int | None) -> None:
    assert PolicyParams(**given_keys).in_flight == room


def test_in_flight_holds_a_batch() -> None:
    with pytest.raises(ValidationError, match="use at least 8"):
        PolicyParams(in_flight=7)
