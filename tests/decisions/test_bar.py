"""The bar: with at most half the frames `hits` calls what the full sweep calls, and no control, over twenty plates."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """`benchmarks/hits_vs_sweep.py`, so that what is drawn there is what is tested here."""
    path = Path(__file__).parents[2] / "benchmarks" / "hits_vs_sweep.py"
    spec = importlib.util.spec_from_file_location("hits_vs_sweep", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_half_the_frames_are_enough(benchmark: ModuleType) -> None:
    frames, scores, used, controls_called = benchmark.compare(20, look_every=27)
    half = next(j for j, n in enumerate(frames) if n >= benchmark.ALL_FRAMES / 2)
    assert frames[half] == benchmark.ALL_FRAMES / 2
    at_half, cut, full = scores["hits"][:, half], scores["sweep"][:, half], scores["sweep"][:, -1]
    assert at_half.mean() >= full.mean() - 0.02
    assert at_half.mean() > cut.mean()
    assert 0.6 < full.mean() < 0.98  # a plate on which everything, or nothing, can be called would show nothing
    assert controls_called == 0
    assert np.mean(used) <= benchmark.ALL_FRAMES / 2


@pytest.mark.slow
def test_empty_plates_stay_empty_though_hits_chooses(benchmark: ModuleType) -> None:
    assert benchmark.false_calls(10, "normal", 0.3) <= 1
