"""`kind: onnx`: a lab's own network, what it must declare, and what is said of one that does not fit."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phenoloop.errors import PluginError, UsageError
from phenoloop.segmentation.onnx import Onnx
from phenoloop.segmentation.runtime import network
from phenoloop.testing.segmenters import SEGMENTER_RULES, small_field
from tests.segmenters.small_onnx import brightness, node, write


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brightness(tmp_path_factory.mktemp("onnx") / "bright.onnx")


@pytest.mark.parametrize("rule", SEGMENTER_RULES)
def test_the_contract_of_segmenters(rule: str, model: Path) -> None:
    SEGMENTER_RULES[rule](functools.partial(Onnx, Onnx.Params(model=str(model), head="probability", min_area=20)))


def test_touching_disks_of_a_probability_are_divided_by_their_shape(model: Path) -> None:
    y, x = np.mgrid[:96, :96]
    image = 20 + 100 * ((np.hypot(y - 40, x - 30) < 14) | (np.hypot(y - 40, x - 56) < 14))
    labels = Onnx(Onnx.Params(model=str(model), head="probability")).segment(image.astype(np.uint16)).labels
    assert labels.max() == 2
    assert labels[40, 30] != labels[40, 56]


def test_an_image_is_brought_to_the_size_the_network_knows(model: Path) -> None:
    image = np.kron(small_field(), np.ones((3, 3), np.uint8))
    native = Onnx(Onnx.Params(model=str(model), head="probability", min_area=20)).segment(image)
    scaled = Onnx(Onnx.Params(model=str(model), head="probability", trained_diameter=18, min_area=20)).segment(image)
    assert 30 <= scaled.labels.max() <= 40
    assert scaled.labels.shape == image.shape
    both = ((native.labels > 0) & (scaled.labels > 0)).sum() / ((native.labels > 0) | (scaled.labels > 0)).sum()
    assert both > 0.9


def test_a_large_image_in_tiles_is_as_in_one_piece(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.tile(small_field(), (3, 4))
    segmenter = Onnx(Onnx.Params(model=str(model), head="probability"))
    whole = segmenter.segment(image).labels
    monkeypatch.setattr("phenoloop.segmentation.runtime._WHOLE", 1000)
    monkeypatch.setattr("phenoloop.segmentation.runtime._TILE", 320)
    assert np.array_equal(segmenter.segment(image).labels, whole)


def test_a_network_of_fixed_size_gets_tiles_of_its_size(tmp_path: Path) -> None:
    fixed = brightness(tmp_path / "fixed.onnx", image=(1, 1, 128, 192), maps=(1, 1, 128, 192))
    free = brightness(tmp_path / "free.onnx")
    image = small_field()[:200, :250]
    one, other = (
        Onnx(Onnx.Params(model=str(file), head="probability")).segment(image).labels for file in (fixed, free)
    )
    assert np.array_equal(one, other)


def test_a_model_is_loaded_once_per_process(model: Path) -> None:
    assert network(model) is network(model.parent / "." / model.name)


def half_size(file: Path) -> Path:
    pool = node("AveragePool", ["image"], "maps", kernel_shape=[2, 2], strides=[2, 2])
    return write(file, [pool])


def no_model(file: Path) -> Path:
    file.write_bytes(b"this is text")
    return file


@pytest.mark.parametrize(
    ("make", "params", "said"),
    [
        pytest.param(lambda f: f, {"head": "distance"}, "no such file", id="absent"),
        pytest.param(no_model, {"head": "distance"}, "ONNX Runtime cannot load it", id="no-model"),
        pytest.param(brightness, {}, "does not declare its output; say `head:`", id="undeclared"),
        pytest.param(
            brightness, {"head": "distance"}, "has 2 channels, its output 1. It could be 'probability'", id="few"
        ),
        pytest.param(functools.partial(brightness, copies=2), {"head": "flows"}, "has 3 or 4 channels", id="flows"),
        pytest.param(
            functools.partial(brightness, copies=7), {"head": "flows"}, "its output 7. Heads and their", id="no-head"
        ),
        pytest.param(
            functools.partial(brightness, image=("n", 3, "y", "x"), maps=("n", 3, "y", "x")),
            {"head": "flows"},
            "3 channels; one grey channel",
            id="colour",
        ),
        pytest.param(
            functools.partial(brightness, image=("n", "x"), maps=("n", "x")),
            {"head": "probability"},
            "one input",
            id="2d",
        ),
        pytest.param(
            functools.partial(brightness, metadata={"phenoloop.head": "flows"}),
            {},
            "declaration is damaged",
            id="damaged",
        ),
        pytest.param(
            functools.partial(
                brightness,
                metadata={
                    "phenoloop.head": "stars",
                    "phenoloop.working": "[14, 20]",
                    "phenoloop.confidence": "[]",
                    "phenoloop.multiple": "16",
                },
            ),
            {},
            "declares the head 'stars'",
            id="newer",
        ),
        pytest.param(
            brightness, {"head": "probability", "sha256": "0" * 64}, "not the model that was asked for", id="other-hash"
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_at_load(
    make: Callable[[Path], Path], params: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        Onnx(Onnx.Params(model=str(make(tmp_path / "model.onnx")), **params))


def test_an_output_of_half_the_size_is_refused(tmp_path: Path) -> None:
    segmenter = Onnx(Onnx.Params(model=str(half_size(tmp_path / "half.onnx")), head="probability"))
    with pytest.raises(PluginError, match=r"came out as .* full resolution"):
        segmenter.segment(small_field())


def test_the_hash_of_the_protocol_is_checked(model: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    segmenter = Onnx(Onnx.Params(model=str(model), head="probability", sha256=digest.upper()))
    assert segmenter.describe()["sha256"] == digest
