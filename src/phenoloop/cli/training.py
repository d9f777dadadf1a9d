"""`train`: a network for one's own images; tells the scores on those that were held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phenoloop.cli.telling import say
from phenoloop.training.job import Recipe, train


def train_model(folder: Path, *, out: Path, split: Path | None, recipe: Recipe) -> None:
    """Train, write the model and its card, and print what it scores on the images held out.

    Raises
    ------
    UsageError
        Without PyTorch, or if data, split or `out` cannot be used.
    """
    card = train(folder, out, recipe, split, say)
    scores: dict[str, Any] = card["scores"]
    limits = [scores["overlaps"].index(limit) for limit in (0.5, 0.75, 0.9)]
    say(f"{'size':>12} images objects  found  AP@0.5 AP@0.75 AP@0.9  (mean over images held out)")
    for size, group in scores["sizes"].items():
        ap = "  ".join(f"{group['mean'][k]:6.3f}" for k in limits)
        say(f"{size:>12} {group['images']:6} {group['true']:7} {group['found']:6}  {ap}")
    say(f"{out} and {out.with_suffix('.json')}: use it with  segment: {{kind: unet, model: {out}}}")
