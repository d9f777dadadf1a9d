"""`check` for people and for programs: the forecast, or every problem with its place."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from phenoloop import api
from phenoloop.cli.telling import DONE, say
from phenoloop.errors import PhenoloopError, ProtocolError


def carry_out_check(protocol: Path, *, simulate: bool, hardware: bool, as_json: bool) -> int:
    """Check a protocol and print what was found.

    Returns
    -------
    int
        Exit code; with `as_json` also for a protocol that cannot be run.

    Raises
    ------
    PhenoloopError
        Unless `as_json`: what is wrong.
    """
    try:
        result = api.check(protocol, simulate=simulate, hardware=hardware)
    except PhenoloopError as error:
        if not as_json:
            raise
        problems = error.problems if isinstance(error, ProtocolError) else ()
        found = [dataclasses.asdict(problem) for problem in problems] or [{"message": str(error)}]
        say(json.dumps({"ok": False, "problems": found}, indent=2))
        return error.exit_code
    if as_json:
        plan = result.loaded.plan
        found_ok = {"ok": True, "protocol": plan.name, "wells": len(plan.wells), "forecast": result.forecast_lines}
        say(json.dumps(found_ok, indent=2))
        return DONE
    say(f"{protocol} can be run.")
    for line in result.forecast_lines:
        say(line)
    return DONE
