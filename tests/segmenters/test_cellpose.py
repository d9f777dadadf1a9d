"""Cellpose with a small network and real tiling, flows and dynamics: equal to `eval`, guarded, thrifty with memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError, UsageError
from phenoloop.segmentation.cellpose import Cellpose
from phenoloop.segmentation.threshold import Threshold
from phenoloop.testing import small_field
from tests.segmenters.conftest import NETWORK
from tests.segmenters.pictures import drawn, f1, pairs

pytestmark = pytest.mark.cellpose
pytest.importorskip("cellpose", reason="cellpose is not installed: pip install 'phenoloop[cellpose]'")


def segmenter(weights: Path, **given: Any) -> Cellpose:
    return Cellpose(Cellpose.Params(**{"model": str(weights), "network": NETWORK, "bf16": False, **given}))


def official(weights: Path) -> Any:
    """Cellpose's own model around the same network."""
    import torch
    from cellpose.models import CellposeModel

    from tests.segmenters.small_cellpose import build

    model = CellposeModel.__new__(CellposeModel)  # its constructor knows Cellpose-SAM only
    model.device, model.gpu, model.backbone = torch.device("cpu"), False, "sam_vitl"
    model.net = build()
    model.net.load_state_dict(torch.load(weights))
    return model


IMAGES = [
    pytest.param(pairs(1, start=30)[0][0], {}, id="real-where-at-hand"),
    pytest.param(drawn(60)[0], {}, id="drawn"),
    pytest.param(drawn(61, 512, 120)[0], {}, id="nine-tiles"),
    pytest.param(drawn(62, 320)[0][:, :200], {}, id="not-square"),
    pytest.param(small_field(), {"diameter": 18.0}, id="diameter-given"),
    pytest.param(drawn(63)[0].astype(np.uint16) * 200, {"niter": 60, "min_area": 40}, id="16-bit-steps-area"),
    pytest.param(drawn(64)[0], {"flow_check": False}, id="without-flow-check"),
    pytest.param(drawn(65)[0], {"flow_threshold": 0.15, "cellprob_threshold": -1.0}, id="strict"),
    pytest.param(drawn(66, 512)[0], {"tile_overlap": 0.4, "batch_size": 2}, id="overlap-small-batch"),
]


@pytest.mark.parametrize(("image", "given"), IMAGES)
def test_the_labels_are_those_of_eval(image: NDArray[Any], given: dict[str, Any], small_cellpose_weights: Path) -> None:
    found = segmenter(small_cellpose_weights, **given).segment(image)
    expected = official(small_cellpose_weights).eval(
        image,
        diameter=given.get("diameter"),
        niter=given.get("niter"),
        min_size=given.get("min_area", 15),
        tile_overlap=given.get("tile_overlap", 0.1),
        flow_threshold=given.get("flow_threshold", 0.4) if given.get("flow_check", True) else 0.0,
        cellprob_threshold=given.get("cellprob_threshold", 0.0),
    )[0]
    assert found.labels.max() > 4
    assert np.array_equal(found.labels, expected)


def test_it_finds_nuclei_it_was_not_trained_on(small_cellpose_weights: Path) -> None:
    held_out = [*pairs(8, start=14), *(drawn(seed) for seed in range(40, 44))]
    found = segmenter(small_cellpose_weights).segment_many([image for image, _ in held_out])
    assert np.median([f1(truth, one.labels) for (_, truth), one in zip(held_out, found, strict=True)]) > 0.6


def test_frames_in_one_call_give_the_same_as_one_by_one(small_cellpose_weights: Path) -> None:
    images = [image for image, _ in pairs(4, start=20)]
    images += [drawn(70, 512, 150)[0], drawn(71, 333)[0].astype(np.uint16), np.zeros((50, 50), np.uint8)]
    sound = segmenter(small_cellpose_weights, batch_size=16)
    for alone, together in zip(map(sound.segment, images), sound.segment_many(images), strict=True):
        assert np.array_equal(alone.labels, together.labels)
        assert alone.scores is not None
        assert together.scores is not None
        assert np.allclose(alone.scores, together.scores, atol=1e-6)


