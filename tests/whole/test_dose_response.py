"""The shipped dose-response protocol through the whole stack: truth found, its story in the report, replayed alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.protocol import shared_folder

pytestmark = [pytest.mark.mm, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.RunResult:
    result = api.run(shared_folder("protocols") / "dose_response.yaml", out=tmp_path_factory.mktemp("dose") / "run")
    assert result.exit_code == 0
    return result


def test_the_ec50s_are_those_of_the_specimen(run: api.RunResult) -> None:
    compounds = run.report["summary"]["compounds"]
    for name, truth in (("agonist", 0.5), ("analogue", 5.0)):
        said = compounds[name]
        assert said["finding"] == "estimated"
        assert said["ec50"]["low"] < truth < said["ec50"]["high"]
        assert said["log10_ec50"]["sd"] < 0.13
    assert compounds["inert"]["finding"] == "no effect"
    assert compounds["inert"]["ec50"] == {"mean": None, "low": None, "high": None}


def test_the_inert_compound_does_not_eat_the_budget(run: api.RunResult) -> None:
    fields = {name: said["fields"] for name, said in run.report["summary"]["compounds"].items()}
    assert fields["inert"] < fields["analogue"]
    assert run.report["frames"] < 0.5 * run.report["possible_frames"]


def test_the_report_says_and_draws_it(run: api.RunResult) -> None:
    page = Path(run.folder.report_html).read_text(encoding="utf-8")
    for text in ("Dose and response", "At which dose does vesicles reach half", "narrows the EC50 most", "no effect"):
        assert text in page
    assert page.count('class="reach"') == 3
    assert page.count('class="ec50"') == 2
    assert run.report["summary"]["valid_when_peeking"] is False
    assert run.report["summary"]["plate_effects"].keys() == {"edge", "drift_per_hour"}


def test_replay_decides_alike(run: api.RunResult) -> None:
    assert api.replay(run.folder.path).equal
