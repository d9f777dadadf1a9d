"""`compare` from a protocol or a run to its table and figure; `report --story` from a run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from phenoloop import api
from phenoloop.api import worlds
from phenoloop.cli.app import app
from phenoloop.errors import ProtocolError, UsageError
from tests.whole.plates import SWEEP, write_protocol

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """What was measured is kept in a folder of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHENOLOOP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(worlds, "SAMPLE_FIELDS", 36)
        yield


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_protocol(tmp_path_factory.mktemp("compare"), frames=64)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swept")
    return api.run(write_protocol(folder, policy=SWEEP, frames=96), out=folder / "run").folder.path


def test_policies_on_drawn_plates(protocol: Path, tmp_path: Path) -> None:
    found = api.compare(protocol, policies=["hits", "sweep:{passes: wells}"], seeds=3, out=tmp_path)
    result = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    assert result == json.loads(json.dumps(found.result))
    kinds = [(row["name"], row["kind"]) for row in result["rows"]]
    assert kinds[:2] == [("hits", "policy"), ("sweep:{passes: wells}", "policy")]
    assert kinds[-1] == ("all fields of every well", "habit")
    assert [one["fields_per_well"] for one in result["grids"]] == [1, 2, 3, 4]
    assert [one["cost"]["frames"]["mean"] for one in result["grids"]] == [24, 48, 72, 96]
    minutes = [one["cost"]["minutes"]["mean"] for one in result["grids"]]
    assert minutes == sorted(minutes)
    assert all(0 <= run["score"] <= 1 and run["frames"] <= 64 for runs in result["runs"].values() for run in runs)
    assert result["rows"][-1]["score"]["mean"] > 0.8
    for name in ("compare.png", "compare.svg"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_equal_studies_are_equal(protocol: Path, tmp_path: Path) -> None:
    one, other = (api.compare(protocol, seeds=2, out=tmp_path / name) for name in ("a", "b"))
    assert one.result == other.result
    assert (tmp_path / "a" / "compare.svg").read_bytes() == (tmp_path / "b" / "compare.svg").read_bytes()


@pytest.mark.parametrize(
    "inside",
    [pytest.param("", id="run folder"), pytest.param("images/main.ome.zarr", id="plate inside it")],
)
def test_what_if_on_a_recorded_run(swept: Path, inside: str, tmp_path: Path) -> None:
    result = api.compare(swept / inside, policies=["hits"], seeds=2, out=tmp_path).result
    assert result["quality"]["against"] == "the answer from all recorded fields"
    habit = result["rows"][-1]
    assert habit["score"]["mean"] == 1.0  # all fields agree with all fields
    assert habit["cost"]["frames"]["mean"] == 96
    frames = {run["frames"] for run in result["runs"]["hits"]}
    assert max(frames) <= 96


def test_the_whole_stack(protocol: Path, tmp_path: Path) -> None:
    """The study of numbers says of its own run what the run says."""
    result = api.compare(protocol, policies=["hits"], seeds=1, whole=True, out=tmp_path).result
    assert "real core" in result["world"]
    (run,) = result["runs"]["hits"]
    assert run["exit"] in ("completed", "budget")
    assert [one["fields_per_well"] for one in result["grids"]] == [1, 2, 3, 4]
    assert result["grids"][-1]["cost"]["frames"]["mean"] == 96


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        pytest.param("hit", "did you mean 'hits'", id="unknown kind"),
        pytest.param("hits:{exploer: 20 %}", "did you mean 'explore'", id="unknown parameter"),
        pytest.param("novelty", "profile", id="needs what is not measured"),
        pytest.param("absent.yaml", "cannot be read", id="no such file"),
    ],
)
def test_a_policy_that_cannot_play_is_refused_at_once(policy: str, words: str, protocol: Path, tmp_path: Path) -> None:
    with pytest.raises((ProtocolError, UsageError), match=words):
        api.compare(protocol, policies=[policy], seeds=1, out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_policy_from_a_file(protocol: Path, tmp_path: Path) -> None:
    block = tmp_path / "mine.yaml"
    block.write_text("kind: sweep\nfields_per_visit: 4\npasses: wells\n", encoding="utf-8")
    result = api.compare(protocol, policies=[str(block), str(protocol)], seeds=1, out=tmp_path / "out").result
    assert list(result["runs"]) == ["mine", "protocol"]


def test_a_protocol_without_a_question_is_refused(protocol: Path, tmp_path: Path) -> None:
    text = protocol.read_text(encoding="utf-8").replace("policy: {kind: hits", "policy: {kind: sweep")
    lines = text.splitlines()
    mute = protocol.with_name("mute.yaml")
    mute.write_text("\n".join(line for line in lines if not line.startswith("question")), encoding="utf-8")
    with pytest.raises(UsageError, match="asks no question"):
        api.compare(mute, policies=["sweep"], seeds=1, out=tmp_path)


def test_the_verbs(swept: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["compare", str(swept), "--policy", "hits", "--seeds", "2", "--out", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "all fields of every well" in told.stdout
    assert str(tmp_path / "compare.png") in told.stdout
    story = CliRunner().invoke(app, ["report", str(swept), "--story", "a2"])
    assert story.exit_code == 0, story.output
    assert story.stdout.startswith("A2: treatment agonist, dose 10")
    assert "known when told:" in story.stdout
    as_json = CliRunner().invoke(app, ["report", str(swept), "--story", "A2", "--json"])
    assert json.loads(as_json.stdout)["well"] == "A2"
    wrong = CliRunner().invoke(app, ["report", str(swept), "--story", "E9"])
    assert wrong.exit_code == 2
    assert "has no well 'E9'" in wrong.stderr
