"""Every segmenter that comes with the package keeps every rule of the contract."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError
from phenoloop.plugins import Registry
from phenoloop.ports import Segmentation
from phenoloop.segmentation.threshold import Threshold
from phenoloop.testing import SEGMENTER_RULES, SegmenterFactory, assert_segmenter, small_field
from tests.segmenters.conftest import NETWORK

REGISTRY = Registry(discover=False)
MARKS = {"cellpose": pytest.mark.cellpose, "stardist": pytest.mark.stardist}
KINDS = [pytest.param(kind, marks=MARKS.get(kind, ())) for kind in REGISTRY.kinds("segmenters")]


def parameters(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if kind == "cellpose":
        weights: Path = request.getfixturevalue("small_cellpose_weights")
        return {"model": str(weights), "network": NETWORK, "bf16": False}
    if kind == "stardist":
        return {"model": str(request.getfixturevalue("small_stardist_model"))}
    if kind in ("unet", "onnx"):
        from phenoloop.segmentation.unet import SHIPPED, model_file

        shipped = model_file(SHIPPED)
        if not shipped.is_file():
            pytest.skip(f"{shipped.name} is not in this checkout: make it with phenoloop train")
        return {} if kind == "unet" else {"model": str(shipped)}
    return {}


@pytest.fixture(params=KINDS)
def factory(request: pytest.FixtureRequest) -> SegmenterFactory:
    given = parameters(request.param, request)
    found = REGISTRY.load("segmenters", request.param)
    return partial(found, found.Params(**given))


@pytest.mark.parametrize("rule", SEGMENTER_RULES)
def test_rule(factory: SegmenterFactory, rule: str) -> None:
    SEGMENTER_RULES[rule](factory)


@pytest.mark.slow
def test_a_field_of_4096_px(factory: SegmenterFactory) -> None:
    image = np.tile(small_field(), (16, 16))
    found = factory().segment(image).labels
    assert found.shape == (4096, 4096)
    assert 18 * 256 <= found.max() <= 72 * 256


class Careless:
    """Breaks one rule at a time."""

    Params = Threshold.Params

    def __init__(self, params: Threshold.Params, fault: str = "") -> None:
        self.params, self.fault, self.calls = params, fault, 0
        self.sound = Threshold(params)

    def segment(self, image: NDArray[Any]) -> Segmentation:
        self.calls += 1
        if self.fault == "takes NaN":
            image = np.nan_to_num(image)
        found = self.sound.segment(image)
        labels, scores = found.labels, found.scores
        assert scores is not None
        if self.fault == "int64":
            return Segmentation(labels=labels.astype(np.int64))  # type: ignore[arg-type]
        if self.fault == "gaps":
            return Segmentation(labels=np.where(labels == 1, 0, labels).astype(np.int32))
        if self.fault == "scores":
            return Segmentation(labels=labels, scores=np.append(scores, 1.0))
        if self.fault == "remembers":
            return Segmentation(labels=labels if self.calls % 3 else labels[::-1].copy())
        if self.fault == "sees things":
            return Segmentation(labels=np.maximum(labels, labels.max() == 0).astype(np.int32))
        if self.fault == "paints":
            image[...] = 0
        return found


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        pytest.param("int64", "finds objects: .*int64", id="int64"),
        pytest.param("gaps", "finds objects: .*dense", id="gaps"),
        pytest.param("scores", "finds objects: .*scores", id="scores"),
        pytest.param("remembers", "deterministic: ", id="remembers"),
        pytest.param("sees things", "constant: .*objects where there are none", id="sees-things"),
        pytest.param("takes NaN", "NaN: .*AnalysisError", id="takes-nan"),
        pytest.param("paints", "16-bit: .*was changed", id="paints"),
    ],
)
def test_a_segmenter_that_breaks_a_rule_is_caught(fault: str, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        assert_segmenter(partial(Careless, Threshold.Params(), fault))


def test_a_sound_segmenter_passes() -> None:
    assert_segmenter(partial(Threshold, Threshold.Params()))


def test_the_rules_know_an_error_of_their_own() -> None:
    with pytest.raises(AnalysisError):
        Threshold(Threshold.Params()).segment(np.zeros((4, 4, 3), np.uint8))
