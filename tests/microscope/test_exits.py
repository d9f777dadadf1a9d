"""Starting and ending the microscope leaves the process whole: no abort at exit, whichever way it ends."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.mm

PREAMBLE = """
from tests.microscope.builders import Recorder, Imprint, acquire, make_plan, make_microscope_plan
from phenoloop.microscope.mmcore import MMCoreMicroscope
plan = make_plan(wells=1)
sink = Recorder()
scope = MMCoreMicroscope(plan, make_microscope_plan(), Imprint())
scope.open(sink)
scope.acquire(acquire(plan, 1))
"""

WAYS = {
    "closed": "sink.wait(ends=1)\nscope.close()",
    "stopped in a visit": "sink.wait(frames=1)\nscope.stop()\nscope.close()",
    "never closed": "sink.wait(ends=1)",
    "died by an error": "sink.wait(ends=1)\nraise SystemExit(7)",
    "closed and a second one opened": (
        "sink.wait(ends=1)\nscope.close()\nagain = MMCoreMicroscope(plan, make_microscope_plan(), Imprint())\n"
        "again.open(Recorder())\nagain.close()"
    ),
}
STARTS = 5
"""Of each of the five ways: 25 in all."""


@pytest.mark.slow
@pytest.mark.parametrize("way", list(WAYS))
def test_the_process_ends_whole(way: str) -> None:
    code = textwrap.dedent(PREAMBLE) + WAYS[way]
    wanted = 7 if way == "died by an error" else 0
    for start in range(STARTS):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == wanted, (start, done.stderr[-2000:])
        assert "FATAL" not in done.stderr
