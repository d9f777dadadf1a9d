"""How bright each object is in a channel: its pixels, its ring, its outline, and against another channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.measure.objects import Objects
from phenoloop.measure.shape import Columns
from phenoloop.numerics.images import percentile

Image = NDArray[Any]
Floats = NDArray[np.float64]

BACKGROUND_PERCENTILE = 5.0


def intensity(objects: Objects, image: Image) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.INTENSITY`."""
    groups, ring = objects.groups, objects.ring
    raw = groups.take(image)
    values = raw.astype(np.float64)
    total = groups.sum(values)
    mean = total / np.maximum(groups.count, 1)
    beside = ring.sum(image.ravel()[ring.index])
    background = percentile(image, BACKGROUND_PERCENTILE)
    with np.errstate(divide="ignore", invalid="ignore"):
        around = np.where(ring.area > 0, beside / ring.area, np.nan)
        ratio = np.where(around != background, (mean - background) / (around - background), np.nan)
    return {
        "mean": mean,
        "sum": total,
        "min": groups.minimum(raw),
        "max": groups.maximum(raw),
        "sd": groups.sd(values, mean),
        "ring": around,
        "ratio": ratio,
    }


def quantiles(objects: Objects, image: Image) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.QUANTILES`."""
    groups = objects.groups
    raw = groups.take(image)
    ordered = groups.ordered(raw)
    median = groups.quantile(ordered, 0.5)
    values = raw.astype(np.float64)
    away = values - groups.spread(groups.mean(values))
    squared = away * away
    variance, third, fourth = groups.mean(squared), groups.mean(squared * away), groups.mean(squared * squared)
    # below that, rounding is all there is
    varies = variance > 1e-12 * np.maximum(groups.maximum(np.abs(raw)), 1e-300) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.where(varies, third / variance**1.5, np.nan)
        kurtosis = np.where(varies, fourth / variance**2 - 3, np.nan)
    return {
        "median": median,
        "mad": groups.quantile(groups.ordered(np.abs(values - groups.spread(median))), 0.5),
        **{f"q{q:02d}": groups.quantile(ordered, q / 100) for q in (5, 25, 75, 95)},
        "skewness": skewness,
        "kurtosis": kurtosis,
    }


def compartments(objects: Objects, image: Image) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.COMPARTMENTS`."""
    groups, ring, flat = objects.groups, objects.ring, image.ravel()
    beside = flat[ring.index].astype(np.float64)
    ring_sum = ring.sum(beside)
    edge = flat[objects.outline].astype(np.float64)
    edge_of = objects.labels.ravel()[objects.outline]
    edge_count = np.bincount(edge_of, minlength=objects.n + 1)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        ring_mean = np.where(ring.area > 0, ring_sum / ring.area, np.nan)
        away = (beside - np.concatenate(([0.0], ring_mean))[ring.owner]) ** 2
        ring_sd = np.where(ring.area > 0, np.sqrt(ring.sum(away) / ring.area), np.nan)
        edge_mean = np.bincount(edge_of, weights=edge, minlength=objects.n + 1)[1:] / edge_count
        away = (edge - np.concatenate(([0.0], edge_mean))[edge_of]) ** 2
        edge_sd = np.sqrt(np.bincount(edge_of, weights=away, minlength=objects.n + 1)[1:] / edge_count)
    return {
        "ring_sum": ring_sum,
        "ring_sd": ring_sd,
        "ring_area": ring.area,
        "ring_difference": groups.mean(groups.take(image)) - ring_mean,
        "edge_mean": edge_mean,
        "edge_sd": edge_sd,
    }


def colocalisation(objects: Objects, image: Image, other: Image) -> Columns:
    """Return the columns of `phenoloop.model.channel_features.PAIRS`, of one channel against another."""
    groups = objects.groups
    one, two = groups.take(image), groups.take(other)
    slope = _moments(objects, one.astype(np.float64), two.astype(np.float64))
    ranks = _moments(objects, _ranks(objects, one), _ranks(objects, two))
    return {"pearson": slope[0], "spearman": ranks[0], "slope": slope[1]}


def _moments(objects: Objects, one: Floats, two: Floats) -> tuple[Floats, Floats]:
    """Return correlation, and slope of the first on the second, per object."""
    groups = objects.groups
    top = np.maximum(groups.maximum(np.abs(one)), 1e-300), np.maximum(groups.maximum(np.abs(two)), 1e-300)
    one = one - groups.spread(groups.mean(one))
    two = two - groups.spread(groups.mean(two))
    first, second, both = groups.mean(one * one), groups.mean(two * two), groups.mean(one * two)
    varies, second_varies = first > 1e-12 * top[0] ** 2, second > 1e-12 * top[1] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(varies & second_varies, both / np.sqrt(first * second), np.nan)
        slope = np.where(second_varies, both / second, np.nan)
    return np.clip(correlation, -1, 1), slope


def _ranks(objects: Objects, values: Image) -> Floats:
    """Return the rank of each pixel within its object; ties share their mean rank."""
    groups = objects.groups
    order = groups.order(values)
    ordered, owner = values[order], groups.group[order]
    first = np.ones(values.size, dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]) | (owner[1:] != owner[:-1])
    start = np.flatnonzero(first)
    length = np.diff(start, append=values.size)
    ranks = np.empty(values.size)
    # from the first of its object, so that the numbers stay small
    ranks[order] = np.repeat(start + (length - 1) / 2, length) - groups.spread(np.cumsum(groups.count) - groups.count)
    return ranks
