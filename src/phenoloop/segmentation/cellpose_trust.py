"""How far to trust an object of Cellpose, from what `eval` computes anyway: flow error, flows and logit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from phenoloop.numerics.images import disk
from phenoloop.segmentation.distance import distance_of
from phenoloop.segmentation.finding import confidence

TRAITS: Final = ("misfit", "outline", "sharpness", "peak", "pace", "roundness")
"""What an object's score is derived from (see `traits`)."""
_AROUND: Final = 3
"""So many px beyond an outline still say whether it is the right one."""
_ELLIPSE: Final = 1 / 3
"""Mean of the normalised distance over a filled ellipse."""


def traits(labels: NDArray[np.int32], flows: NDArray[np.float32], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what speaks for and against each object, shape (n, 6), in the order of `TRAITS`.

    *misfit*: the flow error. *outline*: how well the foreground probability p agrees with the outline, mean of p inside
    and 1 - p up to 3 px outside. *sharpness*: mean of ``|2 p - 1|`` inside. *peak*: highest logit. *pace*: mean of
    ``| |flow| / 5 - 1 |``, 0 where the network is sure of the way. *roundness*: how far the mean of the normalised
    distance is from that of an ellipse, which is large where one object is really two.

    Parameters
    ----------
    labels : ndarray of int32, shape (y, x)
        Dense from 1.
    flows : ndarray of float32, shape (3, y, x)
        As Cellpose's networks give them: y, x, logit.
    errors : ndarray of float64, shape (n,)
        The flow errors.
    """
    n = errors.size
    if n == 0:
        return np.zeros((0, len(TRAITS)))
    grown = cv2.dilate(labels.astype(np.float32), disk(_AROUND)).ravel().astype(np.intp)
    near = np.flatnonzero(grown > 0)
    own, inside = grown[near], labels.ravel()[near] > 0
    own[inside] = labels.ravel()[near[inside]]  # where two are close, a pixel inside belongs to its own
    p = 1 / (1 + np.exp(-flows[2].ravel()[near].astype(np.float64)))
    outline = _mean(np.where(inside, p, 1 - p), own, n)
    pixels, owner = near[inside], own[inside]
    peak = np.full(n + 1, -np.inf)
    np.maximum.at(peak, owner, flows[2].ravel()[pixels].astype(np.float64))
    pace = np.abs(np.hypot(flows[0].ravel()[pixels], flows[1].ravel()[pixels]) / 5 - 1)
    shape = np.abs(_mean(distance_of(owner, pixels, labels.shape[1]), owner, n) - _ELLIPSE)
    sharpness = _mean(np.abs(2 * p[inside] - 1), owner, n)
    return np.stack((errors, outline, sharpness, peak[1:], _mean(pace, owner, n), shape), axis=1)


def trust(found: NDArray[np.float64], weights: Sequence[float] | None) -> NDArray[np.float64]:
    """Return a score of each object, 0..1, from its traits, shape (n, 6).

    Parameters
    ----------
    found : ndarray of float64, shape (n, 6)
        From `traits`.
    weights : sequence of float or None
        Intercept and one weight for each of `TRAITS`: the score is then a probability, by a logistic that was fitted to
        objects of the same network. None: ``outline^2 / (1 + misfit)``, which orders objects by trust whatever network
        they come from, and is no probability.
    """
    if weights is not None:
        return confidence(found, weights)
    score: NDArray[np.float64] = found[:, 1] ** 2 / (1 + found[:, 0])
    return score


def _mean(values: NDArray[Any], owner: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    total = np.bincount(owner, weights=values, minlength=n + 1)
    return total[1:] / np.maximum(np.bincount(owner, minlength=n + 1)[1:], 1)
