"""Milliseconds per frame with Cellpose: ours one by one, ours several at once, a plain loop over `CellposeModel.eval`.

    python benchmarks/cellpose_speed.py --frames 14       random weights, on a GPU where there is one
    python benchmarks/cellpose_speed.py --weights ~/.cellpose/models/cpsam_v2

Random weights take as long as trained ones in the network, but find no objects; so the network is timed with random
weights, and what follows it (flows to objects, flow errors) on the true flows of rendered nuclei.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from phenoloop.segmentation.cellpose import Cellpose
from phenoloop.segmentation.cellpose_network import Network
from phenoloop.segmentation.cellpose_package import choose_device
from phenoloop.testing import small_field


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="a weights file; random ones unless given")
    parser.add_argument("--frames", type=int, default=14, help="frames per measurement")
    parser.add_argument("--side", type=int, default=512, help="side of a frame, px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="processor threads, without a GPU")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = given.weights or random_weights(Path(folder) / "random")
        measure(weights, given)


def random_weights(path: Path) -> Path:
    import torch
    from cellpose.vit import CPSAM

    torch.manual_seed(0)
    CPSAM().save_model(path)
    return path


def measure(weights: Path, given: argparse.Namespace) -> None:
    import torch
    from cellpose.models import CellposeModel

    torch.set_num_threads(given.threads)
    device = choose_device(None)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    side, count = given.side, given.frames
    frames = [np.tile(small_field(seed), (-(-side // 256),) * 2)[:side, :side] for seed in range(count)]
    planes = [frame.astype(np.float32) for frame in frames]
    print(f"{name}, torch {torch.__version__}, {count} frames of {side} x {side} px, bf16, median of {given.repeats}")
    network = Network.load(weights, None, device, bf16=True)
    plain = CellposeModel(gpu=device != "cpu", pretrained_model=str(weights), use_bfloat16=True)

    def ours(batch: int, at_once: int) -> Callable[[], object]:
        return lambda: [
            network.flows(planes[i : i + at_once], diameter=None, tile_overlap=0.1, batch=batch)
            for i in range(0, count, at_once)
        ]

    rows = {
        "plain loop over eval, its default batch of 8 tiles": lambda: [
            plain.eval(f, compute_masks=False) for f in frames
        ],
        "plain loop over eval, batch of 64 tiles": lambda: [
            plain.eval(f, batch_size=64, compute_masks=False) for f in frames
        ],
        "ours, one frame at a time": ours(64, 1),
        f"ours, {min(7, count)} frames at a time": ours(64, min(7, count)),
    }
    for row, run in rows.items():
        print(f"network  {row:<55} {per_frame(run, count, given.repeats):9.1f} ms/frame")
    truth = [true_flows(seed, side) for seed in range(count)]
    for said, threshold in (("with flow check", 0.4), ("without flow check", None)):
        taken = per_frame(partial(find_objects, network, truth, threshold), count, given.repeats)
        print(f"objects  {'flows to objects, ' + said:<55} {taken:9.1f} ms/frame")
    if given.weights is not None:
        whole = Cellpose(Cellpose.Params(model=str(weights), threads=given.threads))
        taken = per_frame(lambda: whole.segment_many(frames), count, given.repeats)
        print(f"whole    {'ours, all at once':<55} {taken:9.1f} ms/frame")


def find_objects(network: Network, flows: list[np.ndarray], threshold: float | None) -> None:
    for one in flows:
        network.objects(one, diameter=None, niter=None, cellprob_threshold=0.0, flow_threshold=threshold, min_area=15)


def true_flows(seed: int, side: int) -> np.ndarray:
    """Return what a perfect network would say of disks on a grid, about 150 on 512 x 512 px."""
    from cellpose.dynamics import masks_to_flows_gpu

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    pitch = 42
    for row in range(side // pitch):
        for column in range(side // pitch):
            cy, cx = (np.array([row, column]) + 0.5) * pitch + rng.uniform(-4, 4, 2)
            labels[np.hypot(y - cy, x - cx) <= rng.uniform(10, 15)] = labels.max() + 1
    flows, _ = masks_to_flows_gpu(labels)
    return np.concatenate([5 * flows, np.where(labels > 0, 6.0, -6.0)[None]]).astype(np.float32)


def per_frame(run: Callable[[], object], count: int, repeats: int) -> float:
    run()  # the first one compiles and allocates
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        taken.append((time.perf_counter() - begun) * 1e3 / count)
    return float(np.median(taken))


if __name__ == "__main__":
    main()
