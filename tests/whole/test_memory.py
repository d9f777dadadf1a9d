"""A run that is over leaves nothing behind in its process: a facility's service makes hundreds of them."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from phenoloop import api
from phenoloop.api import running, session
from phenoloop.microscope import MMCoreMicroscope
from tests.microscope.builders import acquire, make_plan, opened
from tests.whole.plates import write_protocol

pytestmark = pytest.mark.mm


@pytest.fixture(autouse=True)
def _no_records_of_cores(caplog: pytest.LogCaptureFixture) -> None:
    """What pytest keeps of the log of pymmcore-plus names cores, and so holds them."""
    caplog.set_level(logging.CRITICAL, logger="pymmcore-plus")


def collected(left: Iterable[weakref.ref[Any]]) -> list[str]:
    """Return what is still there."""
    gc.collect()
    return [type(part()).__name__ for part in left if part() is not None]


def test_nothing_of_a_run_outlives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[weakref.ref[Any]] = []

    class Watched(session.Session):
        def go(self, *args: Any, **kwargs: Any) -> None:
            super().go(*args, **kwargs)
            parts = (self, self._loop, self._machine, self.microscope, self.microscope.core, self.images)
            left.extend(map(weakref.ref, parts))

    monkeypatch.setattr(running, "Session", Watched)
    result = api.run(write_protocol(tmp_path, frames=8), out=tmp_path / "run")
    assert result.report["frames"] == 8
    assert len(left) == 6
    assert collected(left) == []


def test_the_collector_is_held_back_during_a_run_only(tmp_path: Path) -> None:
    def settings() -> tuple[tuple[int, int, int], bool]:
        return gc.get_threshold(), gc.get_freeze_count() > 0

    during: set[tuple[tuple[int, int, int], bool]] = set()
    before = settings()

    def watch(live: api.LiveRun) -> None:
        live.signals.decided.connect(lambda decided: during.add(settings()))

    api.run(write_protocol(tmp_path, frames=8), out=tmp_path / "run", on_start=watch)
    young, middle, old = before[0]
    # The last decision may be heard of when the run is over.
    assert {((young, middle, 10 * old), True)} <= during <= {((young, middle, 10 * old), True), before}
    assert settings() == before == (before[0], False)


def test_a_microscope_that_was_closed_is_gone() -> None:
    plan = make_plan(fields=1)
    with opened(plan) as (scope, sink):
        scope.acquire(acquire(plan, 1))
        sink.wait(ends=1)
        left: list[weakref.ref[Any]] = [weakref.ref(scope), weakref.ref(scope.core)]
    del scope
    assert len(left) == 2
    assert collected(left) == []


def test_a_microscope_that_could_not_be_opened_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[weakref.ref[Any]] = []

    class Broken(MMCoreMicroscope):
        def _assemble(self, core: Any) -> Any:
            super()._assemble(core)
            left.extend((weakref.ref(self), weakref.ref(core)))
            raise RuntimeError("the turret is stuck")

    monkeypatch.setattr("tests.microscope.builders.MMCoreMicroscope", Broken)
    with pytest.raises(Exception, match="the turret is stuck"), opened(make_plan()):
        pass
    assert len(left) == 2
    assert collected(left) == []
