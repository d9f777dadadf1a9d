"""`phenoloop train`: a few steps of real training, from files to a model that segments; skipped without PyTorch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from phenoloop.cli.app import app
from phenoloop.errors import UsageError
from phenoloop.segmentation.finding import TRAITS
from phenoloop.segmentation.unet import Unet
from phenoloop.training.job import Recipe, train
from phenoloop.training.pairs import make_split, read_pairs, write_split
from tests.training.folders import annotated

RECIPE = Recipe(steps=30, seed=3, rendered=2, threads=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[str]]:
    pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    pytest.importorskip("onnx", reason="onnx is not installed (extra train)")
    place = tmp_path_factory.mktemp("training")
    folder = annotated(place / "set")
    write_split(place / "split.csv", make_split(read_pairs(folder), 0.4, seed=0))
    told: list[str] = []
    card = train(folder, place / "small.onnx", RECIPE, place / "split.csv", told.append)
    return place / "small.onnx", card, told


@pytest.mark.slow
def test_training_lowers_the_loss(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    _, card, told = trained
    last = next(line for line in told if line.startswith("step 30 of 30"))
    foreground = float(last.rsplit(" ", 3)[1].rstrip(","))
    assert foreground < 0.9  # the mean over all steps; ln 2 and more at the first
    assert card["recipe"] == {"steps": 30, "seed": 3, "rendered": 2, "threads": 1}


@pytest.mark.slow
def test_the_card_says_what_it_was_made_of_and_is_worth(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    file, card, _ = trained
    assert json.loads(file.with_suffix(".json").read_text(encoding="utf-8")) == json.loads(json.dumps(card))
    assert (len(card["data"]["train"]), len(card["data"]["test"])) == (3, 2)
    assert set(card["data"]["test"]) == set(card["scores"]["images"])
    assert set(card["scores"]["sizes"]) == {"96x96", "128x128", "all"}
    assert card["architecture"]["parameters"] > 100_000
    assert card["versions"]["torch"]


@pytest.mark.slow
def test_the_model_declares_itself_and_segments(trained: tuple[Path, dict[str, Any], list[str]]) -> None:
    file, card, _ = trained
    segmenter = Unet(Unet.Params(model=str(file)))
    assert segmenter.describe()["sha256"] == card["sha256"]
    assert card["declaration"]["phenoloop.head"] == "flows"
    assert json.loads(card["declaration"]["phenoloop.traits"]) in ([], list(TRAITS))
    found = segmenter.segment(np.random.default_rng(0).poisson(9, (70, 90)).astype(np.uint8))
    assert found.labels.shape == (70, 90)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        pytest.param("model.pt", "call it model.onnx", id="suffix"),
        pytest.param("nowhere/model.onnx", "nowhere: there is no such folder", id="folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(
    out: str, said: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")
    with pytest.raises(UsageError, match=said):
        train(annotated(tmp_path / "set", (64,)), tmp_path / out, RECIPE, None, print)


def test_without_pytorch_the_verb_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(app, ["train", str(tmp_path), "--out", str(tmp_path / "m.onnx")])
    assert result.exit_code == 2
    assert "pip install 'phenoloop[train]'" in result.stderr
