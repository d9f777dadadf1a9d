"""What a trained model is worth: its scores on images it never saw, per size, and when to trust one of its objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.segmentation.finding import Settings, find, traits
from phenoloop.segmentation.heads import decode
from phenoloop.segmentation.runtime import Network
from phenoloop.training.crops import Crops
from phenoloop.training.pairs import Pair
from phenoloop.training.scoring import OVERLAPS, Agreement, agreement, auroc, overlaps, total

_RIGHT: Final = 0.5
"""An object is right when it overlaps a true one by this much."""
_RIDGE: Final = 1e-3


def fit_confidence(network: Network, settings: Settings, crops: Crops, batches: Iterable[int]) -> tuple[float, ...]:
    """Return intercept and weights of a logistic regression from an object's traits to its being right.

    Learned on augmented crops that the training did not draw: dimmed, blurred, noisy, rendered, so that many objects
    are wrong. Empty if none is wrong, or none right.
    """
    found, right = [], []
    for k in batches:
        for image, labels in crops.draw(k):
            decoded = decode(
                network.predict(image, settings.multiple), settings.head, settings.threshold, settings.seed
            )
            small = decoded.objects()
            n = int(small.max(initial=0))
            there = np.bincount(small.ravel(), minlength=n + 1)[1:] > 0
            if not there.any():
                continue
            found.append(traits(decoded, small, n)[there])
            right.append(overlaps(labels, small).max(axis=0, initial=0.0) >= _RIGHT)
    return logistic(np.concatenate(found), np.concatenate(right)) if found else ()


def logistic(x: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return intercept and weights by Newton's method, with a slight ridge on those of the standardised traits."""
    if y.all() or not y.any():
        return ()
    middle, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    design = np.column_stack((np.ones(len(x)), (x - middle) / spread))
    ridge = np.diag([0.0] + [_RIDGE] * x.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design / len(x) + ridge
        step = np.linalg.solve(hessian, design.T @ (y - p) / len(x) - ridge @ weights)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    slopes = weights[1:] / spread
    return tuple(round(float(w), 6) for w in (weights[0] - slopes @ middle, *slopes))


def score_card(network: Network, settings: Settings, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the scores on held-out images, JSON-ready: every image, every size, all.

    ``mean`` is the mean over images of ``AP = TP / (TP + FP + FN)``, ``pooled`` that of the summed counts; one number
    for each overlap of ``overlaps``. ``auroc`` is that of the confidence, over all objects.
    """
    images: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[Agreement]] = {}
    scores, right = [], []
    for pair in pairs:
        result = find(pair.image, network, settings)
        agrees = agreement(pair.labels, result.labels)
        images[pair.name] = {
            "size": pair.size,
            "true": agrees.true,
            "found": agrees.found,
            "ap": _rounded(agrees.precision()),
        }
        for group in (pair.size, "all"):
            groups.setdefault(group, []).append(agrees)
        if result.scores is not None:
            scores.append(result.scores)
            right.append(overlaps(pair.labels, result.labels).max(axis=0, initial=0.0) >= _RIGHT)
    area = auroc(np.concatenate(scores), np.concatenate(right)) if scores else None
    return {
        "overlaps": list(OVERLAPS),
        "sizes": {group: _summary(parts) for group, parts in sorted(groups.items())},
        "auroc": None if area is None else round(area, 4),
        "images": images,
    }


def _summary(parts: Sequence[Agreement]) -> dict[str, Any]:
    whole = total(parts)
    return {
        "images": len(parts),
        "true": whole.true,
        "found": whole.found,
        "mean": _rounded(np.mean([part.precision() for part in parts], axis=0)),
        "pooled": _rounded(whole.precision()),
        "pooled_f1": _rounded(whole.f1()),
    }


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]


def with_confidence(settings: Settings, weights: tuple[float, ...]) -> Settings:
    """Return the settings with the confidence that was learned."""
    return dataclasses.replace(settings, confidence=weights)
