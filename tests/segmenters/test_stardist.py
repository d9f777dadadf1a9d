"""StarDist with a model trained in seconds: finds nuclei, is refused where it is not whole, downloads nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phenoloop.errors import PluginError, UsageError
from phenoloop.segmentation.stardist import StarDist
from phenoloop.testing import small_field
from tests.segmenters.pictures import drawn, f1, pairs


def segmenter(model: Path, **given: Any) -> StarDist:
    return StarDist(StarDist.Params(model=str(model), **given))


def test_without_the_packages_the_way_to_install_them_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phenoloop.segmentation.stardist.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'phenoloop\[stardist\]'"):
        StarDist(StarDist.Params())


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A computer where stardist is installed, with the folder of its models."""
    monkeypatch.setattr("phenoloop.segmentation.stardist.find_spec", lambda name: object())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    root = tmp_path / "models" / "StarDist2D"
    root.mkdir(parents=True)
    return root


def model(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"n_dim": 2, "n_channel_in": 1, **config}), encoding="utf-8")
    (folder / "weights_best.h5").write_bytes(b"no weights at all")
    return folder


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(("2D_versatile_fluo",), id="one-layer"),
        pytest.param(("2D_versatile_fluo", "2D_versatile_fluo"), id="two-layers"),
        pytest.param(("2D_versatile_fluo", "2D_versatile_fluo_extracted"), id="extracted"),
    ],
)
def test_a_model_that_stardist_downloaded_is_found_by_name(layers: tuple[str, ...], registry: Path) -> None:
    folder = model(registry.joinpath(*layers))
    assert StarDist(StarDist.Params()).weights == folder / "weights_best.h5"


def test_a_model_that_is_absent_is_not_downloaded(registry: Path) -> None:
    with pytest.raises(UsageError, match="from_pretrained"):
        StarDist(StarDist.Params())
    with pytest.raises(UsageError, match="2D_versatile_fluo, 2D_paper_dsb2018"):
        StarDist(StarDist.Params(model="versatile"))


def remove_weights(folder: Path) -> None:
    (folder / "weights_best.h5").unlink()


def two_weights(folder: Path) -> None:
    (folder / "weights_best.h5").rename(folder / "weights_1.h5")
    shutil.copy(folder / "weights_1.h5", folder / "weights_2.h5")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(remove_weights, "no weights", id="no-weights"),
        pytest.param(two_weights, "several weights", id="two-weights"),
        pytest.param(lambda f: (f / "config.json").unlink(), "no StarDist model", id="no-config"),
        pytest.param(lambda f: (f / "config.json").write_text("{", encoding="utf-8"), "config.json", id="damaged"),
        pytest.param(lambda f: (f / "config.json").write_text("[]", encoding="utf-8"), "no configuration", id="list"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(edit: Callable[[Path], Any], message: str, registry: Path) -> None:
    folder = model(registry / "mine")
    edit(folder)
    with pytest.raises(UsageError, match=message):
        StarDist(StarDist.Params(model="mine"))


@pytest.mark.parametrize(
    "config", [pytest.param({"n_channel_in": 3}, id="colour"), pytest.param({"n_dim": 3}, id="3-D")]
)
def test_a_model_for_other_images_is_refused(config: dict[str, int], registry: Path) -> None:
    model(registry / "mine", **config)
    with pytest.raises(UsageError, match="one 2-D grey image"):
        StarDist(StarDist.Params(model="mine"))


def test_a_hash_that_is_another(registry: Path) -> None:
    model(registry / "mine")
    with pytest.raises(UsageError, match="SHA-256"):
        StarDist(StarDist.Params(model="mine", sha256="1" * 64))


@pytest.mark.stardist
def test_it_finds_nuclei_it_was_not_trained_on(small_stardist_model: Path) -> None:
    found = segmenter(small_stardist_model)
    held_out = [*pairs(8, start=14), *(drawn(seed) for seed in range(40, 44))]
    scores = [f1(truth, found.segment(image).labels) for image, truth in held_out]
    assert np.median(scores) > 0.6


@pytest.mark.stardist
def test_the_labels_are_those_of_stardist_and_the_scores_its_probabilities(small_stardist_model: Path) -> None:
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    image = drawn(50)[0]
    found = segmenter(small_stardist_model).segment(image)
    own = StarDist2D(None, name=small_stardist_model.name, basedir=str(small_stardist_model.parent))
    labels, details = own.predict_instances(normalize(image.astype(np.float32), 1, 99.8))
    assert found.labels.max() > 10
    assert np.array_equal(found.labels > 0, labels > 0)
    assert found.scores is not None
    for k, score in enumerate(found.scores, start=1):
        (there,) = np.unique(labels[found.labels == k])
        assert score == pytest.approx(details["prob"][there - 1])


@pytest.mark.stardist
def test_large_images_in_pieces_are_as_in_one(small_stardist_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = drawn(51, 512, 150)[0]
    whole = segmenter(small_stardist_model).segment(image).labels
    monkeypatch.setattr("phenoloop.segmentation.stardist._TILE", 200)
    assert f1(whole, segmenter(small_stardist_model).segment(image).labels, 0.9) > 0.99


@pytest.mark.stardist
@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        pytest.param({"prob_threshold": 0.999}, 0, 5, id="nothing-is-so-probable"),
        pytest.param({"scale": 1.2}, 30, 42, id="scale"),
        pytest.param({"nms_threshold": 0.1}, 30, 40, id="no-overlap"),
        pytest.param({"gpu": False}, 30, 42, id="no-gpu"),
    ],
)
def test_parameters(given: dict[str, Any], least: int, most: int, small_stardist_model: Path) -> None:
    assert least <= segmenter(small_stardist_model, **given).segment(small_field()).labels.max() <= most


@pytest.mark.stardist
def test_pytorch_and_its_compiler_still_work_after_it() -> None:
    for package in ("stardist", "tensorflow", "torch", "triton"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    after = "import_stardist(); import torch._dynamo, triton; print(torch.ones(3).sum().item())"
    code = f"from phenoloop.segmentation.stardist_package import import_stardist; {after}"
    # in a process of its own: where it fails, it ends the process
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "3.0\n"), ended.stderr


@pytest.mark.stardist
def test_weights_that_do_not_fit_are_refused_at_the_warm_up(small_stardist_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(small_stardist_model, tmp_path / "other"))
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["unet_n_filter_base"] *= 2
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UsageError, match="does not fit"):
        segmenter(copy).warm_up((64, 64))


@pytest.mark.stardist
def test_nothing_is_printed_where_a_report_is_read(
    small_stardist_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(small_stardist_model, tmp_path / "copy"))
    capfd.readouterr()
    found = segmenter(copy)
    found.warm_up((96, 96))
    assert found.describe()["prob_threshold"] < 1
    assert capfd.readouterr().out == ""


@pytest.mark.stardist
def test_a_gpu_that_is_not_there_is_not_made_up(small_stardist_model: Path) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        assert segmenter(small_stardist_model, gpu=True).describe()["device"] == "gpu"
    else:
        with pytest.raises(UsageError, match="gpu: true"):
            segmenter(small_stardist_model, gpu=True).warm_up((64, 64))
