"""The shipped novelty protocol through the whole stack: phenotypes found, looked at closely, told, replayed alike."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.errors import ProtocolError
from phenoloop.model import Acquire, Decided, Measured, VisitEnded
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text, shared_folder
from phenoloop.storage.journal import read
from phenoloop.watch.report_phenotypes import SIDE, draw_phenotypes

pytestmark = [pytest.mark.mm, pytest.mark.slow]

FOLDER = shared_folder("protocols")


def truth() -> dict[str, tuple[str, ...]]:
    """What each well's compound does, from the columns that only the specimen reads."""
    with (FOLDER / "maps" / "phenotypes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["well"]: tuple(name for name in row if name not in ("well", "compound") and float(row[name]) > 0)
        for row in rows
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.RunResult:
    """Another seed than the one that ships."""
    text = (FOLDER / "novelty.yaml").read_text(encoding="utf-8")
    assert "seed: 2\n" in text
    folder = tmp_path_factory.mktemp("novelty")
    (folder / "maps").mkdir()
    shutil.copy(FOLDER / "maps" / "phenotypes.csv", folder / "maps")
    (folder / "novelty.yaml").write_text(text.replace("seed: 2\n", "seed: 11\n", 1), encoding="utf-8")
    result = api.run(folder / "novelty.yaml", out=folder / "run")
    assert result.exit_code == 0
    return result


def test_most_phenotypes_were_looked_at_closely_and_few_other_wells(run: api.RunResult) -> None:
    messages = read(run.folder.path / "journal.jsonl").messages
    close = {m.visit.well for m in messages if isinstance(m, Acquire) and m.visit.profile == "closeup"}
    kinds = truth()
    seen = {kinds[well] for well in close} - {()}
    assert len(seen) >= 4
    assert len(close) <= len(seen) + 5  # one control, some by chance, some twice


def test_each_close_look_is_at_a_field_that_the_overview_showed(run: api.RunResult) -> None:
    messages = read(run.folder.path / "journal.jsonl").messages
    visits = [m.visit for m in messages if isinstance(m, Acquire)]
    overview = {(v.well, place.field) for v in visits if v.profile == "main" for place in v.fields}
    close = {(v.well, place.field) for v in visits if v.profile == "closeup" for place in v.fields}
    assert close
    assert close <= overview
    ended = {m.visit: len(m.frames) for m in messages if isinstance(m, VisitEnded)}
    assert {ended[v.number] for v in visits if v.profile == "closeup"} == {10}


def test_calls_are_true_and_groups_hold_one_phenotype_each(run: api.RunResult) -> None:
    kinds = truth()
    called = [well["well"] for well in run.report["wells"] if well["call"] == "hit"]
    assert len(called) >= 3
    assert all(kinds[well] for well in called)
    for group in run.report["summary"]["groups"]:
        assert len({kinds[well] for well in group["wells"]}) == 1
        assert group["said"].count(" SD") == len(group["apart"]) > 0
    covered = run.report["summary"]["covered"]
    assert covered["share"] > 0.9


def test_the_report_says_and_draws_it(run: api.RunResult) -> None:
    page = Path(run.folder.report_html).read_text(encoding="utf-8")
    groups = run.report["summary"]["groups"]
    for text in ("Which wells look unlike the controls", "<h2>Phenotypes</h2>", "confirm what is odd", "SD"):
        assert text in page
    assert page.count('<circle class="called"') == sum(len(group["wells"]) for group in groups) + 1  # and the legend
    for group in groups:
        assert f"<h3>{group['representatives'][0]} <span>phenotype {group['group']}</span></h3>" in page
    drawn = draw_phenotypes(run.report)
    assert drawn is not None
    assert len(drawn["marks"]) == 48
    assert max(mark["x"] for mark in drawn["marks"]) <= SIDE
    assert draw_phenotypes(run.report | {"question": {"kind": "hits"}}) is None


def test_replay_and_resume_decide_alike(run: api.RunResult, tmp_path: Path) -> None:
    assert api.replay(run.folder.path).equal
    cut = tmp_path / "cut"
    shutil.copytree(run.folder.path, cut)
    lines = (cut / "journal.jsonl").read_bytes().splitlines(keepends=True)
    last = max(k for k, line in enumerate(lines) if b'"type":"Measured"' in line and k < 0.8 * len(lines))
    (cut / "journal.jsonl").write_bytes(b"".join(lines[: last + 1]))
    api.resume(cut)
    assert api.replay(cut).equal

    def measured(path: Path) -> set[tuple[str, ...]]:
        messages = read(path / "journal.jsonl").messages
        assert any(isinstance(m, Decided) for m in messages)
        return {(str(m.visit), m.field) for m in messages if isinstance(m, Measured)}

    assert len(measured(cut)) > 60


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("  profile: {", "  features: {", "features", id="no-profile-misspelt"),
        pytest.param("follow_up: closeup", "follow_up: closup", "did you mean 'closeup'", id="follow-up"),
        pytest.param("compound == 'vehicle'", "compound == 'vehicel'", "nothing to compare with", id="no-controls"),
    ],
)
def test_a_slip_stops_before_the_lamp_is_on(before: str, after: str, said: str) -> None:
    text = (FOLDER / "novelty.yaml").read_text(encoding="utf-8")
    assert before in text
    with pytest.raises(ProtocolError, match=said):
        load_text(text.replace(before, after), Registry(discover=False), base=FOLDER)


def test_without_profiles_it_is_refused() -> None:
    text = (FOLDER / "novelty.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("  profile: ")]
    with pytest.raises(ProtocolError, match="measures none"):
        load_text("\n".join(lines) + "\n", Registry(discover=False), base=FOLDER)
