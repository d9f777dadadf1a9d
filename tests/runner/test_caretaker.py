"""The collector is held back while runs go on, works in the loop's idle moments, and is as it was afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phenoloop.runner.caretaker import Caretaker

USUAL = (700, 10, 10)
A_LONG_TIME_S = 900.0
"""After so long, what was set aside is looked at again in a silence; after four times that, in any idle moment."""


@pytest.fixture(autouse=True)
def _the_collector_of_an_application() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*before)


class Clock:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ring:
    """Refers to itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_held_back_inside_and_as_before_after_it() -> None:
    with Caretaker().on_duty():
        inside = gc.get_threshold(), gc.get_freeze_count()
    assert inside[0] == (700, 10, 100)
    assert inside[1] > 1000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (USUAL, 0)


def test_as_before_after_a_run_that_failed() -> None:
    with pytest.raises(RuntimeError, match="the stage is stuck"), Caretaker().on_duty():
        raise RuntimeError("the stage is stuck")
    assert (gc.get_threshold(), gc.get_freeze_count()) == (USUAL, 0)


def test_the_last_of_several_runs_puts_it_back() -> None:
    caretaker = Caretaker()
    first, second = caretaker.on_duty(), caretaker.on_duty()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() != USUAL
    assert gc.get_freeze_count() > 1000
    second.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (USUAL, 0)


APPLICATIONS: dict[str, Callable[[], Any]] = {
    "switched it off": gc.disable,
    "set its first threshold to zero": lambda: gc.set_threshold(0, 10, 10),
    "has set objects aside": gc.freeze,
}


@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_an_application_that_collects_by_itself_is_left_alone(application: Callable[[], Any]) -> None:
    application()
    before = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count() > 0
    caretaker = Caretaker()
    with caretaker.on_duty():
        caretaker.idle(silent=True)
        assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count() > 0) == before
    assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count() > 0) == before


def test_thresholds_that_the_application_sets_meanwhile_stay() -> None:
    with Caretaker().on_duty():
        gc.set_threshold(5000, 5, 5)
    assert gc.get_threshold() == (5000, 5, 5)
    assert gc.get_freeze_count() == 0


def test_an_idle_moment_frees_what_is_new_once_there_is_enough() -> None:
    caretaker = Caretaker(Clock())
    with caretaker.on_duty():
        ring = Ring()
        gc.collect(1)  # too old now for Python's own collections, as long as those of everything are held back
        left = weakref.ref(ring)
        del ring
        caretaker.idle()
        before, frozen = left() is not None, gc.get_freeze_count()
        kept: list[list[int]] = [[] for _ in range(60_000)]
        caretaker.idle()
        assert before, "collected although nothing was new"
        assert left() is None
        assert gc.get_freeze_count() > frozen + 0.9 * len(kept)


def test_nothing_is_collected_while_the_application_forbids_it() -> None:
    clock = Clock()
    caretaker = Caretaker(clock)
    ring = Ring()
    left = weakref.ref(ring)
    with caretaker.on_duty():
        del ring
        clock.now += 10 * A_LONG_TIME_S
        gc.disable()
        caretaker.idle(silent=True)
        forbidden = left() is not None
        gc.enable()
        caretaker.idle(silent=True)
        assert forbidden
        assert left() is None


MOMENTS: dict[str, tuple[float, bool, bool]] = {
    "a short one, soon": (0.0, False, False),
    "a silence, soon": (0.0, True, False),
    "a short one, after long": (A_LONG_TIME_S, False, False),
    "a silence, after long": (A_LONG_TIME_S, True, True),
    "a short one, at the latest": (4 * A_LONG_TIME_S, False, True),
}


@pytest.mark.parametrize(("later_s", "silent", "freed"), MOMENTS.values(), ids=MOMENTS)
def test_what_was_set_aside_is_looked_at_again(later_s: float, silent: bool, freed: bool) -> None:
    clock = Clock()
    caretaker = Caretaker(clock)
    ring = Ring()
    left = weakref.ref(ring)
    with caretaker.on_duty():
        del ring
        clock.now += later_s
        caretaker.idle(silent=silent)
        assert (left() is None) == freed
    gc.collect()
    assert left() is None


def test_as_many_new_objects_as_old_ones_count_as_long() -> None:
    caretaker = Caretaker(Clock())
    ring = Ring()
    left = weakref.ref(ring)
    kept: list[list[list[int]]] = []
    with caretaker.on_duty():
        del ring
        old = gc.get_freeze_count()
        caretaker.idle(silent=True)
        before = left() is not None
        while gc.get_freeze_count() < 2.2 * old:
            kept.append([[] for _ in range(60_000)])
            caretaker.idle()
        caretaker.idle(silent=True)
        assert before
        assert left() is None


def test_python_collects_by_itself_where_the_loop_never_waits() -> None:
    collections: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            collections.append(info["generation"])

    with Caretaker().on_duty():
        gc.callbacks.append(note)
        kept: list[list[int]] = [[] for _ in range(1_200_000)]
        gc.callbacks.remove(note)
    assert len(kept) == 1_200_000
    assert collections.count(2) >= 1
