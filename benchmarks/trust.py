"""Whether bad frames are noticed: real images degraded on purpose, the gates fixed on some, scored on others.

Run: ``python benchmarks/trust.py [DATA] [--segmenter unet|threshold] [--cache FILE] [--draw docs/trust.png]``, where
DATA holds ``dsb2018`` (default ``$PHENOLOOP_DATA``). About ten minutes on two cores; with ``--cache``, seconds the next
time. ``--images N`` takes every so many images only.

Each of 150 images is shown as it is and degraded in six kinds and four severities (`benchmarks/degrading.py`).

* **bad**: AP@0.5 fell under 0.6. An object on an empty frame is AP 0, none is AP 1. Images whose AP is under 0.6 as
  they are did not fall: they are left out, and their number is printed.
* **good**: the frames as the camera gave them. **usable**: degraded, and AP@0.5 still 0.6 or more.
* **controls** of a frame: the undegraded images of its own acquisition but for its own one, because in a run all
  frames come from one microscope. Acquisitions: images of one size, divided by average linkage over the logarithms of
  background and nuclear diameter. Frames with fewer than 8 controls can only be judged by themselves; they are left out
  of the figures of the distance, and their number is printed.
* **halves**: 20 ways to take three of the six kinds, times `HALVES` seeded halves of the images. On the one side the
  limit is set: where it rejects 2.5 % of the good frames, half of what is allowed, because of half of the images a
  quantile is known only so well. On the other images and the other kinds it is scored.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

# Run as a script, the folder above is not on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.degrading import KINDS, SEVERITIES, Look, degraded
from phenoloop.core.trust import ENOUGH_CONTROLS
from phenoloop.measure import Analysis
from phenoloop.model import AnalysisPlan, SegmentPlan
from phenoloop.model.quality import AUTO_DISTANCE, METRICS, Metric
from phenoloop.numerics.outlying import Axis, farness
from phenoloop.plugins import Registry
from phenoloop.segmentation.runtime import THREADS_VARIABLE
from phenoloop.segmentation.unet import Unet
from phenoloop.training.pairs import Pair, read_pairs
from phenoloop.training.scoring import agreement, auroc, overlaps

BAD = 0.6
"""AP@0.5 below which a frame must be noticed."""
HALVES = 5
REJECTED = 0.05
"""Share of good frames that may be rejected."""
AIM = 0.025
"""Share at which the limit is set."""
AS_IT_IS = "as it is"
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame: whose it is, what was done to it, how well it was segmented, what the gates see."""

    image: int
    kind: str
    severity: int
    ap: float
    found: int
    quality: dict[str, float | None]
    scores: Floats
    right: Bools


@cache
def pairs_of(folder: Path) -> list[Pair]:
    """Return all pairs, read once per process."""
    return read_pairs(folder)


def show(kind: str, folder: Path, number: int) -> list[Shown]:
    """Segment and measure one image, as it is and degraded; a process's work."""
    os.environ[THREADS_VARIABLE] = "1"
    cv2.setNumThreads(1)
    pair = pairs_of(folder)[number]
    target = Registry().find("segmenters", kind).target
    analysis = Analysis(AnalysisPlan(channels=("DNA",), segment=SegmentPlan(kind=kind, target=target, channel="DNA")))
    look = Look(pair.image, pair.labels)
    frames = [(AS_IT_IS, 0, (look.image, look.labels))]
    frames += [(name, s, degraded(look, name, s, [0, number])) for name in KINDS for s in range(SEVERITIES)]
    shown = []
    for name, severity, (image, truth) in frames:
        measured = analysis.measure({"DNA": image})
        labels = measured.labels["objects"]
        same = agreement(truth, labels)
        right = overlaps(truth, labels).max(axis=0, initial=0.0) >= 0.5
        scores = measured.objects["confidence"]
        ap = float(same.precision()[0])
        shown.append(Shown(number, name, severity, ap, same.found, dict(measured.quality), scores, right))
    return shown


def show_all(kind: str, folder: Path, numbers: list[int], jobs: int, kept_in: Path | None) -> list[Shown]:
    """Return every frame, from the cache where it is there."""
    if kept_in is not None and kept_in.is_file():
        kept: list[Shown] = pickle.loads(kept_in.read_bytes())
        return kept
    with ProcessPoolExecutor(jobs) as pool:
        parts = pool.map(show, itertools.repeat(kind), itertools.repeat(folder), numbers)
        shown = [one for part in parts for one in part]
    if kept_in is not None:
        kept_in.write_bytes(pickle.dumps(shown))
    return shown


