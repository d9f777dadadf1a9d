"""What is known of weights and packages before anything is loaded; needs no cellpose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phenoloop.errors import AnalysisError, PluginError, UsageError
from phenoloop.segmentation.cellpose import Cellpose
from phenoloop.segmentation.rungs import Ladder, OutOfMemory, Rung, ladder
from phenoloop.segmentation.weights import check_sha256, find_weights, sha256_of


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A computer where cellpose is installed, with a folder for its models."""
    monkeypatch.setattr("phenoloop.segmentation.cellpose.find_spec", lambda name: object())
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({}, ["cpsam_v2", "cache_model_path", "huggingface.co", "1.2 GB"], id="the-default"),
        pytest.param({"model": "cpsam"}, ["cache_model_path('cpsam')"], id="built-in"),
        pytest.param(
            {"model": "cpsan"}, ["Models that are here: a_folder, my_nuclei", "cpsam_v2 and cpsam"], id="misspelt"
        ),
        pytest.param({"model": "/no/such/file"}, ["Correct the path"], id="path"),
        pytest.param({"model": "~/no-such-model"}, [str(Path.home()), "Correct the path"], id="home"),
        pytest.param({"model": "my_nuclei", "sha256": "0" * 64}, ["not the model that was asked for"], id="hash"),
        pytest.param({"model": "a_folder"}, ["is a folder"], id="folder"),
    ],
)
def test_weights_that_are_absent_stop_everything_with_the_way_out(
    given: dict[str, str], said: list[str], installed: Path
) -> None:
    (installed / "my_nuclei").write_bytes(b"weights")
    (installed / "a_folder").mkdir()
    with pytest.raises(UsageError) as error:
        Cellpose(Cellpose.Params(**given))  # type: ignore[arg-type]
    for part in said:
        assert part in str(error.value)


def test_the_folder_is_cellposes_own_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("phenoloop.segmentation.cellpose.find_spec", lambda name: object())
    monkeypatch.delenv("CELLPOSE_LOCAL_MODELS_PATH", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".cellpose" / "models").mkdir(parents=True)
    (tmp_path / ".cellpose" / "models" / "cpsam_v2").write_bytes(b"weights")
    assert Cellpose(Cellpose.Params()).weights == tmp_path / ".cellpose" / "models" / "cpsam_v2"


def test_without_cellpose_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phenoloop.segmentation.cellpose.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'phenoloop\[cellpose\]'"):
        Cellpose(Cellpose.Params())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "built for different devices .* --force-reinstall torch torchvision",
            id="torchvision-of-another-device",
        ),
        pytest.param("import no_such_module", r"pip install 'phenoloop\[cellpose\]'", id="half-installed"),
    ],
)
def test_a_broken_installation_is_told_from_a_missing_one(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(source, encoding="utf-8")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from phenoloop.errors import PluginError\n"
        "from phenoloop.segmentation.cellpose_package import choose_device\n"
        "try:\n    choose_device(None)\nexcept PluginError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    import re

    assert re.search(message, done.stdout)


def test_a_hash_is_read_again_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first = sha256_of(path)
    check_sha256(path, first.upper())
    path.write_bytes(b"another")
    assert sha256_of(path) != first
    with pytest.raises(UsageError, match=first):
        check_sha256(path, first)


def test_a_name_is_looked_up_in_every_folder(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "model").write_bytes(b"")
    assert find_weights("model", [tmp_path / "one", tmp_path / "two"], way_out="") == tmp_path / "two" / "model"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("cuda", 32, True), "cuda 32 16 8 4 2 1 cpu 8 4 2 1", id="gpu"),
        pytest.param(("cuda", 5, False), "cuda 5 2 1", id="gpu-insisted-on"),
        pytest.param(("cpu", 4, True), "cpu 4 2 1", id="cpu"),
        pytest.param(("mps", 1, True), "mps 1 cpu 1", id="one-tile"),
    ],
)
def test_the_rungs(arguments: Any, expected: str) -> None:
    device, batch, processor_too = arguments
    told: list[str] = []
    for rung in ladder(device, batch, processor_too=processor_too):
        if rung.device not in told:
            told.append(rung.device)
        told.append(str(rung.batch))
    assert " ".join(told) == expected


class Card:
    """Holds so many tiles per device."""

    def __init__(self, **room: int) -> None:
        self.room, self.asked = room, list[str]()

    def __call__(self, rung: Rung) -> str:
        self.asked.append(f"{rung.device} {rung.batch}")
        if rung.batch > self.room[rung.device]:
            raise OutOfMemory(f"{rung.batch} tiles")
        return str(rung)


@pytest.mark.parametrize(
    ("room", "asked", "notes"),
    [
        pytest.param({"cuda": 64, "cpu": 8}, ["cuda 4"], 0, id="enough"),
        pytest.param({"cuda": 1, "cpu": 8}, ["cuda 4", "cuda 2", "cuda 1"], 2, id="smaller-batches"),
        pytest.param({"cuda": 0, "cpu": 8}, ["cuda 4", "cuda 2", "cuda 1", "cpu 4"], 3, id="processor"),
    ],
)
def test_memory_is_found_step_by_step_and_the_step_is_kept(room: dict[str, int], asked: list[str], notes: int) -> None:
    rungs, card = Ladder(ladder("cuda", 4, processor_too=True)), Card(**room)
    result, told = rungs.climb(card)
    assert card.asked == asked
    assert len(told) == notes
    again, nothing = rungs.climb(card)
    assert (again, nothing) == (result, [])
    assert card.asked == [*asked, asked[-1]]


def test_no_memory_anywhere_is_an_error_of_the_field() -> None:
    with pytest.raises(AnalysisError, match="1 tile at a time on cpu"):
        Ladder(ladder("cuda", 4, processor_too=True)).climb(Card(cuda=0, cpu=0))
