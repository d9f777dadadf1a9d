"""How the command line ends: exit codes, and errors as one paragraph on standard error."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from phenoloop.errors import PhenoloopError

DONE: Final = 0
FAILED: Final = 1
HARDWARE: Final = 3
INTERRUPTED: Final = 130

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
"""The option that every verb has."""


def say(text: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")


def tell(text: str) -> None:
    """Write a line to standard error, after what is still on its way to standard output."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def told(debug: bool = False) -> Iterator[None]:
    """Turn whatever a verb raises into one paragraph and an exit code.

    Parameters
    ----------
    debug : bool
        Also write the traceback.

    Raises
    ------
    typer.Exit
        Code 1, 2 or 3 as the error says; 1 for a bug of ours or a full disk; 130 after Ctrl-C.
    """
    try:
        yield
    except (PhenoloopError, OSError, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        text, code = _paragraph(error)
        tell(text)
        raise typer.Exit(code) from error
    except typer.Exit:
        raise
    except Exception as error:  # the outermost frame: what nothing below foresaw is told too, as a fault of ours
        if debug:
            traceback.print_exc()
        tell(
            f"phenoloop stopped on an error it did not expect ({type(error).__name__}: {error}). This is a fault of "
            "phenoloop or of a plug-in, not of your protocol. Run it again with --debug and report what it prints."
        )
        raise typer.Exit(FAILED) from error


def _paragraph(error: BaseException) -> tuple[str, int]:
    if isinstance(error, PhenoloopError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    return f"the file system refused: {error}. Free space or choose another folder, and try again.", FAILED