def acquisitions(folder: Path) -> NDArray[np.intp]:
    """Return the number of the acquisition of each image."""
    pairs = pairs_of(folder)
    looks = [Look(pair.image, pair.labels) for pair in pairs]
    place = np.array([[math.log(1 + look.background) / 0.5, math.log(look.diameter) / 0.3] for look in looks])
    found = np.zeros(len(pairs), dtype=np.intp)
    for size in sorted({pair.size for pair in pairs}):
        of_size = np.flatnonzero([pair.size == size for pair in pairs])
        part = fcluster(linkage(place[of_size], "average"), 2.0, "distance") if of_size.size > 1 else np.ones(1)
        found[of_size] = found.max() + part.astype(np.intp)
    return found


def distances(shown: list[Shown], groups: NDArray[np.intp], metrics: tuple[Metric, ...]) -> Floats:
    """Return how far each frame lies from its controls; NaN without enough of them."""
    axes = [Axis(name=metric.name, bad=metric.bad, floor=metric.floor) for metric in metrics]
    points = [tuple(metric.scaled(one.quality.get(metric.name)) for metric in metrics) for one in shown]
    plain = [(one.image, point) for one, point in zip(shown, points, strict=True) if one.kind == AS_IT_IS]
    found = np.full(len(shown), np.nan)
    for index, (one, point) in enumerate(zip(shown, points, strict=True)):
        controls = [other for image, other in plain if image != one.image and groups[image] == groups[one.image]]
        if len(controls) >= ENOUGH_CONTROLS:
            found[index] = farness(point, controls, axes).distance
    return found


class Frames:
    """Arrays of what is known of each frame."""

    def __init__(self, shown: list[Shown]) -> None:
        as_it_is = {one.image: one.ap for one in shown if one.kind == AS_IT_IS}
        self.image = np.array([one.image for one in shown])
        self.kind = np.array([one.kind for one in shown])
        self.judged = np.array([as_it_is[one.image] >= BAD for one in shown])
        self.bad = np.array([one.ap < BAD for one in shown])
        self.good = self.kind == AS_IT_IS
        self.usable = ~self.bad & ~self.good


