"""A lab's own modules lie beside the protocol; another folder brings its own and takes nothing else away."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phenoloop.plugins import look_beside


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path) -> Iterator[None]:
    yield
    look_beside(tmp_path / "nowhere")


def lab(folder: Path, says: str) -> Path:
    (folder / "our_package").mkdir(parents=True)
    (folder / "our_package" / "__init__.py").write_text("")
    (folder / "our_package" / "inner.py").write_text(f"SAYS = {says!r}\n")
    (folder / "our_file.py").write_text("from our_package.inner import SAYS\nSAYS = 'file of ' + SAYS\n")
    return folder


def test_each_protocol_meets_the_modules_beside_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        look_beside(lab(tmp_path / name, name))
        assert f"file of {name}" == importlib.import_module("our_file").SAYS
        assert name == importlib.import_module("our_package.inner").SAYS


def test_what_lies_deeper_in_the_folder_but_came_another_way_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protocol at the top of a project has the project's environment below it."""
    environment = lab(tmp_path / "project" / ".venv" / "site-packages", "the environment")
    monkeypatch.syspath_prepend(str(environment))
    mine = importlib.import_module("our_file")
    look_beside(tmp_path / "project")
    look_beside(tmp_path)
    assert str(tmp_path / "project") not in sys.path
    assert sys.modules["our_file"] is mine
    del sys.modules["our_file"], sys.modules["our_package"], sys.modules["our_package.inner"]
