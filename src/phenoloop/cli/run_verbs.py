"""The verbs about a protocol and its run: their options and help, as typer shows them, and what each calls.

Everything heavy is imported inside them, so that ``--help`` comes at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phenoloop.cli.telling import DONE, FAILED, INTERRUPTED, Debug, say, told

if TYPE_CHECKING:
    from phenoloop.api import RunResult

ProtocolFile = Annotated[Path, typer.Argument(metavar="PROTOCOL", help="Protocol file (YAML).", show_default=False)]
RunFolderPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]


def run(
    protocol: ProtocolFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run folder: new or empty.", show_default="runs/NAME-TIME"),
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


def resume(run: RunFolderPath, as_json: AsJson = False, debug: Debug = False) -> None:
    """Go on with a run that was stopped or cut off."""
    with told(debug):
        from functools import partial

        from phenoloop import api
        from phenoloop.cli.watching import carry_out

        result = carry_out(partial(api.resume, run), stream=sys.stderr if as_json else None, resumed=True)
        _end(result, as_json)


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


def compare(
    subject: Annotated[
        Path, typer.Argument(metavar="PROTOCOL_OR_RUN", help="Protocol, or run folder.", show_default=False)
    ],
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", metavar="P", help="Kind, 'kind:{parameters}' or YAML file; repeatable.", show_default="its own"
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", min=1, help="How many plates.", show_default="20, with --whole 2"),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="With images, through the whole program; slow.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for figure and numbers.", show_default="comparisons/NAME-TIME"
        ),
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
        else:
            tell_comparison(result)
        if result.result["interrupted"]:
            raise typer.Exit(INTERRUPTED)


def profiles(
    run: RunFolderPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="*.parquet or *.csv.", show_default="both, in the run folder"),
    ] = None,
    sphere: Annotated[bool, typer.Option("--sphere", help="Also sphere: decorrelate by the controls.")] = False,
    controls: Annotated[
        str | None,
        typer.Option(
            "--controls", metavar="CONDITION", help="Over the plate map: the controls.", show_default="the question's"
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Of the plate map: replicates agree in it; repeatable.",
            show_default="all columns",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a profile per well, normalised to the controls, and say whether replicates look alike."""
    with told(debug):
        from phenoloop import api
        from phenoloop.cli.profiling import tell_profiles

        tell_profiles(api.profiles(run, out=out, sphere=sphere, controls=controls, by=by or ()))


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
