"""What `analysis.quality` turns into: gates, comparisons, and the numbers a comparison must not look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model.quality import AUTO_COUNT_DROP, AUTO_DISTANCE, METRICS
from phenoloop.plugins import Registry
from phenoloop.protocol import Loaded, load_text
from phenoloop.segmentation.unet import Unet

TEXT = """protocol: 1
name: gates
microscope: demo
simulation: {{kind: synthetic}}
plate: {{format: 96-well, wells: [A1:A3], map: map.csv}}
imaging:
  channels:
    - {{name: DNA, config: DAPI, exposure: 20}}
    - {{name: GFP, config: FITC, exposure: 20}}
analysis:
  segment: {{kind: {kind}, channel: DNA}}
  readouts: {{x: {readout}}}
  quality: {{{quality}}}
question: {{kind: mean, readout: x}}
policy: {{kind: sweep}}
"""
ALL = tuple(metric.name for metric in METRICS)


def resolved(
    folder: Path, quality: str, *, readout: str = "mean(GFP.mean)", kind: str = "unet", controls: bool = True
) -> Loaded:
    (folder / "map.csv").write_text("well,treatment\nA1,vehicle\nA2,vehicle\nA3,drug\n", encoding="utf-8")
    text = TEXT.format(quality=quality, readout=readout, kind=kind)
    if controls:
        text = text.replace("{kind: mean, readout: x}", "{kind: hits, readout: x, controls: treatment == 'vehicle'}")
    return load_text(text, Registry(discover=False), base=folder)


@pytest.mark.parametrize(
    ("quality", "controls", "distance", "drop"),
    [
        pytest.param("", True, AUTO_DISTANCE, None, id="by-default-with-controls"),
        pytest.param("", False, None, None, id="by-default-without"),
        pytest.param("out_of_distribution: off", True, None, None, id="off"),
        pytest.param("out_of_distribution: auto", True, AUTO_DISTANCE, None, id="auto"),
        pytest.param("out_of_distribution: 3", True, 3.0, None, id="number"),
        pytest.param("count_drop: auto", False, None, AUTO_COUNT_DROP, id="drop-auto"),
        pytest.param("count_drop: 60 %", False, None, 0.6, id="drop-share"),
    ],
)
def test_comparisons(tmp_path: Path, quality: str, controls: bool, distance: float | None, drop: float | None) -> None:
    plan = resolved(tmp_path, quality, controls=controls).plan
    assert (plan.trust.max_distance, plan.trust.max_count_drop) == (distance, drop)
    assert plan.controls == (("A1", "A2") if controls else ())


@pytest.mark.parametrize(
    ("quality", "kind", "limit"),
    [
        pytest.param("", "unet", None, id="off-by-default"),
        pytest.param("confidence: auto", "unet", Unet.least_confidence, id="what-the-segmenter-says"),
        pytest.param("confidence: auto", "threshold", None, id="a-segmenter-that-says-nothing"),
        pytest.param("confidence: 0.5", "threshold", 0.5, id="number"),
    ],
)
def test_confidence(tmp_path: Path, quality: str, kind: str, limit: float | None) -> None:
    assert resolved(tmp_path, quality, kind=kind).analysis.quality.min_confidence == limit


@pytest.mark.parametrize(
    ("readout", "left_out"),
    [
        pytest.param("mean(GFP.mean)", (), id="light-of-another-channel"),
        pytest.param("mean(DNA.mean)", ("plateau", "range", "contrast"), id="light-of-the-segmented-channel"),
        pytest.param("mean(area)", ("edge", "roughness", "size", "spread"), id="size"),
        pytest.param("mean(solidity)", ("edge", "roughness", "size", "spread"), id="shape"),
        pytest.param("mean(confidence)", ("confidence",), id="confidence"),
        pytest.param("count()", (), id="count"),
    ],
)
def test_no_number_echoes_the_readout(tmp_path: Path, readout: str, left_out: tuple[str, ...]) -> None:
    metrics = resolved(tmp_path, "", readout=readout).plan.trust.metrics
    assert metrics == tuple(name for name in ALL if name not in left_out)


@pytest.mark.parametrize(
    ("quality", "readout", "controls", "said"),
    [
        pytest.param("out_of_distribution: auto", "count()", False, "no controls to compare with", id="no-controls"),
        pytest.param("out_of_distribution: 2", "count()", False, "no controls to compare with", id="number-alone"),
        pytest.param("count_drop: auto", "count()", True, "take count_drop out", id="the-question-counts"),
        pytest.param("count_drop: 60 %", "1 / count()", True, "take count_drop out", id="it-counts-inside"),
        pytest.param("count_drop: 120 %", "mean(area)", True, "120 %", id="more-than-all"),
        pytest.param("count_drop: often", "mean(area)", True, "count_drop", id="no-share"),
        pytest.param("out_of_distribution: far", "mean(area)", True, "write auto, off or a number", id="no-number"),
        pytest.param("out_of_distribution: -1", "mean(area)", True, "write auto, off or a number", id="negative"),
        pytest.param("confidence: 70", "mean(area)", True, "more than 1", id="confidence-in-percent"),
        pytest.param("confidence: true", "mean(area)", True, "write auto, off or a number", id="a-truth"),
        pytest.param("out_of_distributon: auto", "mean(area)", True, "did you mean", id="misspelt"),
    ],
)
def test_what_stops_a_protocol(tmp_path: Path, quality: str, readout: str, controls: bool, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        resolved(tmp_path, quality, readout=readout, controls=controls)
    problem = caught.value.problems[0]
    assert said in str(problem)
    assert problem.line == 13
