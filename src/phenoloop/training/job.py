"""`phenoloop train` as a function: a folder of annotated images becomes an ONNX file and its card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from phenoloop.errors import UsageError
from phenoloop.segmentation.finding import TRAITS, Settings
from phenoloop.segmentation.runtime import network as load
from phenoloop.training.crops import Crops, lessons, rendered
from phenoloop.training.fitting import Schedule, fit
from phenoloop.training.judging import fit_confidence, score_card, with_confidence
from phenoloop.training.network import (
    MULTIPLE,
    WIDTHS,
    count_weights,
    declare,
    export,
    quantise,
    torch_or_error,
)
from phenoloop.training.pairs import Pair, divide, make_split, read_pairs, read_split

HELD_OUT: Final = 0.2
WORKING: Final = (17.0, 20.0)
"""Range of typical diameters that the network is shown, px. Smaller is faster, larger draws finer outlines."""
_BATCH: Final = 8
_RANGED: Final = 6
"""Batches from which the ranges of the 8-bit numbers are learned."""
_JUDGED: Final = 60
"""Batches from which the confidence is learned."""
_PACKAGES: Final = ("phenoloop", "torch", "numpy", "opencv-python-headless", "onnx", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides what comes out, but the data.

    Attributes
    ----------
    steps : int
        Batches of 8 crops.
    seed : int
        Of weights, crops, rendered images, and of the split where none is given.
    rendered : int
        Rendered images beside the annotated ones.
    threads : int
        Of PyTorch.
    """

    steps: int = 8000
    seed: int = 1
    rendered: int = 200
    threads: int = 2


def train(folder: Path, out: Path, recipe: Recipe, split: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Train the network of `unet`, write it, score it on the images held out, write its card beside it.

    Parameters
    ----------
    folder : Path
        Holds ``images/`` and ``labels/``.
    out : Path
        The ONNX file; the card is the same with the suffix ``.json``.
    recipe : Recipe
        Seed and size.
    split : Path or None
        CSV of file, part and sha256; None holds out a fifth of the images of each size.
    say : callable
        Gets lines of progress.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    UsageError
        Without PyTorch, or if data, split or `out` cannot be used.
    """
    torch_or_error()
    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the model is written as ONNX; call it {out.with_suffix('.onnx').name}.")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent}: there is no such folder.")
    pairs = read_pairs(folder)
    parts = read_split(split) if split else make_split(pairs, HELD_OUT, recipe.seed)
    learned, held_out = divide(pairs, parts)
    if not any(pair.labels.any() for pair in learned):
        raise UsageError(f"{folder}: no image to train on holds an annotated object.")
    say(f"{len(learned)} images to train on, {len(held_out)} held out, {recipe.rendered} rendered")
    crops = Crops(
        lessons(learned, WORKING), rendered(recipe.rendered, sum(WORKING) / 2, recipe.seed), _BATCH, recipe.seed
    )
    trained = fit(crops, Schedule(steps=recipe.steps, seed=recipe.seed, threads=recipe.threads), say)
    floats = out.with_suffix(".float.onnx")
    try:
        export(trained, floats)
        return finish(floats, out, crops, recipe, (learned, held_out), say)
    finally:
        floats.unlink(missing_ok=True)


def finish(
    floats: Path,
    out: Path,
    crops: Crops,
    recipe: Recipe,
    parts: tuple[Sequence[Pair], Sequence[Pair]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Quantise an exported network, learn when to trust its objects, score it on the images held out, write its card.

    Parameters
    ----------
    floats, out : Path
        What was exported, and the model to write.
    crops : Crops
        Batches beyond those of the training serve to learn ranges and confidence.
    recipe : Recipe
        For the card.
    parts : pair of sequence of Pair
        Images trained on, and held out.
    say : callable
        Gets lines of progress.
    """
    unseen = iter(range(recipe.steps, recipe.steps + _RANGED + _JUDGED))
    quantise(floats, out, (crops.batch(next(unseen))[0] for _ in range(_RANGED)))
    settings = Settings(head="flows", working=WORKING, multiple=MULTIPLE)
    declare(out, declaration(settings))
    settings = with_confidence(settings, fit_confidence(load(out), settings, crops, unseen))
    declare(out, declaration(settings))
    network = load(out)
    say(f"{out}: {out.stat().st_size / 1e6:.2f} MB, runs on {network.provider}; scoring the images held out")
    learned, held_out = parts
    card = {
        "architecture": {
            "kind": "residual U-Net at half resolution (phenoloop.training.network), 8-bit",
            "widths": list(WIDTHS),
            "parameters": count_weights(floats),
        },
        "declaration": declaration(settings),
        "sha256": network.sha256,
        "recipe": asdict(recipe),
        "versions": {name: _version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "data": {
            "images": len(learned) + len(held_out),
            "sha256": _digest([*learned, *held_out]),
            "train": {pair.name: pair.sha256 for pair in learned},
            "test": {pair.name: pair.sha256 for pair in held_out},
        },
        "scores": score_card(network, settings, held_out),
    }
    out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def declaration(settings: Settings) -> dict[str, str]:
    """Return what a model's file says of itself: its head, its working sizes and its confidence."""
    assert settings.working is not None
    return {
        "phenoloop.head": settings.head,
        "phenoloop.working": json.dumps(settings.working),
        "phenoloop.multiple": str(settings.multiple),
        "phenoloop.confidence": json.dumps(settings.confidence),
        "phenoloop.traits": json.dumps(TRAITS if settings.confidence else ()),
    }


def _digest(pairs: Sequence[Pair]) -> str:
    return hashlib.sha256(
        "\n".join(f"{pair.name} {pair.sha256}" for pair in sorted(pairs, key=lambda pair: pair.name)).encode()
    ).hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
