"""The verbs: names, options and help, as typer shows them. What they do is elsewhere and is imported inside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phenoloop.cli.telling import DONE, FAILED, say, told

if TYPE_CHECKING:
    from phenoloop.api import RunResult

app = typer.Typer(
    name="phenoloop",
    help="Closed-loop microscope acquisition: segment live, measure, let the readouts choose what is imaged next.",
    epilog="Exit codes: 0 done (also stopped by a budget), 1 the run failed, 2 protocol or usage, 3 hardware, "
    "130 interrupted (state saved).",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProtocolFile = Annotated[Path, typer.Argument(metavar="PROTOCOL", help="Protocol file (YAML).", show_default=False)]
RunFolderPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _version(asked: bool) -> None:
    if asked:
        import phenoloop

        say(phenoloop.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Closed-loop microscope acquisition: segment live, measure, let the readouts choose what is imaged next."""


@app.command()
def run(
    protocol: ProtocolFile,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The run folder: new or empty. [default: runs/...]")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="On the virtual plate of the protocol.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run a protocol to its report. Keys: p pause, q stop, y go and n veto when asked."""
    with told(debug):
        from functools import partial

        from phenoloop import api
        from phenoloop.cli.watching import carry_out

        job = partial(api.run, protocol, out=out, simulate=simulate)
        result = carry_out(job, stream=sys.stderr if as_json else None)
        _end(result, as_json)


@app.command()
def check(
    protocol: ProtocolFile,
    hardware: Annotated[
        bool, typer.Option("--hardware", help="Also load the microscope and see whether it answers. Moves hardware.")
    ] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="As for a run on the virtual plate.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Validate a protocol and forecast its run; touches no device unless --hardware."""
    with told(debug):
        from phenoloop.cli.checking import carry_out_check

        raise typer.Exit(carry_out_check(protocol, simulate=simulate, hardware=hardware, as_json=as_json))


@app.command()
def resume(run: RunFolderPath, as_json: AsJson = False, debug: Debug = False) -> None:
    """Go on with a run that was stopped or cut off."""
    with told(debug):
        from functools import partial

        from phenoloop import api
        from phenoloop.cli.watching import carry_out

        result = carry_out(partial(api.resume, run), stream=sys.stderr if as_json else None, resumed=True)
        _end(result, as_json)


@app.command()
def replay(
    run: RunFolderPath,
    protocol: Annotated[
        Path | None, typer.Option("--protocol", metavar="FILE", help="Use the policy and plan of this protocol.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a parameter, e.g. policy.explore=0.2; repeatable."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Derive every decision of a run again and say whether all are equal."""
    with told(debug):
        from phenoloop import api

        result = api.replay(run, protocol=protocol, overrides=changes or ())
        say(result.message)
        raise typer.Exit(DONE if result.equal else FAILED)


@app.command()
def report(
    run: RunFolderPath,
    story: Annotated[
        str | None, typer.Option("--story", metavar="WELL", help="Only tell why each image of a well was taken.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make report.html and report.json of a run again, finished or not; or tell the story of a well."""
    with told(debug):
        from phenoloop import api

        if story is not None:
            from phenoloop.cli.recounting import tell_story

            found = api.story(run, story)
            if as_json:
                _print_json(found.to_json())
            else:
                tell_story(found)
            return
        result = api.report(run)
        if as_json:
            _print_json(result.report)
            return
        from phenoloop.cli.watching import tell_result, tell_way_on

        tell_result(result)
        tell_way_on(result)


@app.command()
def compare(
    subject: Annotated[
        Path, typer.Argument(metavar="PROTOCOL_OR_RUN", help="Protocol, or run folder.", show_default=False)
    ],
    policies: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="P", help="Kind, 'kind:{parameters}' or YAML file. [default: its own]"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", metavar="N", min=1, help="Plates. [default: 20, 2 with --whole]")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Through the whole stack; slow.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="For figure and numbers. [default: comparisons/...]")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what other policies would have made of the same plates, against fixed grids: table and figure."""
    with told(debug):
        from phenoloop.cli.comparing import carry_out_comparison, tell_comparison

        result = carry_out_comparison(subject, policies=policies or (), seeds=seeds, whole=whole, out=out)
        if as_json:
            _print_json(result.result)
            return
        tell_comparison(result)


@app.command()
def profiles(
    run: RunFolderPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="*.parquet or *.csv. [default: both, in the run folder]"),
    ] = None,
    sphere: Annotated[bool, typer.Option("--sphere", help="Also sphere on the controls.")] = False,
    controls: Annotated[
        str | None,
        typer.Option("--controls", metavar="CONDITION", help="Over the plate map. [default: the question's]"),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="COLUMN", help="Of the plate map: replicates agree in it. [default: all]"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a profile per well, normalised to the controls, and say whether replicates look alike."""
    with told(debug):
        from phenoloop import api
        from phenoloop.cli.profiling import tell_profiles

        tell_profiles(api.profiles(run, out=out, sphere=sphere, controls=controls, by=by or ()))


@app.command()
def segment(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="TIFF, PNG ...", show_default=False)],
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


@app.command()
def train(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Holds images/ and labels/, equal names.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL.onnx", help="The model; its card lies beside it.")],
    split: Annotated[
        Path | None,
        typer.Option("--split", metavar="FILE", help="CSV: file, part (train, test), sha256. [default: hold out 20 %]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Decides all that is drawn.")] = 1,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Batches of 8 crops.")] = 8000,
    rendered: Annotated[int, typer.Option("--rendered", metavar="N", min=0, help="Rendered images added.")] = 200,
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, help="Of PyTorch.")] = 2,
    debug: Debug = False,
) -> None:
    """Train a network for `unet` on annotated images of your own; needs the extra `train`."""
    with told(debug):
        from phenoloop.cli.training import train_model
        from phenoloop.training.job import Recipe

        recipe = Recipe(steps=steps, seed=seed, rendered=rendered, threads=threads)
        train_model(folder, out=out, split=split, recipe=recipe)


@app.command()
def doctor(
    microscope: Annotated[
        str | None,
        typer.Argument(metavar="[MICROSCOPE]", help="Also load this microscope. Moves hardware.", show_default=False),
    ] = None,
    debug: Debug = False,
) -> None:
    """Look at this computer, and at a microscope, before a protocol is run."""
    with told(debug):
        from phenoloop.cli.doctoring import examine

        raise typer.Exit(examine(microscope))


@app.command()
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


@app.command()
def plugins(debug: Debug = False) -> None:
    """List what is installed: policies, questions, segmenters, specimens."""
    with told(debug):
        from phenoloop.plugins import Registry

        rows = [(found.group, found.kind, found.origin, found.target) for found in Registry()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        for row in rows:
            say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))


def _print_json(report: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(report, indent=2, allow_nan=False) + "\n")


def _end(result: RunResult, as_json: bool) -> None:
    from phenoloop.cli.watching import tell_result, tell_way_on

    if as_json:
        _print_json(result.report)
    else:
        tell_result(result)
    tell_way_on(result)
    raise typer.Exit(result.exit_code)
