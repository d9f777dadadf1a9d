"""Can an object's score be trusted: AUROC of right against wrong objects, for each segmenter that gives scores.

Run: ``python benchmarks/confidence.py [DATA] [--segmenter NAME]... [--weights FILE] [--json FILE]``, where DATA holds
``dsb2018`` (default ``$PHENOLOOP_DATA``); from the repository root.

World: the images of DSB 2018 that ``dsb2018_split.csv`` holds out, each as it is, twice out of focus and twice with
more noise (``degrading.py``), so that enough objects are wrong. An object is right where it overlaps a true one by
half. Intervals: 95 %, 1,000 bootstrap draws of images, each with all that was made of it.

``cellpose`` and ``stardist`` are the small networks of the tests, trained here on the other images, since no real
weights are at hand; the code after the network is that of every network. For ``cellpose``: what the flow error alone
says, and what the score says, of all that the network proposes and of what ``eval`` keeps (flow error up to 0.4); and
the score with weights (``confidence:``) that are fitted here to every sixth of the images that are not scored.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from degrading import Look, degraded
from phenoloop.plugins import Registry
from phenoloop.training.judging import logistic
from phenoloop.training.pairs import Pair, divide, read_pairs, read_split
from phenoloop.training.scoring import auroc, overlaps

VERSIONS = (
    ("as it is", "", 0),
    ("defocus", "defocus", 0),
    ("defocus", "defocus", 1),
    ("noise", "noise", 0),
    ("noise", "noise", 1),
)
PROPOSED, KEPT = 10.0, 0.4
"""Flow errors: of anything at all, and that of Cellpose's own setting."""
NETWORK = "tests.segmenters.small_cellpose:build"
ALL = ("unet", "unet:tta", "threshold", "cellpose", "stardist")
Frame = NDArray[Any]
Scored = tuple[int, str, NDArray[np.float64], NDArray[np.bool_]]
"""Number of the image, version, scores, and which of the objects are right."""


def frames(pairs: Sequence[Pair], seed: int) -> Iterator[tuple[int, str, Frame, Frame]]:
    """Yield number of the image, name of the version, image and truth."""
    for number, pair in enumerate(pairs):
        look = Look(pair.image, pair.labels)
        for name, kind, severity in VERSIONS:
            image, truth = degraded(look, kind, severity, [seed, number]) if kind else (pair.image, pair.labels)
            yield number, name, image, truth


def right(truth: Frame, labels: Frame) -> NDArray[np.bool_]:
    return np.asarray(overlaps(truth, labels).max(axis=0, initial=0.0) >= 0.5)


def show(title: str, scored: Sequence[Scored]) -> dict[str, Any]:
    """Print one row, and return it."""
    row: dict[str, Any] = {}
    said = []
    for version in ("as it is", "defocus", "noise", "all"):
        part = [one for one in scored if version in ("all", one[1])]
        found = area(part)
        row[version] = found | {"objects": sum(one[3].size for one in part)}
        text = "-" if found["auroc"] is None else "{auroc:.3f} [{low:.3f}, {high:.3f}]".format(**found)
        wrong = sum(int((~one[3]).sum()) for one in part)
        said.append(f"{text} {wrong:>5}/{row[version]['objects']:<5}")
    print(f"{title:<44}" + "  ".join(said), flush=True)
    return row


def area(scored: Sequence[Scored], draws: int = 1000) -> dict[str, float | None]:
    """Return the AUROC over all objects, and its interval by drawing images with all their versions."""
    images = sorted({one[0] for one in scored})
    of = {k: [one for one in scored if one[0] == k] for k in images}
    joined = {k: tuple(np.concatenate([one[i] for one in of[k]]) for i in (2, 3)) for k in images}

    def pooled(chosen: Sequence[int]) -> float | None:
        return auroc(np.concatenate([joined[k][0] for k in chosen]), np.concatenate([joined[k][1] for k in chosen]))

    rng = np.random.default_rng(0)
    again = [pooled(rng.choice(images, len(images)).tolist()) for _ in range(draws)]
    known = [value for value in again if value is not None]
    if not known:
        return {"auroc": None, "low": None, "high": None}
    low, high = np.quantile(known, (0.025, 0.975))
    return {"auroc": pooled(images), "low": float(low), "high": float(high)}


def plain(segment: Callable[[Frame], Any], pairs: Sequence[Pair]) -> list[Scored]:
    """Return the scores that a segmenter gives."""
    scored = []
    for number, version, image, truth in frames(pairs, seed=1):
        found = segment(image)
        scored.append((number, version, np.asarray(found.scores), right(truth, found.labels)))
    return scored


