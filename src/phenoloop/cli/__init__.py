"""The command line. This file is all that starts at once; every verb imports what it needs when it is used."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A sign that a Windows console cannot show must not end a run.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    from phenoloop.cli.app import app

    app()
