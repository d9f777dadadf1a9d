"""``imaging: every, for``, ``acquire_every`` and the fast profile: what they resolve to, and how a slip is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text
from phenoloop.protocol.forecasting import forecast
from phenoloop.protocol.loaded import Loaded

TEXT = """protocol: 1
name: lapse
microscope: demo
simulation: {kind: synthetic}
plate: {format: 96-well, wells: [A1:B3], fields: {kind: grid, rows: 1, columns: 2, spacing: 600 um}}
imaging:
  objective: 20x
  every: 5 min
  for: 24 h
  channels:
    - {name: DNA, config: DAPI, exposure: 20 ms}
    - {name: GFP, config: FITC, exposure: 80 ms, acquire_every: 3}
profiles:
  fast: {every: 30 s, channels: [DNA]}
analysis:
  segment: {kind: threshold, channel: DNA}
  readouts: {dividing: max(DNA.mean), cells: count()}
policy: {kind: sweep}
"""


def load(tmp_path: Path, *changes: tuple[str, str]) -> Loaded:
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return load_text(text, Registry(discover=False), base=tmp_path)


def test_what_it_resolves_to(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    main, fast = loaded.plan.profiles["main"], loaded.plan.profiles["fast"]
    assert (main.every_s, main.for_s, main.time_points) == (300.0, 86_400.0, 289)
    assert (fast.every_s, fast.for_s) == (30.0, None)
    assert [channel.acquire_every for channel in main.channels] == [1, 3]
    assert main.frames_in_all == 289 + 97
    assert loaded.analysis.sometimes == ("GFP",)
    assert loaded.setup.profiles["main"].every_s == 300.0
    assert loaded.setup.readouts == ("dividing", "cells")


def test_the_duration_of_the_run_is_the_end_where_none_is_given(tmp_path: Path) -> None:
    loaded = load(tmp_path, ("  for: 24 h\n", ""), ("policy:", "limits: {duration: 2 h}\npolicy:"))
    assert loaded.plan.profiles["main"].time_points == 25


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param([], "one round of all fields takes", id="in time"),
        pytest.param([], "289 time points of each field, every 5 min", id="time points"),
        pytest.param([], "at most 4632 frames in 24 h 00 min", id="frames and time"),
        pytest.param([("every: 5 min", "every: 2 s")], "longer than the interval: looks will be late", id="too slow"),
        pytest.param(
            [("policy:", "limits: {light_per_field: 2 s}\npolicy:")],
            "limits.light_per_field holds about 20 of the 289 time points",
            id="light",
        ),
        pytest.param(
            [("policy:", "limits: {frames: 100}\npolicy:")], "holds 100 of the 4632 frames", id="too few frames"
        ),
    ],
)
def test_the_forecast_speaks_of_the_whole_time_lapse(tmp_path: Path, changes: list[tuple[str, str]], said: str) -> None:
    lines = forecast(load(tmp_path, *changes), Registry(discover=False)).lines()
    assert any(said in line for line in lines), lines


EVENTS = "policy: {kind: events, fast: {profile: fast, when: dividing > 900, until: dividing < 700, hold: 10 min}}"


def test_the_policy_events_is_understood(tmp_path: Path) -> None:
    loaded = load(tmp_path, ("policy: {kind: sweep}", EVENTS))
    fast = loaded.policy_parameters["fast"]
    assert (fast["hold"], fast["at_once"], fast["max_share"]) == (600.0, 4, 0.1)


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        pytest.param([("  every: 5 min\n", "")], "imaging.for", "needs its interval", id="a length without interval"),
        pytest.param([("  for: 24 h\n", "")], "imaging.every", "how long the time-lapse goes on", id="no end"),
        pytest.param([("for: 24 h", "for: 4 min")], "imaging.every", "before its second time point", id="one point"),
        pytest.param([("every: 5 min", "every: 5")], "imaging.every", "no unit", id="no unit"),
        pytest.param([("  every: 5 min", "  evry: 5 min")], "imaging.evry", "did you mean 'every'", id="misspelt"),
        pytest.param(
            [("  every: 5 min\n  for: 24 h\n", "")], "acquire_every", "no `every:` in imaging", id="a beat of nothing"
        ),
        pytest.param(
            [("exposure: 20 ms}", "exposure: 20 ms, acquire_every: 2}")],
            "analysis.segment.channel",
            "objects are found in DNA",
            id="objects need their channel",
        ),
        pytest.param(
            [("exposure: 20 ms}", "exposure: 20 ms, acquire_every: 2}")],
            "imaging.channels",
            "one must have acquire_every: 1",
            id="a time point without any channel",
        ),
        pytest.param(
            [("{kind: sweep}", "{kind: precise, readout: dividing, relative: 10 %}")],
            "policy.kind",
            "does not go by imaging.every",
            id="a policy for one look",
        ),
        pytest.param(
            [("policy: {kind: sweep}", EVENTS.replace("hold", "hodl"))],
            "policy.fast.hodl",
            "'hold'",
            id="misspelt",
        ),
        pytest.param(
            [("policy: {kind: sweep}", EVENTS.replace("when: dividing", "when: divding"))],
            "policy.fast.when",
            "did you mean 'dividing'",
            id="misspelt readout",
        ),
        pytest.param(
            [("policy: {kind: sweep}", EVENTS), ("every: 30 s", "every: 5 min")],
            "policy.fast",
            "no faster than the slow interval of 5 min",
            id="not faster",
        ),
        pytest.param(
            [("policy: {kind: sweep}", EVENTS), ("  every: 5 min\n  for: 24 h\n", ""), (", acquire_every: 3", "")],
            "policy.kind",
            "events is a time-lapse",
            id="events without a time-lapse",
        ),
    ],
)
def test_a_slip_is_told_at_its_place(tmp_path: Path, changes: list[tuple[str, str]], where: str, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        load(tmp_path, *changes)
    told = [(problem.where, problem.message, problem.line) for problem in caught.value.problems]
    assert any(where in at and said in message and line for at, message, line in told), told