def crossed(frames: Frames, score: Floats, *, good: Bools) -> Floats:
    """Return (limit, caught, rejected) of every way to halve kinds and images, scored on the other halves."""
    here = frames.judged & np.isfinite(score)
    found = []
    images = np.unique(frames.image)
    for kinds in itertools.combinations(KINDS, 3):
        for seed in range(HALVES):
            half = np.random.default_rng([seed, 7]).permutation(images)[: images.size // 2]
            mine, known = np.isin(frames.image, half), np.isin(frames.kind, [*kinds, AS_IT_IS])
            limit = float(np.quantile(score[here & mine & known & good], 1 - AIM))
            other = here & ~mine & (~np.isin(frames.kind, kinds))
            found.append((limit, (score[other & frames.bad] > limit).mean(), (score[other & good] > limit).mean()))
    return np.array(found)


def report(name: str, frames: Frames, score: Floats) -> None:
    """Print what one score is worth."""
    here = frames.judged & np.isfinite(score)
    if np.unique(frames.image[here]).size < 20:
        print(f"\n{name}: fewer than 20 images can be judged by it; that is too few to halve")
        return
    print(f"\n{name}: {len(np.unique(frames.image[here]))} images; on the other halves (5 %, median, 95 % of the ways)")
    for title, good in (("good = as it is", frames.good), ("good = as it is, or usable", ~frames.bad)):
        ways = np.quantile(crossed(frames, score, good=good), (0.05, 0.5, 0.95), axis=0)
        mean = crossed(frames, score, good=good).mean(axis=0)
        named = zip(("limit", "caught", "rejected"), ways.T, strict=True)
        text = (f"{what} {low:.3f} {middle:.3f} {high:.3f}" for what, (low, middle, high) in named)
        print(f"  {title:28}{', '.join(text)}; mean caught {mean[1]:.3f} at {mean[2]:.3f}")


def at_limit(frames: Frames, rejected: Bools, here: Bools, title: str) -> None:
    """Print what is caught and rejected by a decision, by kind."""
    print(f"\n{title}")
    print(f"{'':>16}{'bad':>6}{'caught':>8}{'good':>6}{'rejected':>9}{'usable':>8}{'rejected':>9}")
    for kind in (AS_IT_IS, *KINDS, "all"):
        part = here & ((frames.kind == kind) | (kind == "all"))
        cells = []
        for what in (frames.bad, frames.good, frames.usable):
            n = int((part & what).sum())
            cells.append((n, "" if n == 0 else f"{rejected[part & what].mean():.3f}"))
        (b, caught), (g, lost), (u, spoilt) = cells
        print(f"{kind:>16}{b:6}{caught:>8}{g:6}{lost:>9}{u:8}{spoilt:>9}")


def confidence_of_objects(shown: list[Shown]) -> None:
    """Print AUROC of the objects' confidence, whole and in parts."""
    print("\nconfidence of an object against its overlapping a true one by half: AUROC (objects)")
    parts = {"all frames": shown, AS_IT_IS: [one for one in shown if one.kind == AS_IT_IS]}
    parts |= {kind: [one for one in shown if one.kind == kind] for kind in KINDS}
    parts["all but magnification"] = [one for one in shown if one.kind != "magnification"]
    for name, part in parts.items():
        scores, right = np.concatenate([one.scores for one in part]), np.concatenate([one.right for one in part])
        value = auroc(scores, right)
        said = "no right object" if value is None else f"{value:.3f}"
        print(f"  {name:24}{said:>16} ({scores.size}, {right.mean():.0%} right)")


def draw(frames: Frames, curves: dict[str, Floats], target: Path) -> None:
    """Draw caught against rejected."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.8), dpi=90)
    for name, score in curves.items():
        here = frames.judged & np.isfinite(score)
        limits = np.unique(score[here])[::-1]
        limits = limits[:: max(1, limits.size // 400)]
        caught = [(score[here & frames.bad] > limit).mean() for limit in limits]
        for good, style in ((frames.good, "-"), (frames.usable, ":")):
            rejected = [(score[here & good] > limit).mean() for limit in limits]
            label = f"{name}{', usable frames' if style == ':' else ''}"
            axes.plot(rejected, caught, style, color=f"C{list(curves).index(name)}", label=label, linewidth=1.4)
    axes.axvline(REJECTED, color="0.7", linewidth=0.8)
    axes.axhline(0.95, color="0.7", linewidth=0.8)
    axes.set(xlabel="share of good (or usable) frames rejected", ylabel="share of bad frames caught")
    axes.set(xlim=(0, 0.4), ylim=(0, 1.01))
    axes.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(target, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(os.environ.get("PHENOLOOP_DATA", "../shared/data")))
    parser.add_argument("--segmenter", default="unet")
    parser.add_argument("--images", type=int, help="about so many, evenly spread; all unless given")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--draw", type=Path)
    chosen = parser.parse_args()
    folder = chosen.data / "dsb2018"
    count = len(pairs_of(folder))
    numbers = list(range(0, count, max(1, count // chosen.images) if chosen.images else 1))
    shown = show_all(chosen.segmenter, folder, numbers, chosen.jobs, chosen.cache)
    frames, groups = Frames(shown), acquisitions(folder)
    plain = [one for one in shown if one.kind == AS_IT_IS]
    print(f"{chosen.segmenter}: {len(plain)} images, {len(shown)} frames")
    print(f"images under AP {BAD} as they are, left out: {sum(one.ap < BAD for one in plain)}")
    far = distances(shown, groups, METRICS)
    print(f"images with fewer than {ENOUGH_CONTROLS} controls: {len(np.unique(frames.image[~np.isfinite(far)]))}")
    blind = tuple(metric for metric in METRICS if metric.name not in ("size", "spread", "roughness"))
    unsure = np.array([-1.0 if (sure := one.quality.get("confidence")) is None else -sure for one in shown])
    soft = np.array([-1.0 if (focus := one.quality["focus"]) is None else -focus for one in shown])
    scores = {"distance from the controls": far, "the same without shapes": distances(shown, groups, blind)}
    scores |= {"mean confidence alone": unsure, "focus alone": soft}
    for name, score in scores.items():
        report(name, frames, score)
    compared = frames.judged & np.isfinite(far)
    at_limit(frames, far > AUTO_DISTANCE, compared, f"out_of_distribution: auto ({AUTO_DISTANCE:g})")
    at_limit(frames, -unsure < Unet.least_confidence, frames.judged, f"confidence: auto ({Unet.least_confidence:g})")
    confidence_of_objects(shown)
    if chosen.draw:
        draw(frames, scores, chosen.draw)


if __name__ == "__main__":
    main()
