"""Whether points lie at random, clustered or regularly, in a rectangle or in a window of any shape.

Distances are in the unit of the coordinates. A point is ``(y, x)``; a pixel is the unit square around its centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phenoloop.numerics.windows import Rectangle, Window

Floats = NDArray[np.float64]

SEED: Final = 19_770_601
"""Of all simulated patterns: the same points give the same numbers on any machine."""


_STRIPS: Final = 256


def tree_of(points: Floats) -> Any:
    """Return a k-d tree of points; what needs none does not wait half a second for the import."""
    from scipy.spatial import cKDTree

    return cKDTree(points)


def nearest_distances(points: ArrayLike, k: int = 1) -> Floats:
    """Return the distance of each point to its `k`-th nearest other; infinite where there is none, shape (n,)."""
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if not len(places):
        return np.zeros(0)
    distance: Floats = tree_of(places).query(places, k=[k + 1])[0][:, 0]
    return distance


def expected_nearest(n: int, window: Rectangle) -> tuple[float, float]:
    """Return the mean nearest-neighbour distance of `n` random points in a rectangle, and its standard error.

    Donnelly (1978) corrects for points whose true neighbour would lie beyond the border:
    ``0.5 sqrt(A / n) + (0.0514 + 0.041 / sqrt(n)) P / n`` and ``sqrt(0.0703 A + 0.037 P sqrt(A / n)) / n``. Good from
    about 7 points on.
    """
    area, perimeter = window.area, window.perimeter
    mean = 0.5 * np.sqrt(area / n) + (0.0514 + 0.041 / np.sqrt(n)) * perimeter / n
    return float(mean), float(np.sqrt(0.0703 * area + 0.037 * perimeter * np.sqrt(area / n)) / n)


def clark_evans(points: ArrayLike, window: Window, *, simulations: int = 199) -> tuple[float, float]:
    """Return the Clark-Evans ratio and its z: 1 random, below clustered, above regular; (NaN, NaN) under two points.

    Clark and Evans (1954, doi 10.2307/1931034): mean nearest-neighbour distance over that of a random pattern. The
    latter is Donnelly's for a `Rectangle`, and the mean of `simulations` random patterns in any other window.

    Parameters
    ----------
    points : array_like, shape (n, 2)
        All in the window.
    window : Window
        Where they could have been.
    simulations : int
        Not used for a rectangle.
    """
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    n = len(places)
    if n < 2:
        return np.nan, np.nan
    seen = float(nearest_distances(places).mean())
    if isinstance(window, Rectangle):
        mean, error = expected_nearest(n, window)
    else:
        rng = np.random.default_rng([SEED, n])
        drawn = np.array([nearest_distances(window.draw(rng, n)).mean() for _ in range(simulations)])
        mean, error = float(drawn.mean()), float(drawn.std(ddof=1))
    return seen / mean, (seen - mean) / error


def ripley_k(points: ArrayLike, window: Window, radii: ArrayLike) -> Floats:
    """Return Ripley's K at each radius, shape (radii,); pi r^2 for a random pattern, NaN under two points.

    Each pair at distance <= r counts area^2 / (n (n - 1)) over the area that the window shares with itself moved by the
    pair's vector: the translation correction (Ohser 1983; Illian et al. 2008, section 4.3), unbiased in any window as
    long as r is below its extent.

    Parameters
    ----------
    points : array_like, shape (n, 2)
        All in the window.
    window : Window
        Where they could have been.
    radii : array_like, shape (radii,)
        Distances, rising.
    """
    places, r = np.asarray(points, dtype=np.float64).reshape(-1, 2), np.asarray(radii, dtype=np.float64)
    n = len(places)
    if n < 2:
        return np.full(r.shape, np.nan)
    first, second = tree_of(places).query_pairs(float(r.max()), output_type="ndarray").T
    dy, dx = (places[first] - places[second]).T
    weight = 2 * window.area**2 / (n * (n - 1)) / np.maximum(window.covariance(dy, dx), 1e-9)
    order = np.argsort(dy * dy + dx * dx, kind="stable")
    distance = np.sqrt(dy * dy + dx * dx)[order]
    total = np.concatenate(([0.0], np.cumsum(weight[order])))
    found: Floats = total[np.searchsorted(distance, r, side="right")]
    return found


def ripley_l(points: ArrayLike, window: Window, radii: ArrayLike) -> Floats:
    """Return Besag's L = sqrt(K / pi) at each radius: r for a random pattern (Besag 1977)."""
    found: Floats = np.sqrt(ripley_k(points, window, radii) / np.pi)
    return found