def build(kind: str, **parameters: Any) -> Callable[[Frame], Any]:
    found: Any = Registry().load("segmenters", kind)
    return found(found.Params(**parameters)).segment  # type: ignore[no-any-return]


def cellpose(weights: Path, held_out: Sequence[Pair], others: Sequence[Pair]) -> dict[str, Any]:
    """Print the rows of Cellpose."""
    from phenoloop.numerics.images import as_plane
    from phenoloop.segmentation.cellpose_network import Network
    from phenoloop.segmentation.cellpose_package import use_threads
    from phenoloop.segmentation.cellpose_trust import traits, trust

    use_threads(1)
    network = Network.load(weights, NETWORK, "cpu", bf16=False)

    def look(pairs: Sequence[Pair], seed: int) -> Iterator[tuple[int, str, Any, Any]]:
        """Yield number, version, traits of all that is proposed, and which are right."""
        for number, version, image, truth in frames(pairs, seed):
            (flows,) = network.flows([as_plane(image)], diameter=None, tile_overlap=0.1, batch=8)
            labels, errors = network.objects(
                flows, diameter=None, niter=None, cellprob_threshold=0.0, flow_threshold=PROPOSED, min_area=15
            )
            assert errors is not None
            yield number, version, traits(labels, flows, errors), right(truth, labels)

    def kept(found: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(found[:, 0] <= KEPT)

    fitted = [(found[kept(found)], good[kept(found)]) for _, _, found, good in look(others, 2)]
    coefficients = logistic(np.concatenate([f for f, _ in fitted]), np.concatenate([g for _, g in fitted]))
    seen = list(look(held_out, 1))

    def row(title: str, score: Callable[[Any], Any], *, everything: bool) -> dict[str, Any]:
        return show(
            f"cellpose, {title}, {'all proposed' if everything else 'what eval keeps'}",
            [
                (number, version, score(found[which]), good[which])
                for number, version, found, good in seen
                for which in (np.ones(len(found), np.bool_) if everything else kept(found),)
            ],
        )

    scores: dict[str, Callable[[Any], Any]] = {
        "flow error": lambda found: 1 / (1 + found[:, 0]),
        "score": lambda found: trust(found, None),
        "fitted": lambda found: trust(found, coefficients),
    }
    table: dict[str, Any] = {
        f"{name}, {'all' if everything else 'kept'}": row(name, score, everything=everything)
        for everything in (True, False)
        for name, score in scores.items()
    }
    print(f"{'':<44}confidence: {list(coefficients)}")
    return table | {"confidence": coefficients}


def trained(kind: str, folder: Path, pairs: Sequence[Pair]) -> Path:
    """Train the small network of the tests on images that are not scored, and return where it is."""
    examples: Any = [(pair.image, pair.labels) for pair in pairs if min(pair.image.shape) >= 128]
    path = folder / kind
    if kind == "cellpose":
        from tests.segmenters import small_cellpose

        small_cellpose.train(examples, path, steps=400)
    else:
        from tests.segmenters import small_stardist

        small_stardist.train(examples, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(os.environ.get("PHENOLOOP_DATA", "../shared/data")))
    parser.add_argument(
        "--segmenter", action="append", choices=ALL, help="repeatable; all that are installed unless given"
    )
    parser.add_argument("--weights", type=Path, help="of the small Cellpose network; trained here unless given")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the small networks live with the tests
    split = read_split(Path(__file__).with_name("dsb2018_split.csv"))
    learned, held_out = divide(read_pairs(chosen.data / "dsb2018"), split)
    print(f"{len(held_out)} images, {len(VERSIONS)} versions of each; AUROC [95 %] and wrong/all objects")
    print(f"{'':<44}" + "".join(f"{name:<34}" for name in ("as it is", "out of focus", "noise", "all")))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.segmenter or ALL:
            kind, _, twice = name.partition(":")
            if kind in ("cellpose", "stardist") and find_spec(kind) is None:
                print(f"{name}: not installed")
            elif kind == "cellpose":
                weights = chosen.weights or trained(kind, Path(folder), learned)
                results[name] = cellpose(weights, held_out, learned[::6])
            else:
                model = {"model": str(trained(kind, Path(folder), learned))} if kind == "stardist" else {}
                results[name] = show(name, plain(build(kind, **model, **({"tta": True} if twice else {})), held_out))
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
