"""The contract of segmenters: one named rule per hazard of an image or of an executor."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.errors import AnalysisError
from phenoloop.ports import Segmentation, Segmenter

SegmenterFactory = Callable[[], Segmenter]
"""Makes a fresh segmenter; must pickle, for worker processes: ``functools.partial(MyClass, MyClass.Params())`` does."""


def small_field(seed: int = 0, side: int = 256, *, objects: int = 36) -> NDArray[np.uint8]:
    """Return bright round objects of 18 px on a dark noisy background, ``(side, side)``, always the same for a seed."""
    rng = np.random.default_rng([23, seed])
    y, x = np.mgrid[:side, :side]
    image = rng.normal(20, 3, (side, side))
    for place in rng.permutation((side // 32) ** 2)[:objects]:
        row, column = divmod(int(place), side // 32)
        cy, cx = 16 + 32 * row + rng.uniform(-4, 4), 16 + 32 * column + rng.uniform(-4, 4)
        image += rng.uniform(60, 140) / (1 + np.exp(1.5 * (np.hypot(y - cy, x - cx) - 9)))
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _checked(segmenter: Segmenter, image: NDArray[Any], what: str) -> Segmentation:
    found = segmenter.segment(image)
    labels = found.labels
    assert isinstance(found, Segmentation), f"{what}: segment() returned {type(found).__name__}, not Segmentation"
    assert labels.shape == image.shape, f"{what}: labels of shape {labels.shape} for an image of {image.shape}"
    assert labels.dtype == np.int32, f"{what}: labels are {labels.dtype}, not int32"
    present = np.unique(labels)
    n = int(labels.max())
    assert present[0] >= 0, f"{what}: negative labels"
    assert present[present > 0].tolist() == list(range(1, n + 1)), f"{what}: labels are not dense from 1"
    if found.scores is not None:
        assert found.scores.shape == (n,), f"{what}: {found.scores.shape} scores for {n} objects"
        assert ((found.scores >= 0) & (found.scores <= 1)).all(), f"{what}: scores outside 0..1"
    return found


def _same(one: Segmentation, other: Segmentation, what: str) -> None:
    assert np.array_equal(one.labels, other.labels), (
        f"{what}: {np.mean(one.labels != other.labels):.2%} of pixels differ"
    )
    assert (one.scores is None) == (other.scores is None), f"{what}: scores of one and not of the other"
    if one.scores is not None and other.scores is not None:
        assert np.allclose(one.scores, other.scores, atol=1e-6), f"{what}: the scores differ"


def _finds(factory: SegmenterFactory) -> None:
    found = int(_checked(factory(), small_field(), "36 objects").labels.max())
    assert 18 <= found <= 72, f"{found} objects in an image of 36: bright on dark, 18 px wide"


def _no_objects(image: NDArray[Any], what: str) -> Callable[[SegmenterFactory], None]:
    def check(factory: SegmenterFactory) -> None:
        assert _checked(factory(), image, what).labels.max() == 0, f"{what}: objects where there are none"

    return check


def _any_right_answer(image: NDArray[Any], what: str) -> Callable[[SegmenterFactory], None]:
    def check(factory: SegmenterFactory) -> None:
        _checked(factory(), image, what)

    return check


def _refuses(image: NDArray[Any], what: str) -> Callable[[SegmenterFactory], None]:
    def check(factory: SegmenterFactory) -> None:
        try:
            factory().segment(image)
        except AnalysisError as error:
            said = str(error)
        else:
            said = ""
        assert len(said) > 20, f"{what}: an AnalysisError was due that says what is wrong, and the way out"

    return check


def _as_8_bit(convert: Callable[[NDArray[Any]], NDArray[Any]], what: str) -> Callable[[SegmenterFactory], None]:
    def check(factory: SegmenterFactory) -> None:
        image = small_field(1)
        segmenter = factory()
        kept = (converted := convert(image)).copy()
        one, other = _checked(segmenter, image, "8-bit"), _checked(segmenter, converted, what)
        assert np.array_equal(kept, converted), f"{what}: the image was changed"
        # arithmetic in floats may move single pixels of an outline
        differ = float(np.mean((one.labels > 0) != (other.labels > 0)))
        assert differ < 1e-3, f"{what}: {differ:.2%} of pixels are not as in the same image of 8 bits"
        assert one.labels.max() == other.labels.max(), f"{what}: another number of objects than in 8 bits"

    return check


def _deterministic(factory: SegmenterFactory) -> None:
    image, segmenter = small_field(2), factory()
    first = _checked(segmenter, image, "first")
    _checked(segmenter, small_field(3), "another image")
    _same(first, _checked(segmenter, image, "again"), "asked twice")
    _same(first, _checked(factory(), image, "a second segmenter"), "two segmenters")


def _batches(factory: SegmenterFactory) -> None:
    segmenter: Any = factory()
    many = getattr(segmenter, "segment_many", None)
    images = [small_field(s, side) for s, side in ((4, 256), (5, 256), (6, 192), (7, 320))]
    images.insert(2, np.full((64, 64), 7, np.uint8))
    together = [segmenter.segment(image) for image in images] if many is None else many(images)
    assert len(together) == len(images), "segment_many: one answer per image"
    for image, found in zip(images, together, strict=True):
        _same(_checked(segmenter, image, "alone"), found, "alone and in a batch")


def _segment_with(factory: SegmenterFactory, seed: int) -> Segmentation:
    return factory().segment(small_field(seed))


def _threads(factory: SegmenterFactory) -> None:
    images = [small_field(seed) for seed in range(8, 12)]
    segmenter = factory()
    alone = [segmenter.segment(image) for image in images]
    with ThreadPoolExecutor(3) as pool:
        for one, other in zip(alone, pool.map(segmenter.segment, images), strict=True):
            _same(one, other, "in one thread and in three")


def _processes(factory: SegmenterFactory) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = [pool.submit(_segment_with, factory, seed).result() for seed in (12, 13)]
    for seed, found in zip((12, 13), there, strict=True):
        _same(factory().segment(small_field(seed)), found, "here and in a worker process")


def _parameters(factory: SegmenterFactory) -> None:
    segmenter: Any = factory()
    model = getattr(type(segmenter), "Params", None)
    assert model is not None, "a segmenter has a pydantic model `Params`, so that a protocol can be checked"
    params = getattr(segmenter, "params", None)
    assert isinstance(params, model), "a segmenter keeps its parameters as `params`"
    assert pickle.loads(pickle.dumps(params)) == params, "the parameters pickle"
    again = model(**json.loads(json.dumps(params.model_dump(mode="json"))))
    assert again == params, "the parameters survive resolved.json"


def _describes(factory: SegmenterFactory) -> None:
    segmenter: Any = factory()
    if hasattr(segmenter, "warm_up"):
        segmenter.warm_up((64, 96))
    if hasattr(segmenter, "describe"):
        json.dumps(segmenter.describe(), allow_nan=False)


_NAN: Final = np.where(np.eye(64) > 0, np.nan, 1.0)
SEGMENTER_RULES: Final[Mapping[str, Callable[[SegmenterFactory], None]]] = MappingProxyType(
    {
        "finds objects": _finds,
        "0 objects": _any_right_answer(small_field(objects=0), "noise without objects"),
        "constant": _no_objects(np.full((64, 64), 7, np.uint8), "a constant image"),
        "black": _no_objects(np.zeros((64, 64), np.uint16), "a black image"),
        "1 px": _no_objects(np.ones((1, 1), np.uint8), "an image of 1 px"),
        "1 row": _any_right_answer(np.arange(300, dtype=np.uint16)[None], "one row"),
        "small": _any_right_answer(small_field()[:40, :23], "40 x 23 px"),
        "not square": _any_right_answer(small_field()[:131], "131 x 256 px"),
        "NaN": _refuses(_NAN, "NaN"),
        "infinite": _refuses(np.where(np.eye(64) > 0, np.inf, 1.0), "infinite pixels"),
        "colour": _refuses(np.zeros((64, 64, 3), np.uint8), "a colour image"),
        "stack": _refuses(np.zeros((5, 64, 64), np.uint8), "a stack"),
        "empty": _refuses(np.zeros((0, 64), np.uint8), "an empty array"),
        "16-bit": _as_8_bit(lambda image: image.astype(np.uint16) * 257, "16-bit"),
        "12-bit with offset": _as_8_bit(lambda image: image.astype(np.uint16) + 100, "12-bit"),
        "float": _as_8_bit(lambda image: image.astype(np.float32) / 255, "float"),
        "float64 of tiny values": _as_8_bit(lambda image: image * 1e-9, "float64"),
        "strided": _as_8_bit(lambda image: np.repeat(image, 2, 1)[:, ::2], "strided"),
        "deterministic": _deterministic,
        "batched as single": _batches,
        "threads": _threads,
        "processes": _processes,
        "parameters": _parameters,
        "description": _describes,
    }
)
"""The contract of a segmenter, rule by rule: each is called with a factory, and raises AssertionError."""


def assert_segmenter(factory: SegmenterFactory) -> None:
    """Check the contract of a segmenter (`phenoloop.ports.Segmenter`, and `BatchSegmenter` where it is one).

    Labels are int32 and dense, scores one per object in 0..1; images of no objects, of one pixel, of 8 and 16 bits and
    floats get a right answer, NaN and colour one clear error; the answer does not depend on when, where and with what
    else it was asked for.

    Parameters
    ----------
    factory : callable
        Makes a fresh segmenter; must pickle (see `SegmenterFactory`).

    Raises
    ------
    AssertionError
        With the rule that was broken.
    """
    for name, rule in SEGMENTER_RULES.items():
        try:
            rule(factory)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