def local_ripley(points: ArrayLike, window: Rectangle, radius: float) -> Floats:
    """Return each point's own share of K, over pi r^2; the mean is K / (pi r^2), 1 for a random pattern.

    Getis and Franklin (1987, doi 10.2307/1938452) with the translation correction. Shape (n,); NaN under two points.
    """
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    n = len(places)
    if n < 2:
        return np.full(n, np.nan)
    pairs = tree_of(places).query_pairs(radius, output_type="ndarray")
    dy, dx = (places[pairs[:, 0]] - places[pairs[:, 1]]).T
    weight = window.area**2 / (n - 1) / window.covariance(dy, dx) / (np.pi * radius**2)
    return np.bincount(pairs.ravel(), weights=np.repeat(weight, 2), minlength=n).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What `describe` says of a pattern.

    Attributes
    ----------
    verdict : str
        ``"random"``, ``"clustered"`` or ``"regular"``.
    p : float
        Chance that a random pattern leaves the envelope as far; not below 1 / (simulations + 1).
    radii, l, low, high : ndarray of float64, shape (radii,)
        L(r) and its global envelope: at 5 %, a random pattern leaves it anywhere in one of twenty cases.
    clark_evans, clark_evans_z : float
        See `clark_evans`, by simulation.
    """

    verdict: Literal["random", "clustered", "regular"]
    p: float
    radii: Floats
    l: Floats  # noqa: E741 - its name since Besag
    low: Floats
    high: Floats
    clark_evans: float
    clark_evans_z: float


def describe(points: ArrayLike, window: Window, radii: ArrayLike, *, simulations: int = 199) -> Pattern | None:
    """Test a pattern against randomness by Ripley's L with a global envelope; None under three points.

    The largest deviation of L from the mean of the simulated patterns, in their standard deviations, over all radii, is
    ranked among theirs (studentised maximum deviation test: Myllymäki et al. 2015, doi 10.1016/j.spasta.2014.11.001).
    So there is one p-value for all radii, exact for any number of points and any window.

    Parameters
    ----------
    points : array_like, shape (n, 2)
        All in the window.
    window : Window
        Where they could have been.
    radii : array_like, shape (radii,)
        Distances, rising.
    simulations : int
        Random patterns, 99 at least for the 5 % envelope to mean something.
    """
    places, r = np.asarray(points, dtype=np.float64).reshape(-1, 2), np.asarray(radii, dtype=np.float64)
    n = len(places)
    if n < 3:
        return None
    rng = np.random.default_rng([SEED, n])
    drawn = [window.draw(rng, n) for _ in range(simulations)]
    curves = np.stack([ripley_l(places, window, r), *(ripley_l(pattern, window, r) for pattern in drawn)])
    # The pattern itself is one of the set, or the ranks would not be exchangeable under randomness.
    mean, spread = curves.mean(axis=0), np.maximum(curves.std(axis=0), 1e-9)
    scaled = (curves - mean) / spread
    worst = np.abs(scaled).max(axis=1)
    p = float(np.mean(worst >= worst[0]))
    reach = float(np.quantile(worst[1:], 0.95, method="higher"))
    at = int(np.argmax(np.abs(scaled[0])))
    verdict: Literal["random", "clustered", "regular"] = "random"
    if p <= 0.05:
        verdict = "clustered" if scaled[0, at] > 0 else "regular"
    nearest = np.array([nearest_distances(pattern).mean() for pattern in drawn])
    seen = float(nearest_distances(places).mean())
    return Pattern(
        verdict=verdict,
        p=p,
        radii=r,
        l=curves[0],
        low=np.maximum(mean - reach * spread, 0),
        high=mean + reach * spread,
        clark_evans=seen / float(nearest.mean()),
        clark_evans_z=(seen - float(nearest.mean())) / max(float(nearest.std(ddof=1)), 1e-9),
    )


def disk_in_rectangle(points: ArrayLike, window: Rectangle, radius: float) -> Floats:
    """Return the area of the disk around each point that lies in the rectangle, shape (n,); within 0.1 %."""
    places = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    low = np.maximum(places[:, :1] - radius, 0.0)
    thick = (np.minimum(places[:, :1] + radius, window.height) - low) / _STRIPS
    dy = low + thick * (np.arange(_STRIPS) + 0.5) - places[:, :1]
    half = np.sqrt(np.maximum(radius**2 - dy**2, 0))
    right = np.minimum(window.width, places[:, 1:] + half)
    left = np.maximum(0.0, places[:, 1:] - half)
    area: Floats = (np.maximum(right - left, 0) * thick).sum(axis=1)
    return area
