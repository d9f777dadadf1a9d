from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
import numpy as np
from phenoloop.platform import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        images = [np.ones((1024, 1024), np.float32) for _ in range(3)]
        del images
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the switch is glibc's")
def test_images_are_not_handed_back_to_the_system() -> None:
    """Counted in page faults: each image of 4 MiB costs a thousand when its memory is fetched anew."""

    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < 1000 < faults("leave")
