"""The private names of pymmcore-plus that we use still exist in the installed version."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import phenoloop
from phenoloop.microscope.private import PRIVATE_NAMES


@pytest.mark.parametrize(("owner", "name"), [pytest.param(*pair, id=".".join(pair)) for pair in PRIVATE_NAMES])
def test_the_name_exists(owner: str, name: str) -> None:
    module, _, attribute = owner.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert hasattr(found, name) or name in found.model_fields


def test_one_file_alone_uses_them() -> None:
    private = re.compile(r"pymmcore_plus(\.\w+)*\._(?!_)|core\._(?!_)|mda\._(?!_)")
    root = Path(phenoloop.__file__).parent
    users = [path.name for path in root.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))]
    assert users == ["private.py"]