def test_tiles_of_several_frames_share_the_batches(
    small_cellpose_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phenoloop.segmentation.cellpose_network import Network

    batches: list[int] = []
    run = Network._forward

    def counted(self: Network, tiles: Any) -> Any:
        batches.append(len(tiles))
        return run(self, tiles)

    monkeypatch.setattr(Network, "_forward", counted)
    fields = [drawn(seed, 512, 100)[0] for seed in range(3)]
    segmenter(small_cellpose_weights, batch_size=27).segment_many(fields)
    assert batches == [27]  # 3 frames of 9 tiles; a loop over `eval` with the same setting runs three


def test_a_score_falls_with_the_flow_error(small_cellpose_weights: Path) -> None:
    lenient = segmenter(small_cellpose_weights, flow_threshold=10.0)
    right, wrong = [], []
    for seed in range(80, 86):
        image, truth = drawn(seed)
        found = lenient.segment(image)
        assert found.scores is not None
        for k, score in enumerate(found.scores, start=1):
            inside = truth[found.labels == k]
            best = np.bincount(inside[inside > 0]).argmax() if inside.any() else 0
            union = np.sum((found.labels == k) | ((truth == best) & (best > 0)))
            good = best > 0 and np.sum(inside == best) / union > 0.5
            (right if good else wrong).append(float(score))
    assert len(right) > 50
    assert min(right + wrong) >= 0
    assert max(right + wrong) <= 1
    if wrong:
        assert np.median(right) > np.median(wrong)


def test_bfloat16_finds_the_same_objects(small_cellpose_weights: Path) -> None:
    image = small_field()
    full, half = (segmenter(small_cellpose_weights, bf16=bf16).segment(image).labels for bf16 in (False, True))
    assert f1(full, half, 0.8) > 0.95


def test_what_a_run_records(small_cellpose_weights: Path) -> None:
    found = segmenter(small_cellpose_weights, gpu=False).describe()
    assert found["device"] == "cpu"
    assert found["weights"] == str(small_cellpose_weights)
    assert len(found["sha256"]) == 64
    again = segmenter(small_cellpose_weights, sha256=found["sha256"].upper())
    assert again.describe()["sha256"] == found["sha256"]


def test_memory_that_runs_out_halves_the_batch_and_says_so(small_cellpose_weights: Path) -> None:
    # as on a small card: more than two tiles at once raise what torch raises there
    small_card = segmenter(small_cellpose_weights, network=f"{NETWORK.split(':')[0]}:careless", batch_size=8)
    image = drawn(61, 512, 120)[0]
    first, second = small_card.segment(image), small_card.segment(image)
    assert len(first.notes) == 2
    assert "out of memory with 8 tiles at a time on cpu" in first.notes[0]
    assert "from now on 2 tiles at a time" in first.notes[1]
    assert second.notes == ()
    assert small_card.describe()["batch_size"] == 2
    expected = segmenter(small_cellpose_weights).segment(image).labels
    assert np.array_equal(first.labels, expected)
    assert np.array_equal(second.labels, expected)


def test_steps_of_the_warm_up_are_told_with_the_first_frame(small_cellpose_weights: Path) -> None:
    small_card = segmenter(small_cellpose_weights, network=f"{NETWORK.split(':')[0]}:careless", batch_size=4)
    small_card.warm_up((512, 512))
    first, second = small_card.segment(small_field()), small_card.segment(small_field())
    assert first.notes == ("out of memory with 4 tiles at a time on cpu; from now on 2 tiles at a time on cpu",)
    assert second.notes == ()


@pytest.mark.parametrize(
    "fallback",
    [pytest.param("threshold", id="kind"), pytest.param({"kind": "threshold", "sensitivity": 0.4}, id="block")],
)
def test_the_fallback_takes_over_when_nothing_fits(small_cellpose_weights: Path, fallback: Any) -> None:
    network = f"{NETWORK.split(':')[0]}:hopeless"
    field = small_field()
    saved = segmenter(small_cellpose_weights, network=network, fallback=fallback)
    found = saved.segment(field)
    given = {} if isinstance(fallback, str) else {"sensitivity": 0.4}
    assert np.array_equal(found.labels, Threshold(Threshold.Params(**given)).segment(field).labels)
    assert "out of memory" in found.notes[0]
    assert "threshold" in found.notes[-1]
    assert saved.segment(field).notes == ()
    with pytest.raises(AnalysisError, match="out of memory with 1 tile at a time"):
        segmenter(small_cellpose_weights, network=network).segment(field)


@pytest.mark.parametrize("kind", ["cellpose", "no-such"])
def test_a_fallback_that_is_none(kind: str, small_cellpose_weights: Path) -> None:
    with pytest.raises(UsageError, match=r"fallback|unknown kind"):
        segmenter(small_cellpose_weights, fallback=kind)


def edited(weights: Path, target: Path, edit: Any) -> Path:
    import torch

    torch.save(edit(torch.load(weights)), target)
    return target


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(lambda s: without(s, "out.weight"), r"1 missing \(out.weight\)", id="missing"),
        pytest.param(lambda s: {**s, "out.weight": s["out.weight"][:6]}, "1 of another shape", id="shape"),
        pytest.param(lambda s: {**s, "blocks.9.weight": s["out.bias"]}, "1 unknown", id="unknown"),
        pytest.param(lambda s: {"model": s, "epoch": 3}, "state_dict", id="checkpoint"),
        pytest.param(lambda s: list(s.values()), "state_dict", id="list"),
    ],
)
def test_a_file_that_is_not_exactly_the_network_is_refused(
    edit: Any, message: str, small_cellpose_weights: Path, tmp_path: Path
) -> None:
    wrong = segmenter(edited(small_cellpose_weights, tmp_path / "wrong", edit))
    with pytest.raises(UsageError, match=message):
        wrong.warm_up((64, 64))


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda s: {f"module.{name}": value for name, value in s.items()}, id="saved-by-several-gpus"),
        pytest.param(lambda s: without(without(s, "diam_mean"), "diam_labels"), id="no-metadata"),
    ],
)
def test_a_file_that_differs_in_nothing_that_counts_is_used(
    edit: Any, small_cellpose_weights: Path, tmp_path: Path
) -> None:
    image = small_field()
    found = segmenter(edited(small_cellpose_weights, tmp_path / "right", edit)).segment(image)
    assert np.array_equal(found.labels, segmenter(small_cellpose_weights).segment(image).labels)


