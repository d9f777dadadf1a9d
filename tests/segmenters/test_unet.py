"""The network that comes with the package, on pictures whose truth is known; the contract is in test_contract.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.errors import PluginError
from phenoloop.segmentation import runtime
from phenoloop.segmentation.unet import SHIPPED, Unet, model_file
from phenoloop.training.pairs import divide, read_pairs, read_split
from phenoloop.training.rendering import render
from phenoloop.training.scoring import agreement, auroc, overlaps
from tests.segmenters.small_onnx import brightness

SPLIT = Path(__file__).parents[2] / "benchmarks" / "dsb2018_split.csv"


def segment(image: NDArray[Any], **parameters: Any) -> NDArray[np.int32]:
    return Unet(Unet.Params(**parameters)).segment(image).labels


def picture(seed: int, side: int = 256, diameter: float = 20) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    image, labels = render(np.random.default_rng([seed, 99]), side, diameter)
    return image.astype(np.uint16), labels


def test_the_card_is_of_the_model_beside_it() -> None:
    file = model_file(SHIPPED)
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    described = Unet(Unet.Params()).describe()
    assert card["sha256"] == described["sha256"]
    assert described["provider"] in runtime.PROVIDERS
    assert file.stat().st_size < 4e6
    split = read_split(SPLIT)
    assert card["data"]["train"] == {name: sha for name, (part, sha) in split.items() if part == "train"}
    assert card["data"]["test"] == {name: sha for name, (part, sha) in split.items() if part == "test"}
    assert sorted(card["scores"]["images"]) == sorted(card["data"]["test"])


@pytest.mark.real_data
def test_images_that_training_never_saw(data_folder: Path) -> None:
    if not (data_folder / "dsb2018").is_dir():
        pytest.skip("dsb2018 is absent")
    _, held_out = divide(read_pairs(data_folder / "dsb2018"), read_split(SPLIT))
    card = json.loads(model_file(SHIPPED).with_suffix(".json").read_text(encoding="utf-8"))["scores"]
    segmenter = Unet(Unet.Params())
    precision, scores, right = [], [], []
    for pair in held_out:
        found = segmenter.segment(pair.image)
        here = agreement(pair.labels, found.labels).precision()
        # another processor rounds otherwise, which may turn an object on the edge
        assert here[0] == pytest.approx(card["images"][pair.name]["ap"][0], abs=0.1), pair.name
        precision.append(here)
        assert found.scores is not None
        scores.append(found.scores)
        right.append(overlaps(pair.labels, found.labels).max(axis=0, initial=0.0) >= 0.5)
    mean = np.mean(precision, axis=0)
    assert mean == pytest.approx(card["sizes"]["all"]["mean"], abs=0.01)
    area = auroc(np.concatenate(scores), np.concatenate(right))
    assert area is not None
    assert area > 0.8


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"picture-{seed}") for seed in (1, 2, 4)])
def test_rendered_nuclei_that_it_never_saw(seed: int) -> None:
    image, truth = picture(seed)
    assert agreement(truth, segment(image)).f1()[0] > 0.8


@pytest.mark.parametrize("zoom", [pytest.param(z, id=f"{z}-times") for z in (0.5, 2.0, 4.0)])
def test_the_size_of_the_nuclei_does_not_matter(zoom: float) -> None:
    image, _ = picture(1)
    shape = (round(image.shape[1] * zoom), round(image.shape[0] * zoom))
    count = int(segment(image).max())
    other = int(segment(cv2.resize(image, shape, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)).max())
    assert abs(other - count) <= 0.15 * count


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.random.default_rng(1).poisson(20, (256, 256)).astype(np.uint16), id="shot-noise"),
        pytest.param(np.random.default_rng(2).normal(300, 9, (200, 300)), id="read-noise"),
        pytest.param(np.arange(65536, dtype=np.uint16).reshape(256, 256), id="ramp"),
        pytest.param(np.random.default_rng(3).poisson(200 + np.arange(256) * np.ones((256, 1))), id="noisy-ramp"),
    ],
)
def test_no_objects_where_there_are_none(image: NDArray[Any]) -> None:
    found = Unet(Unet.Params()).segment(image)
    assert found.labels.max() == 0
    assert found.scores is not None
    assert found.scores.shape == (0,)


def test_one_nucleus_in_a_large_dark_field_is_found() -> None:
    image = np.random.default_rng(5).normal(100, 5, (1024, 1024))
    y, x = np.mgrid[:1024, :1024]
    image += 200 / (1 + np.exp(np.minimum(np.hypot(y - 700, x - 300) - 10, 50)))
    labels = segment(image)
    assert labels.max() == 1
    assert labels[700, 300] == 1
    assert (labels > 0).sum() == pytest.approx(np.pi * 100, rel=0.25)


def test_two_looks_agree_with_one_where_all_is_clear() -> None:
    image, truth = picture(1)
    once, twice = Unet(Unet.Params()).segment(image), Unet(Unet.Params(tta=True)).segment(image)
    assert agreement(once.labels, twice.labels).f1()[0] > 0.9
    assert agreement(truth, twice.labels).f1()[0] > 0.8
    assert twice.scores is not None
    assert twice.scores.shape == (twice.labels.max(),)
    assert ((twice.scores >= 0) & (twice.scores <= 1)).all()


def test_in_tiles_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = picture(2, side=640)
    whole = segment(image)
    monkeypatch.setattr("phenoloop.segmentation.runtime._WHOLE", 1000)
    monkeypatch.setattr("phenoloop.segmentation.runtime._TILE", 512)
    tiled = segment(image)
    assert agreement(whole, tiled).precision()[-1] > 0.98
    assert np.mean((whole > 0) != (tiled > 0)) < 1e-3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda file: file, "no such file", id="absent"),
        pytest.param(brightness, "not made by `phenoloop train`.*kind: onnx", id="of-another-origin"),
    ],
)
def test_a_model_that_is_none_of_ours_is_refused(make: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=said):
        Unet(Unet.Params(model=str(make(tmp_path / "model.onnx"))))
