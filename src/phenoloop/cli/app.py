"""The program and its verbs, in the order in which ``--help`` lists them. What they do is elsewhere."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from phenoloop.cli import run_verbs, tool_verbs
from phenoloop.cli.telling import say

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


_VERBS: Final = {
    "Runs": (
        run_verbs.run,
        run_verbs.check,
        run_verbs.resume,
        run_verbs.replay,
        run_verbs.report,
        run_verbs.compare,
        run_verbs.profiles,
    ),
    "Segmenters": (tool_verbs.segment, tool_verbs.train),
    "Setting up": (tool_verbs.doctor, tool_verbs.schema, tool_verbs.plugins),
}

for _panel, _verbs in _VERBS.items():
    for _verb in _verbs:
        app.command(rich_help_panel=_panel)(_verb)
