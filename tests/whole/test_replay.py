"""What `replay` says of a run: of an honest one, a changed one, a damaged one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.errors import JournalError, UsageError
from tests.whole.plates import write_protocol

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    return api.run(write_protocol(folder), out=folder / "run").folder.path


def copy(run: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("journal.jsonl", "resolved.json", "protocol.yaml"):
        (target / name).write_bytes((run / name).read_bytes())
    return target


def test_all_decisions_are_equal(run: Path) -> None:
    result = api.replay(run)
    assert result.equal
    assert result.decisions > 2
    assert result.message == f"all {result.decisions} decisions are equal"


@pytest.mark.parametrize("name", ["explore", "give_up", "control_share"])
def test_a_parameter_changed_by_one_percent_is_named(run: Path, name: str) -> None:
    parameters = json.loads((run / "resolved.json").read_text(encoding="utf-8"))["policy"]["parameters"]
    result = api.replay(run, overrides=[f"policy.{name}={parameters[name] * 1.01}"])
    assert not result.equal
    assert result.first == 1
    assert f"policy.{name}" in result.message
    assert "first that differs is decision 1 (line 3" in result.message


def test_an_edited_protocol_in_the_run_folder_is_used(run: Path, tmp_path: Path) -> None:
    edited = copy(run, tmp_path / "edited")
    text = (edited / "protocol.yaml").read_text(encoding="utf-8")
    (edited / "protocol.yaml").write_text(text.replace("fields_per_visit: 2", "fields_per_visit: 1"), encoding="utf-8")
    result = api.replay(edited)
    assert not result.equal
    assert "the replay goes to" in result.message


def test_a_misspelt_override_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="exploer"):
        api.replay(run, overrides=["policy.exploer=0.2"])


def test_a_run_without_its_protocol_folder_replays(run: Path, tmp_path: Path) -> None:
    """A run folder is enough: sent to another lab, it replays there."""
    assert api.replay(copy(run, tmp_path / "sent")).equal


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.77, 0.99])
def test_a_flipped_byte_names_its_line(run: Path, tmp_path: Path, share: float) -> None:
    damaged = copy(run, tmp_path / "damaged")
    data = bytearray((damaged / "journal.jsonl").read_bytes())
    at = int(share * (data.rindex(b"\n", 0, len(data) - 1)))
    line = data[:at].count(b"\n") + 1
    data[at] ^= 0x01
    (damaged / "journal.jsonl").write_bytes(bytes(data))
    with pytest.raises(JournalError, match=rf"journal\.jsonl.*line {line}\b|journal\.jsonl:{line}\b"):
        api.replay(damaged)
