"""The same protocol gives the same journal, however busy the computer and however many the workers."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from phenoloop import api
from tests.storage.journals import equal_but_wall
from tests.whole.plates import write_protocol

pytestmark = pytest.mark.mm


def _burn() -> None:
    while True:
        sum(range(10_000))


@contextmanager
def busy_cores(count: int = 2) -> Iterator[None]:
    """Keep `count` cores busy with processes of their own."""
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=_burn, daemon=True) for _ in range(count)]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def journal_of(folder: Path, *, workers: int = 2, executor: str = "threads") -> Path:
    result = api.run(write_protocol(folder, workers=workers, executor=executor), out=folder / "run")
    assert result.exit_code == 0
    assert result.report["lost_frames"] == 0
    return result.folder.journal


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return journal_of(tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize(
    ("workers", "executor"),
    [
        pytest.param(1, "threads", id="one worker"),
        pytest.param(4, "threads", id="four workers"),
        pytest.param(2, "processes", id="two processes"),
    ],
)
def test_workers_do_not_change_the_journal(calm: Path, tmp_path: Path, workers: int, executor: str) -> None:
    assert equal_but_wall(calm, journal_of(tmp_path, workers=workers, executor=executor)) is None


def test_a_busy_computer_does_not_change_the_journal(calm: Path, tmp_path: Path) -> None:
    with busy_cores():
        assert equal_but_wall(calm, journal_of(tmp_path)) is None


def test_another_seed_does(calm: Path, tmp_path: Path) -> None:
    other = api.run(write_protocol(tmp_path, seed=2), out=tmp_path / "run").folder.journal
    assert equal_but_wall(calm, other) is not None
