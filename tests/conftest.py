"""Fixtures that every part shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("thousand", max_examples=1000, deadline=None)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real images; skips where they are absent."""
    root = Path(os.environ.get("PHENOLOOP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / "bbbc016" / "manifest.csv").is_file():
        pytest.skip(f"real images are absent: no bbbc016/manifest.csv in {root} (set PHENOLOOP_DATA)")
    return root
