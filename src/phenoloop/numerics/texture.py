"""Grey-level co-occurrence of many objects at once, and what Haralick reads off it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.bincount import Groups

Floats = NDArray[np.float64]

LEVELS: Final = 16


def grey_levels(groups: Groups, values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the grey level, 0..15, of each pixel: sixteen equal steps from its object's 1st to its 99th percentile.

    Parameters
    ----------
    groups : Groups
        The objects.
    values : ndarray, shape (pixels,)
        In the order of ``groups.index``.
    """
    ordered = groups.ordered(values)
    low, high = groups.quantile(ordered, 0.01), groups.quantile(ordered, 0.99)
    step = np.where(high > low, (high - low) / LEVELS, 1.0)
    level = (values - groups.spread(low)) / groups.spread(step)
    return np.asarray(np.clip(level, 0, LEVELS - 1), dtype=np.int64)


def cooccurrence(groups: Groups, level: NDArray[np.int64], labels: NDArray[np.int32], distance: int) -> Floats:
    """Count pairs of grey levels at a distance in four directions, both ways, within each object.

    Parameters
    ----------
    groups : Groups
        The objects.
    level : ndarray of int64, shape (pixels,)
        From `grey_levels`.
    labels : ndarray of int32, shape (y, x)
        The objects again, as an image.
    distance : int
        In px; along the diagonals this many steps, as in Haralick's definition (largest of both offsets).

    Returns
    -------
    ndarray of float64, shape (n, 16, 16)
        Symmetric counts.
    """
    height, width = labels.shape
    flat = labels.ravel()
    grey = np.zeros(labels.size, dtype=np.int64)
    grey[groups.index] = level
    row = groups.index // width
    column = groups.index - row * width
    counts = np.zeros(groups.n * LEVELS * LEVELS)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        y, x = dy * distance, dx * distance
        at = np.flatnonzero((row + y < height) & (column + x >= 0) & (column + x < width))
        other = groups.index[at] + (y * width + x)
        at = at[flat[other] == groups.group[at] + 1]
        other = groups.index[at] + (y * width + x)
        code = (groups.group[at] * LEVELS + level[at]) * LEVELS + grey[other]
        counts += np.bincount(code, minlength=counts.size)
    pairs = counts.reshape(groups.n, LEVELS, LEVELS)
    both: Floats = pairs + pairs.transpose(0, 2, 1)
    return both


def haralick(pairs: Floats) -> dict[str, Floats]:
    """Return texture statistics (Haralick et al. 1973, doi 10.1109/TSMC.1973.4309314).

    Parameters
    ----------
    pairs : ndarray of float64, shape (n, levels, levels)
        Symmetric counts.

    Returns
    -------
    dict of str to ndarray of float64, each of shape (n,)
        ``contrast``, ``correlation`` (1 where all pixels are alike, as in scikit-image), ``energy`` (the angular second
        moment), ``homogeneity``, ``entropy`` (bits), ``sum_entropy``, ``difference_entropy``, ``difference_variance``;
        NaN for an object without pairs.
    """
    n, levels, _ = pairs.shape
    total = pairs.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = pairs / total[:, None, None]
    i = np.arange(levels)
    apart = i[:, None] - i[None, :]
    flat = p.reshape(n, levels * levels)
    marginal = p.sum(axis=2)
    mean = marginal @ i
    variance = marginal @ i**2 - mean**2
    product = flat @ (i[:, None] * i[None, :]).ravel() - mean**2
    sums = flat @ (np.add.outer(i, i).ravel()[:, None] == np.arange(2 * levels - 1)).astype(np.float64)
    differences = flat @ (np.abs(apart).ravel()[:, None] == i).astype(np.float64)
    difference_mean = differences @ i
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(variance > 1e-12, product / variance, np.where(total > 0, 1.0, np.nan))
    return {
        "contrast": flat @ (apart**2).ravel(),
        "correlation": correlation,
        "energy": (flat**2).sum(axis=1),
        "homogeneity": flat @ (1 / (1 + apart**2)).ravel(),
        "entropy": _entropy(flat),
        "sum_entropy": _entropy(sums),
        "difference_entropy": _entropy(differences),
        "difference_variance": differences @ i**2 - difference_mean**2,
    }


def _entropy(p: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p == 0, 0.0, p * np.log2(p))
    return np.asarray(-terms.sum(axis=1), dtype=np.float64)
