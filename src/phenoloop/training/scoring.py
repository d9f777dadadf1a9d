"""How well labels agree with the truth: matched, missed and invented objects at each overlap; AUROC of a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

OVERLAPS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Intersections over unions at which agreement is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of one image, or summed over some.

    Attributes
    ----------
    matched : ndarray of float64, shape (len(OVERLAPS),)
        Objects found at least that well: true positives.
    true, found : int
        Objects in the truth and in the segmentation.
    """

    matched: NDArray[np.float64]
    true: int
    found: int

    def precision(self) -> NDArray[np.float64]:
        """Return AP = TP / (TP + FP + FN) at each overlap; 1 where there is nothing and nothing was found."""
        if self.true + self.found == 0:
            return np.ones(len(OVERLAPS))
        return self.matched / (self.true + self.found - self.matched)

    def f1(self) -> NDArray[np.float64]:
        """Return F1 = 2 TP / (2 TP + FP + FN) at each overlap; 1 where there is nothing and nothing was found."""
        if self.true + self.found == 0:
            return np.ones(len(OVERLAPS))
        return 2 * self.matched / (self.true + self.found)


def agreement(truth: NDArray[Any], found: NDArray[Any]) -> Agreement:
    """Compare two label images of one shape.

    At an overlap of 0.5 or more an object can match one other only (two halves apart, where the first is taken), so
    that no assignment is needed.
    """
    overlap = overlaps(truth, found)
    best = overlap.max(axis=1, initial=0.0)
    unique = np.zeros(best.shape, dtype=np.bool_)
    if overlap.size:
        partner = overlap.argmax(axis=1)
        order = np.argsort(-best, kind="stable")
        taken: set[int] = set()
        for k in order[best[order] >= OVERLAPS[0]]:
            unique[k] = int(partner[k]) not in taken
            taken.add(int(partner[k]))
    matched = np.array([float((unique & (best >= limit)).sum()) for limit in OVERLAPS])
    return Agreement(matched=matched, true=overlap.shape[0], found=overlap.shape[1])


def total(parts: Sequence[Agreement]) -> Agreement:
    """Return the sum of some agreements: the pooled counts."""
    return Agreement(
        matched=np.sum([part.matched for part in parts], axis=0) if parts else np.zeros(len(OVERLAPS)),
        true=sum(part.true for part in parts),
        found=sum(part.found for part in parts),
    )


def overlaps(truth: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection over union of each true and each found object, shape (true, found), in label order."""
    (true, n), (other, m) = _dense(truth), _dense(found)
    shared = np.bincount(true * m + other, minlength=n * m).reshape(n, m).astype(np.float64)
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    overlap: NDArray[np.float64] = (shared / np.maximum(union, 1))[1:, 1:]
    return overlap


def _dense(labels: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """Return labels, flat, numbered without gaps from 0 for the background, and how many numbers there are."""
    flat = labels.ravel().astype(np.intp)
    present = np.bincount(flat, minlength=1) > 0
    present[0] = True
    number = np.cumsum(present) - 1
    return number[flat], int(number[-1]) + 1


def auroc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """Return the chance that a right object scores above a wrong one (ties count half); None without both kinds."""
    n, m = int(right.sum()), int((~right).sum())
    if n == 0 or m == 0:
        return None
    _values, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    return float((rank[where][right].sum() - n * (n + 1) / 2) / (n * m))
