"""Profiles through the whole stack: measured, journalled, decided on, replayed, taken up again, written as a table."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from phenoloop import api
from phenoloop.cli.app import app
from phenoloop.errors import UsageError
from phenoloop.model import Acquire, Decided, Measured, VisitEnded
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text
from phenoloop.storage.journal import read
from phenoloop.testing.decisions import assert_policy, assert_question
from tests.whole.by_profile import Furthest, Seen
from tests.whole.plates import write_protocol

pytestmark = pytest.mark.mm

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
HERE = "tests.whole.by_profile"
QUESTION = "question: {kind: hits, readout: vesicles, controls: treatment == 'vehicle', change: up, smallest: 1.0}"


def make_run(folder: Path, *, profile: str = "{}", frames: int = 80) -> Path:
    """A run whose policy and question both go by profiles; 12 wells, six of them controls."""
    path = write_protocol(folder, policy=f"{{kind: '{HERE}:Furthest', wells_per_batch: 4}}", frames=frames, seed=5)
    text = path.read_text(encoding="utf-8")
    question = f"question: {{kind: '{HERE}:Seen', readout: vesicles, controls: treatment == 'vehicle'}}"
    assert QUESTION in text
    text = text.replace(QUESTION, question).replace("  workers:", f"  profile: {profile}\n  workers:")
    path.write_text(text, encoding="utf-8")
    return api.run(path, out=folder / "run").folder.path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("profiles"))


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same plate under a protocol that asks for features, and for no profile."""
    folder = tmp_path_factory.mktemp("tables")
    path = write_protocol(folder, policy="{kind: sweep, wells_per_batch: 4}", frames=48, seed=5)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  workers:", "  features: all\n  workers:"), encoding="utf-8")
    return api.run(path, out=folder / "run").folder.path


def measured(run: Path) -> dict[tuple[int, str], Measured]:
    found = [message for message in read(run / "journal.jsonl").messages if isinstance(message, Measured)]
    return {(message.visit, message.field): message for message in found}


def test_the_policy_and_the_question_keep_their_contracts() -> None:
    assert_policy(lambda setup: Furthest(Furthest.Params(), setup))
    assert_question(lambda setup: Seen(Seen.Params(readout="signal", controls="treatment == 'vehicle'"), setup))


def test_the_journal_holds_the_medians_of_the_tables(run: Path) -> None:
    names = json.loads((run / "resolved.json").read_text(encoding="utf-8"))["setup"]["profile_features"]
    wells = {m.visit.number: m.visit.well for m in read(run / "journal.jsonl").messages if isinstance(m, Acquire)}
    compared = 0
    for (visit, field), message in measured(run).items():
        assert len(message.profile) == len(names) > 200
        (part,) = (run / "objects" / "main").glob(f"part-{visit:06d}-{field}.parquet")
        table = pq.read_table(part)
        assert set(table["well"].to_pylist()) == {wells[visit]}
        for name, value in zip(names, message.profile, strict=True):
            column = table[name].to_numpy().astype(float)
            if np.isfinite(column).any():
                assert value == pytest.approx(np.nanmedian(column), rel=1e-8, abs=1e-300)
                compared += 1
            else:
                assert value is None
    assert compared > 5000


def test_decisions_by_profile_follow_the_phenotype_and_replay(run: Path) -> None:
    messages = read(run / "journal.jsonl").messages
    visits = [m.visit.well for m in messages if isinstance(m, Acquire)]
    assert sorted(visits[:12]) == sorted({m.visit.well for m in messages if isinstance(m, Acquire)})
    assert {"A2", "C3", "B1"} <= set(visits[12:20])  # the responders, first of those that are seen again
    result = api.replay(run)
    assert result.equal, result.message
    assert result.decisions == sum(isinstance(m, Decided) for m in messages) > 3


def test_a_question_gets_profiles(run: Path) -> None:
    summary = api.report(run).report["summary"]
    assert summary["fields"] == len(measured(run))
    assert summary["lengths"] == [len(next(iter(measured(run).values())).profile)]


