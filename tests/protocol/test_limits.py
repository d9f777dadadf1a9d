"""`limits`, `autonomy` and automatic exposures: what the core is told, and what stops before any device is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import Autonomy, Limits
from phenoloop.plugins import Registry
from phenoloop.protocol import load
from phenoloop.protocol.forecasting import forecast
from phenoloop.protocol.loaded import Loaded
from tests.whole.plates import write_protocol


def loaded(folder: Path, *, limits: str = "{frames: 48}", more: str = "", exposure: str = "80 ms") -> Loaded:
    path = write_protocol(folder)
    text = path.read_text(encoding="utf-8").replace("limits: {frames: 48}", f"limits: {limits}")
    path.write_text(text.replace("exposure: 80 ms", f"exposure: {exposure}") + more, encoding="utf-8")
    return load(path, Registry(discover=False))


def test_every_limit_reaches_the_core(tmp_path: Path) -> None:
    text = (
        "{frames: 100, duration: 2 h, disk: 1 GB, light_per_field: 2 s, light_per_object: 3 s, revisits_per_field: 4, "
        "revisit_interval: 5 min, objective_changes_per_hour: 6, share_per_well: 20 %, controls_every: 40 visits}"
    )
    assert loaded(tmp_path, limits=text).plan.limits == Limits(
        frames=100,
        duration_s=7200.0,
        disk_bytes=1_000_000_000,
        light_per_field_s=2.0,
        light_per_object_s=3.0,
        revisits_per_field=4,
        revisit_interval_s=300.0,
        objective_changes_per_hour=6,
        share_per_well=0.2,
        controls_every_visits=40,
    )
    every = loaded(tmp_path, limits="{controls_every: 30 min}").plan
    assert (every.limits.controls_every_s, every.limits.controls_every_visits) == (1800.0, None)
    assert every.controls == ("A1", "A3", "B2", "B4", "C1", "C4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", Autonomy(), id="nothing said"),
        pytest.param("autonomy: shadow", Autonomy(level="shadow"), id="shadow"),
        pytest.param("autonomy: confirm", Autonomy(level="confirm"), id="confirm waits"),
        pytest.param("autonomy: veto", Autonomy(level="veto", within_s=30.0, otherwise="go"), id="veto has 30 s"),
        pytest.param(
            "autonomy: {level: confirm, for: [objective], within: 5 min, otherwise: skip}",
            Autonomy(level="confirm", acts=("objective",), within_s=300.0, otherwise="skip"),
            id="in full",
        ),
        pytest.param(
            "autonomy: {level: veto, for: revisit, within: 10 s}",
            Autonomy(level="veto", acts=("revisit",), within_s=10.0, otherwise="go"),
            id="one act",
        ),
    ],
)
def test_autonomy(tmp_path: Path, text: str, expected: Autonomy) -> None:
    assert loaded(tmp_path, more=text + "\n").plan.autonomy == expected


def test_an_automatic_exposure_is_planned_as_the_longest(tmp_path: Path) -> None:
    found = loaded(tmp_path, exposure="{auto: 60 %, max: 200 ms}")
    channel = found.plan.profiles["main"].channels[1]
    assert (channel.auto, channel.exposure_ms, found.plan.to_meter) == (0.6, 200.0, True)
    assert forecast(found, Registry(discover=False)).light_s == pytest.approx(0.22)
    set_ = found.plan.with_exposures({"main": {"GFP": 33.0}})
    assert (set_.profiles["main"].channels[1].exposure_ms, set_.to_meter) == (33.0, False)


BROKEN = [
    pytest.param({"limits": "{framez: 4}"}, "framez", id="misspelt"),
    pytest.param({"limits": "{revisit_interval: 5}"}, "has no unit", id="no unit"),
    pytest.param({"limits": "{controls_every: often}"}, "write a duration like 30 min, or 40 visits", id="how often"),
    pytest.param({"limits": "{controls_every: 0 visits}"}, "at least 1 visit", id="no visits"),
    pytest.param({"limits": "{controls_every: 10 visits}"}, "use at least 14 visits", id="more often than can be kept"),
    pytest.param({"limits": "{share_per_well: 5 %}"}, "Give limits.frames too", id="share of nothing"),
    pytest.param({"limits": "{frames: 20, share_per_well: 5 %}"}, "nothing could be imaged", id="share below a field"),
    pytest.param(
        {"limits": "{light_per_object: 50 ms}"}, "one visit gives a field 0.1 s of light", id="light of a field"
    ),
    pytest.param({"more": "autonomy: ask\n"}, "shadow", id="no such level"),
    pytest.param({"more": "autonomy: {level: confirm, within: 5 min}\n"}, "belong together", id="no default"),
    pytest.param({"more": "autonomy: {level: confirm, otherwise: go}\n"}, "belong together", id="no time-out"),
    pytest.param({"more": "autonomy: {level: shadow, within: 5 s}\n"}, "nobody is asked", id="shadow asks nobody"),
    pytest.param({"more": "autonomy: {level: veto, otherwise: skip}\n"}, "write level: confirm", id="veto goes on"),
    pytest.param({"more": "autonomy: {level: confirm, for: [stage]}\n"}, "objective", id="no such act"),
    pytest.param({"exposure": "{auto: 60 %}"}, "max", id="no longest exposure"),
    pytest.param({"exposure": "{auto: 60, max: 20 ms}"}, "has no unit", id="share without a unit"),
    pytest.param({"exposure": "{auto: 60 %, max: 1 ms}"}, "at least 4 ms", id="too short to be metered"),
    pytest.param({"exposure": "{auto: 99 %, max: 20 ms}"}, "at most 90 %", id="no room for brighter wells"),
]


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(ProtocolError) as error:
        loaded(tmp_path, **changes)
    assert said in str(error.value)
    assert "protocol.yaml:" in str(error.value)


def test_controls_need_a_question_that_names_them(tmp_path: Path) -> None:
    path = write_protocol(tmp_path, policy="{kind: sweep}")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("question:")]
    text = "\n".join(lines).replace("limits: {frames: 48}", "limits: {controls_every: 30 min}")
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match="names no controls"):
        load(path, Registry(discover=False))
