"""`compare` from a protocol or a run to its table and figure; `report --story` from a run folder."""

from __future__ import annotations

import json
import re
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
    assert kinds[-1] == ("all fields of every well (4)", "habit")
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


FILM = """protocol: 1
name: film
microscope: demo
simulation:
  kind: synthetic
  width: 224
  height: 224
  cells_per_field: 15
  events: {per_cell_and_hour: 0.3, lasts: 3 min, precursor: 6 min, brighter: 3}
plate: {format: 96-well, wells: [B2:B3]}
imaging:
  objective: 20x
  every: 3 min
  for: 30 min
  channels:
    - {name: H2B, config: DAPI, exposure: 20 ms}
    - {name: GFP, config: FITC, exposure: 80 ms, acquire_every: 3}
profiles:
  fast: {every: 20 s, channels: [H2B]}
analysis:
  segment: {kind: threshold, channel: H2B, name: nuclei}
  readouts: {dividing: max(H2B.mean) / median(H2B.mean)}
question: {kind: events, readout: dividing, above: 1.6, below: 1.5}
policy:
  kind: events
  fast: {profile: fast, when: dividing > 1.6, until: dividing < 1.5, hold: 1 min, at_once: 2, max_share: 50 %}
fallback: {kind: sweep}
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.yaml"
    path.write_text(FILM, encoding="utf-8")
    return path


def test_a_time_lapse_is_held_against_fixed_rates(film: Path, tmp_path: Path) -> None:
    result = api.compare(film, policies=[str(film), "sweep"], seeds=2, whole=True, out=tmp_path).result
    events, sweep, *_, habit = result["rows"]
    assert habit["name"] == "every field every 3 min, the slow rate"
    assert result["grids"][-1]["name"] == "20 s"
    assert result["grids"][-1]["score"]["mean"] == 1.0
    assert events["score"]["mean"] > habit["score"]["mean"] == sweep["score"]["mean"] == 0.0
    assert events["cost"]["light_s"]["mean"] < result["grids"][-1]["cost"]["light_s"]["mean"]
    # A fixed rate by the clock alone is the sweep that was really run.
    for axis in ("frames", "minutes", "light_s"):
        assert habit["cost"][axis]["mean"] == pytest.approx(sweep["cost"][axis]["mean"], rel=1e-3), axis
    assert (tmp_path / "compare.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("old", "new", "whole", "words"),
    [
        pytest.param("", "", False, "Use --whole", id="not as numbers"),
        pytest.param(
            "  events: {per_cell_and_hour: 0.3, lasts: 3 min, precursor: 6 min, brighter: 3}\n",
            "",
            True,
            r"nothing happens on this virtual plate, .*events: {per_cell",
            id="without events",
        ),
        pytest.param(
            "{kind: events, readout: dividing, above: 1.6, below: 1.5}",
            "{kind: mean, readout: dividing}",
            True,
            r"how much of the events is covered: ask for them",
            id="another question",
        ),
    ],
)
def test_a_time_lapse_that_cannot_be_compared_is_refused(
    old: str, new: str, whole: bool, words: str, film: Path, tmp_path: Path
) -> None:
    path = film.with_name("other.yaml")
    path.write_text(FILM.replace(old, new) if old else FILM, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        api.compare(path, whole=whole, out=tmp_path / "never")
    assert not (tmp_path / "never").exists()


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


class Interrupted:
    """Presses Ctrl-C when a plate begins."""

    def __init__(self, plate: int) -> None:
        self._plate = plate

    def __call__(self, what: str, done: int, total: int) -> None:
        if what.startswith(f"plate {self._plate} of"):
            raise KeyboardInterrupt


def test_an_interrupted_study_keeps_the_plates_that_are_complete(protocol: Path, tmp_path: Path) -> None:
    result = api.compare(protocol, policies=["hits", "sweep"], seeds=5, out=tmp_path, on_step=Interrupted(3)).result
    assert result["interrupted"]
    assert result["seeds"] == 2
    assert "2 of 5 plates, then interrupted" in result["title"]
    assert {len(runs) for runs in result["runs"].values()} == {2}
    assert result == json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    whole = api.compare(protocol, policies=["hits", "sweep"], seeds=2, out=tmp_path).result
    assert not whole["interrupted"]
    assert result["runs"] == whole["runs"]
    assert result["rows"] == whole["rows"]


def test_a_study_that_is_interrupted_at_once_leaves_nothing(protocol: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        api.compare(protocol, seeds=5, out=tmp_path / "never", on_step=Interrupted(1))
    assert not (tmp_path / "never").exists()


def test_an_answer_that_nobody_can_judge_is_refused_at_once(protocol: Path, tmp_path: Path) -> None:
    told: list[str] = []
    asked = "question: {kind: novelty, controls: treatment == 'vehicle'}"
    text = re.sub("question: .*", asked, protocol.read_text(encoding="utf-8")).replace("kind: hits,", "kind: sweep,")
    path = protocol.with_name("novel.yaml")
    path.write_text(text.replace("  readouts: {", "  profile: {}\n  readouts: {"), encoding="utf-8")
    for whole in (False, True):
        with pytest.raises(UsageError, match=r"'novelty' cannot be held against .* Look at its runs one by one"):
            api.compare(path, whole=whole, out=tmp_path / "never", on_step=lambda what, n, of: told.append(f"{n}"))
    assert set(told) == {"0"}
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
