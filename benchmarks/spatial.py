"""Spatial statistics: bias on random patterns, level and power of the test, agreement with astropy, milliseconds.

Run: ``python benchmarks/spatial.py`` (needs astropy).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from astropy.stats import RipleysKEstimator
from numpy.typing import NDArray

from phenoloop.numerics.spatial import clark_evans, describe, ripley_k
from phenoloop.numerics.windows import Mask, Rectangle, Window

Points = NDArray[np.float64]
RADII = np.array([5.0, 10.0, 20.0, 40.0])


def cell() -> NDArray[np.bool_]:
    """Return an ellipse of 100 x 140 px with a hole, as a cytoplasm has."""
    y, x = np.mgrid[:120, :150]
    inside: NDArray[np.bool_] = (((y - 60) / 50) ** 2 + ((x - 75) / 70) ** 2 <= 1) & (np.hypot(y - 60, x - 60) > 20)
    return inside


WINDOWS: dict[str, Window] = {"field of 512 x 512": Rectangle(512, 512), "cell with a hole": Mask(cell())}


def inside(window: Window, points: Points) -> NDArray[np.bool_]:
    if isinstance(window, Rectangle):
        return np.asarray(((points >= 0) & (points <= (window.height, window.width))).all(axis=1), dtype=np.bool_)
    mask = cell()
    at = np.rint(points).astype(int)
    held = ((at >= 0) & (at < mask.shape)).all(axis=1)
    at = np.clip(at, 0, np.array(mask.shape) - 1)
    return np.asarray(held & mask[at[:, 0], at[:, 1]], dtype=np.bool_)


def clustered(share: float) -> Callable[[np.random.Generator, Window, int], Points]:
    """Return a pattern of which this share lies in heaps, 5 px wide, of six."""

    def draw(rng: np.random.Generator, window: Window, n: int) -> Points:
        heaped = round(share * n)
        centres, found = window.draw(rng, max(1, heaped // 6)), np.zeros((0, 2))
        while len(found) < heaped:
            more = centres[rng.integers(len(centres), size=n)] + rng.normal(0, 5, (n, 2))
            found = np.concatenate([found, more[inside(window, more)]])
        return np.concatenate([found[:heaped], window.draw(rng, n - heaped)])

    return draw


def regular(strength: float) -> Callable[[np.random.Generator, Window, int], Points]:
    """Return a pattern without pairs nearer than this many times 1 / sqrt(density)."""

    def draw(rng: np.random.Generator, window: Window, n: int) -> Points:
        apart, found = strength * np.sqrt(window.area / n), []
        for place in window.draw(rng, 400 * n):
            if all(np.hypot(*(place - other)) >= apart for other in found):
                found.append(place)
            if len(found) == n:
                break
        return np.array(found)

    return draw


def random(rng: np.random.Generator, window: Window, n: int) -> Points:
    return window.draw(rng, n)


PATTERNS = {
    "random": random,
    "25 % in heaps": clustered(0.25),
    "50 % in heaps": clustered(0.5),
    "all in heaps": clustered(1.0),
    "apart by 0.3 spacings": regular(0.3),
    "apart by 0.6 spacings": regular(0.6),
}


def main() -> None:
    rng = np.random.default_rng(0)
    print("bias: K / (pi r^2) of 1,000 random patterns, mean +- standard error (SD)")
    for name, window in WINDOWS.items():
        for n in (10, 50, 200):
            found = np.array([ripley_k(window.draw(rng, n), window, RADII) / (np.pi * RADII**2) for _ in range(1000)])
            cells = [
                f"{mean:.3f} +- {sd / np.sqrt(1000):.3f} ({sd:.2f})"
                for mean, sd in zip(found.mean(axis=0), found.std(axis=0, ddof=1), strict=True)
            ]
            print(f"{name:>20}{n:>5} points  " + "  ".join(cells))
    field = WINDOWS["field of 512 x 512"]
    for n in (10, 50, 200):
        ratio, z = np.array([clark_evans(field.draw(rng, n), field) for _ in range(1000)]).T
        error = ratio.std() / np.sqrt(1000)
        print(f"Clark-Evans ratio{n:>8} points  {ratio.mean():.4f} +- {error:.4f}, SD of z {z.std():.3f}")

    oracle = RipleysKEstimator(area=field.area, x_min=0, y_min=0, x_max=512, y_max=512)
    points = field.draw(rng, 300)
    theirs = oracle(points[:, ::-1], RADII, mode="translation")
    difference = np.abs(ripley_k(points, field, RADII) / theirs - 1).max()
    print(f"astropy, translation: largest relative difference {difference:.1e}")
    for name, work in (
        ("ours", lambda: ripley_k(points, field, RADII)),
        ("astropy", lambda: oracle(points[:, ::-1], RADII, mode="translation")),
    ):
        started = time.thread_time()
        for _ in range(50):
            work()
        print(f"  {name}: {(time.thread_time() - started) * 20:.2f} CPU ms for 300 points")

    print("\nshare of 100 patterns called at 5 % (199 simulations): as clustered / as regular")
    print(f"{'':>20}{'':>24}{'15 points':>14}{'40 points':>14}{'100 points':>14}")
    for where, window in WINDOWS.items():
        for name, draw in PATTERNS.items():
            cells = []
            for n in (15, 40, 100):
                if isinstance(window, Mask) and n == 100:
                    cells.append("-")
                    continue
                verdicts = []
                for _ in range(100):
                    pattern = describe(draw(rng, window, n), window, RADII)
                    verdicts.append(pattern.verdict if pattern else "")
                cells.append(f"{verdicts.count('clustered')} / {verdicts.count('regular')} %")
            print(f"{where:>20}{name:>24}" + "".join(f"{text:>14}" for text in cells))


if __name__ == "__main__":
    main()
