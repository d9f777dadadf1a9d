"""The verbs beside a run: segmenters on one's own images, training, a look at the computer and at what is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from phenoloop.cli.telling import Debug, say, told


def segment(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="TIFF, PNG and others.", show_default=False)],
    kind: Annotated[str, typer.Option("--kind", metavar="K", help="Segmenter; see `phenoloop plugins`.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the labels; made if need be.")],
    parameters: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="Parameter of the segmenter; repeatable."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Segment your own images, to judge a segmenter before you trust it: one labels TIFF per image."""
    with told(debug):
        from phenoloop.cli.segmenting import segment_images

        segment_images(images, kind=kind, out=out, parameters=parameters or ())


def train(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Holds images/ and labels/, equal names.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL.onnx", help="The model; its card lies beside it.")],
    split: Annotated[
        Path | None,
        typer.Option(
            "--split", metavar="FILE", help="CSV: file, part (train, test), sha256.", show_default="hold out 20 %"
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Decides all that is drawn.")] = 1,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Batches of 8 crops.")] = 8000,
    rendered: Annotated[int, typer.Option("--rendered", metavar="N", min=0, help="Rendered images added.")] = 200,
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, help="Threads of PyTorch.")] = 2,
    debug: Debug = False,
) -> None:
    """Train a network for `unet` on annotated images of your own; needs the extra `train`."""
    with told(debug):
        from phenoloop.cli.training import train_model
        from phenoloop.training.job import Recipe

        recipe = Recipe(steps=steps, seed=seed, rendered=rendered, threads=threads)
        train_model(folder, out=out, split=split, recipe=recipe)


def doctor(
    microscope: Annotated[
        str | None,
        typer.Argument(metavar="MICROSCOPE", help="Also load this microscope. Moves hardware.", show_default=False),
    ] = None,
    debug: Debug = False,
) -> None:
    """Look at this computer, and at a microscope, before a protocol is run."""
    with told(debug):
        from phenoloop.cli.doctoring import examine

        raise typer.Exit(examine(microscope))


def schema(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of printing.")] = None,
    debug: Debug = False,
) -> None:
    """Print the JSON Schema of protocols, for editors."""
    with told(debug):
        from phenoloop.plugins import Registry
        from phenoloop.protocol import json_schema

        text = json.dumps(json_schema(Registry()), indent=2) + "\n"
        if out is None:
            sys.stdout.write(text)
            return
        out.write_text(text, encoding="utf-8")
        say(f"{out}: begin your protocol with  # yaml-language-server: $schema={out.name}")


def plugins(debug: Debug = False) -> None:
    """List what is installed: policies, questions, segmenters, specimens."""
    with told(debug):
        from phenoloop.plugins import Registry

        rows = [(found.group, found.kind, found.origin, found.target) for found in Registry()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        for row in rows:
            say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
