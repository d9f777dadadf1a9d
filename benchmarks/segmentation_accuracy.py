"""Accuracy of the segmenters on annotated nuclei (DSB 2018) that training never saw: every size, every overlap.

Run: ``python benchmarks/segmentation_accuracy.py [DATA] [--segmenter KIND[:NAME=VALUE,...]]... [--json FILE]``, where
DATA holds ``dsb2018`` (default ``$PHENOLOOP_DATA``). ``--part train`` scores the images that were trained on.

AP is TP / (TP + FP + FN): as the mean over images, and of the pooled counts. The network of ``unet`` saw none of the
images of the part ``test``; the constants of ``threshold`` were tuned on every second image of the whole set, about
half of them these.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.plugins import Registry
from phenoloop.ports import Segmenter
from phenoloop.training.pairs import TEST, TRAIN, Pair, divide, read_pairs, read_split
from phenoloop.training.scoring import OVERLAPS, Agreement, agreement, auroc, overlaps, total


def build(text: str) -> Segmenter:
    """Return the segmenter that ``kind:name=value,name=value`` describes; values as in YAML."""
    kind, _, rest = text.partition(":")
    given = dict(item.partition("=")[::2] for item in rest.split(",") if item)
    found = Registry().load("segmenters", kind)
    segmenter: Segmenter = found(found.Params.model_validate_strings(given))
    return segmenter


def score(segmenter: Segmenter, pairs: list[Pair]) -> dict[str, Any]:
    """Return scores by size and over all, and the time per megapixel."""
    groups: dict[str, list[Agreement]] = {}
    confident: list[NDArray[np.float64]] = []
    right: list[NDArray[np.bool_]] = []
    seconds = 0.0
    segmenter.segment(pairs[0].image)
    for pair in pairs:
        started = time.thread_time()
        result = segmenter.segment(pair.image)
        seconds += time.thread_time() - started
        for group in (pair.size, "all"):
            groups.setdefault(group, []).append(agreement(pair.labels, result.labels))
        if result.scores is not None:
            confident.append(result.scores)
            right.append(overlaps(pair.labels, result.labels).max(axis=0, initial=0.0) >= 0.5)
    pixels = sum(pair.image.size for pair in pairs)
    return {
        "groups": groups,
        "auroc": auroc(np.concatenate(confident), np.concatenate(right)) if confident else None,
        "ms": seconds * 1e3 * 512**2 / pixels,
    }


def show(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Print one table; return it JSON-ready."""
    sure = "no scores" if found["auroc"] is None else f"AUROC of the confidence {found['auroc']:.3f}"
    print(f"\n{name}   {found['ms']:.0f} CPU ms per 512x512 of image, {sure}")
    print(
        f"{'size':>10}{'images':>7}{'true':>6}{'found':>6}  AP at IoU"
        + "".join(f"{limit:7.2f}" for limit in OVERLAPS)
        + "   F1@0.5"
    )
    table = {}
    for group, parts in sorted(found["groups"].items()):
        whole = total(parts)
        mean = np.mean([part.precision() for part in parts], axis=0)
        table[group] = {"mean": mean.tolist(), "pooled": whole.precision().tolist(), "images": len(parts)}
        head = f"{group:>10}{len(parts):7}{whole.true:6}{whole.found:6}"
        print(f"{head}       mean" + "".join(f"{value:7.3f}" for value in mean))
        print(
            f"{'':{len(head)}}     pooled" + "".join(f"{v:7.3f}" for v in whole.precision()) + f"{whole.f1()[0]:9.3f}"
        )
    return {"table": table, "auroc": found["auroc"], "ms": found["ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(os.environ.get("PHENOLOOP_DATA", "../shared/data")))
    parser.add_argument("--segmenter", action="append", help="kind:name=value,...; repeatable")
    parser.add_argument("--split", type=Path, default=Path(__file__).with_name("dsb2018_split.csv"))
    parser.add_argument("--part", choices=(TEST, TRAIN), default=TEST)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    cv2.setNumThreads(1)
    learned, held_out = divide(read_pairs(chosen.data / "dsb2018"), read_split(chosen.split))
    pairs = held_out if chosen.part == TEST else learned
    print(f"{len(pairs)} images of the part {chosen.part!r}")
    kinds = chosen.segmenter or ["unet", "unet:tta=true", "threshold"]
    tables = {kind: show(kind, score(build(kind), pairs)) for kind in kinds}
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"overlaps": OVERLAPS, "segmenters": tables}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