def test_a_download_that_was_cut_off_is_named(small_cellpose_weights: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(small_cellpose_weights.read_bytes()[:20_000])
    with pytest.raises(UsageError, match="cut off"):
        segmenter(broken).warm_up((64, 64))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        pytest.param({"encoder.cls_token": 1}, "cpdino", id="cpdino"),
        pytest.param({"conv1.weight": 1}, "Cellpose 1 to 3", id="cellpose-3"),
    ],
)
def test_models_of_another_kind_are_named(state: dict[str, int], message: str, tmp_path: Path) -> None:
    import torch

    torch.save({name: torch.zeros(size) for name, size in state.items()}, tmp_path / "other")
    with pytest.raises(UsageError, match=message):
        segmenter(tmp_path / "other", network=None).warm_up((64, 64))


def test_weights_are_found_by_name(
    small_cellpose_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(small_cellpose_weights, tmp_path / "my_nuclei")
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    named = Cellpose(Cellpose.Params(model="my_nuclei", network=NETWORK, bf16=False))
    assert named.weights == tmp_path / "my_nuclei"
    assert named.describe()["model"] == "my_nuclei"


def test_a_gpu_that_is_not_there_is_not_made_up(small_cellpose_weights: Path) -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        assert segmenter(small_cellpose_weights, gpu=True).describe()["device"] in ("cuda", "mps")
    else:
        with pytest.raises(UsageError, match="gpu: true"):
            segmenter(small_cellpose_weights, gpu=True).warm_up((64, 64))


@pytest.mark.slow
@pytest.mark.skipif(psutil.virtual_memory().available < 8e9, reason="Cellpose-SAM with random weights needs 8 GB free")
def test_cellpose_sam_itself_with_random_weights(tmp_path: Path) -> None:
    import torch
    from cellpose.models import CellposeModel
    from cellpose.vit import CPSAM

    torch.manual_seed(0)
    weights = tmp_path / "random_cpsam"
    CPSAM().save_model(weights)
    image = small_field()[:200, :200]
    from phenoloop.segmentation.cellpose_network import Network

    with torch.inference_mode():
        ours = Network.load(weights, None, "cpu", bf16=False).flows(
            [image.astype(np.float32)], diameter=None, tile_overlap=0.1, batch=8
        )
        theirs = CellposeModel(gpu=False, pretrained_model=str(weights), use_bfloat16=False).eval(
            image, compute_masks=False
        )[1]
    assert np.allclose(ours[0][:2], theirs[1], atol=1e-5)
    assert np.allclose(ours[0][2], theirs[2], atol=1e-5)
    state = torch.load(weights)
    torch.save({name: value for name, value in state.items() if "blocks.7." not in name}, tmp_path / "shorter")
    with pytest.raises(UsageError, match="missing"):
        Network.load(tmp_path / "shorter", None, "cpu", bf16=True)
