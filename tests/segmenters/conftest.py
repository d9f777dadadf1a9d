"""Small models of the segmenters that need one, trained once per session however many processes test."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from phenoloop.platform import FileLock
from phenoloop.segmentation.stardist_package import import_stardist
from tests.segmenters import small_cellpose, small_stardist
from tests.segmenters.pictures import drawn, pairs

NETWORK = "tests.segmenters.small_cellpose:build"


@pytest.fixture(scope="session")
def small_cellpose_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of `small_cellpose`, trained on the flows of real nuclei where the data is."""
    pytest.importorskip("cellpose", reason="cellpose is not installed: pip install 'phenoloop[cellpose]'")
    return _once(tmp_path_factory, "small_cellpose.pth", lambda path: small_cellpose.train(_examples(), path))


@pytest.fixture(scope="session")
def small_stardist_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small StarDist model."""
    for package in ("stardist", "tensorflow"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'phenoloop[stardist]'")
    import_stardist()  # not by itself: tests with PyTorch follow in this process
    return _once(tmp_path_factory, "small_stardist", lambda path: small_stardist.train(_examples(), path))


def _examples() -> list[tuple[object, object]]:
    return [*pairs(14), *(drawn(seed) for seed in range(6))]  # type: ignore[list-item]


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Make a file or folder in the session's own folder; the first process makes it, the others wait for it."""
    base = factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    path, done = shared / name, shared / f"{name}.done"
    while True:
        try:
            lock = FileLock(shared / f"{name}.lock")
        except BlockingIOError:
            time.sleep(0.2)
            continue
        try:
            if not done.exists():
                make(path)
                done.touch()
        finally:
            lock.release()
        return path