def test_fields_measured_again_after_a_crash_have_the_same_profile(run: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(run, cut)
    lines = (cut / "journal.jsonl").read_bytes().splitlines(keepends=True)
    last = max(k for k, line in enumerate(lines) if b'"type":"VisitEnded"' in line)
    (cut / "journal.jsonl").write_bytes(b"".join(lines[: last + 1]))
    before = measured(cut)
    assert len(before) < len(measured(run))
    api.resume(cut)
    after = {key: message.profile for key, message in measured(cut).items()}
    assert after == {key: message.profile for key, message in measured(run).items()}
    assert api.replay(cut).equal


def test_a_journal_from_before_profiles_still_reads(without: Path, tmp_path: Path) -> None:
    """Its lines lack the key; what is decided from them is the same."""
    old = tmp_path / "old"
    old.mkdir()
    resolved = json.loads((without / "resolved.json").read_text(encoding="utf-8"))
    del resolved["setup"]["profile_features"], resolved["analysis"]["profile"]
    (old / "resolved.json").write_text(json.dumps(resolved), encoding="utf-8")
    (old / "protocol.yaml").write_bytes((without / "protocol.yaml").read_bytes())
    from phenoloop.model.codec import from_dict, to_dict

    for message in measured(without).values():
        plain = to_dict(message)
        assert plain.pop("profile") == []
        assert from_dict(plain) == message
    (old / "journal.jsonl").write_bytes((without / "journal.jsonl").read_bytes())
    assert api.replay(old).equal


@pytest.mark.parametrize("sphere", [False, True])
def test_the_table_of_wells(run: Path, tmp_path: Path, sphere: bool) -> None:
    out = tmp_path / "wells.parquet"
    result = api.profiles(run, out=out, sphere=sphere)
    assert result.files == (out,)
    table = pq.read_table(out)
    assert table["Metadata_Well"].to_pylist() == list(result.wells)
    assert len(result.wells) == 12
    assert sum(table["Metadata_Control"].to_pylist()) == 6
    assert table["Metadata_treatment"].to_pylist()[0] == "vehicle"
    ended = [m for m in read(run / "journal.jsonl").messages if isinstance(m, VisitEnded)]
    assert sum(table["Metadata_Fields"].to_pylist()) == len(ended)
    assert sum(table["Metadata_Objects"].to_pylist()) == sum(m.objects for m in measured(run).values())
    assert table.column_names[-len(result.features) :] == list(result.features)
    assert len(result.features) + len(result.dropped) == len(next(iter(measured(run).values())).profile)
    far = dict(zip(result.wells, result.distance, strict=True))
    responders, others = {"A2", "B1", "C3"}, set(result.wells) - {"A2", "B1", "C3"}
    assert min(far[well] for well in responders) > max(far[well] for well in others)
    assert (result.shrinkage is not None) == sphere
    assert result.by == ("treatment", "dose")
    # a control that had no part in the scale looks further away than one that had
    own = [distance for distance, control in zip(result.distance, result.controls, strict=True) if control]
    assert len(result.control_distance) == 6
    assert np.median(own) < np.median(result.control_distance)


def test_tables_of_objects_stand_in_for_the_journal(without: Path) -> None:
    result = api.profiles(without)
    assert {path.name for path in result.files} == {"profiles.parquet", "profiles.csv"}
    text = pyarrow.csv.read_csv(without / "profiles.csv")
    whole = pq.read_table(without / "profiles.parquet")
    assert text.column_names == whole.column_names
    np.testing.assert_allclose(text["area"].to_numpy(), whole["area"].to_numpy(), rtol=1e-12)
    assert not {"x", "y", "label", "confidence"} & {*result.features, *result.dropped}


def test_a_field_without_its_table_is_left_out_and_said(without: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(without, copied)
    next((copied / "objects" / "main").glob("part-000001-*.parquet")).unlink()
    result = api.profiles(copied)
    assert any(note.startswith("1 of 24 fields have no table") for note in result.notes)
    shutil.rmtree(copied / "objects")
    with pytest.raises(UsageError, match=r"Add `profile: \{\}` to analysis"):
        api.profiles(copied)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--out", "wells.xlsx"], "must end in .parquet or .csv", id="kind-of-file"),
        pytest.param(["--controls", "treatmnt == 'vehicle'"], "treatmnt", id="misspelt-column"),
        pytest.param(["--controls", "dose == 3"], "only 1 of the 12 wells", id="one-control"),
        pytest.param(["--by", "compound"], "it has treatment, dose", id="by"),
    ],
)
def test_a_slip_is_told(run: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["profiles", str(run), *options])
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_screen(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["profiles", str(run), "--by", "dose", "--sphere", "--out", str(tmp_path / "w.csv")]
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("12 wells (6 controls), ")
    assert re.match(r"features: \d+ of \d+ kept; dropped: ", lines[1])
    assert "sphered on the controls" in lines[2]
    assert lines[3].startswith("replicates (alike in dose): mean average precision ")
    assert re.match(r"  a control by the others: \d", lines[6])
    assert any(re.match(r"  (A2|B1|C3) ", line) for line in lines[7:10])
    assert lines[-1] == str(tmp_path / "w.csv")


# -- what the page says ------------------------------------------------------------------------------------------------


def test_the_protocol_of_the_page_loads() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    text = (ROOT / "protocols" / "find_hits.yaml").read_text(encoding="utf-8")
    own = block.partition("analysis:\n")[2]
    loaded = load_text(
        text.replace("analysis:\n", f"analysis:\n{own}", 1), Registry(discover=False), base=ROOT / "protocols"
    )
    assert loaded.setup.profile_features


def test_the_code_of_the_page_runs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run, tmp_path / "my-run")
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        found: dict[str, object] = {}
        exec(compile(code, "docs/profiles.md", "exec"), found)
    for line in re.findall(r"^\$ phenoloop (.+)$", PAGE, re.MULTILINE):
        result = CliRunner().invoke(app, [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', line)])
        assert result.exit_code == 0, f"{line}: {result.output}"
