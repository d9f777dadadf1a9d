"""Each `Measure` ends in exactly one input, whatever happens to the worker."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from phenoloop.errors import UsageError
from phenoloop.model import AnalysisPlan, Input, Measure, Measured, MeasurementFailed
from phenoloop.ports import Measurement
from phenoloop.runner import Analyst
from phenoloop.runner.workers import MeasureFields

OK = Measurement(status="ok", readouts={"x": 1.0}, quality={})
FRAMES = {"DNA": np.zeros((4, 4), np.uint16)}


Batch = Sequence[Mapping[str, Any]]


def fine(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
    return [OK for _ in batch]


def ready(plan: AnalysisPlan, blank: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": "small", "shape": list(blank["DNA"].shape)}


def slow_once_ready(plan: AnalysisPlan, blank: Mapping[str, Any]) -> dict[str, Any]:
    return {"frame_s": 90.0}


def not_ready(plan: AnalysisPlan, blank: Mapping[str, Any]) -> dict[str, Any]:
    raise ValueError("no weights")


def raises(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
    raise ValueError("no such cell")


def one_is_bad(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
    return [ValueError("bad") if frames["DNA"].any() else OK for frames in batch]


def dies_on_ones(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
    if any((frames["DNA"] == 1).any() for frames in batch):
        os._exit(9)
    return [Measurement(status="ok", readouts={"x": float(frames["DNA"].sum())}, quality={}) for frames in batch]


class Box:
    """Collects what is posted and what is archived."""

    def __init__(self) -> None:
        self.inputs: queue.Queue[Input] = queue.Queue()
        self.archived: list[Measure] = []

    def archive(self, command: Measure, measurement: Measurement) -> None:
        self.archived.append(command)

    def take(self, count: int) -> list[Any]:
        return [self.inputs.get(timeout=120) for _ in range(count)]

    def quiet(self) -> bool:
        return self.inputs.empty()


def analyst(
    box: Box, measure: MeasureFields, *, executor: str = "threads", batch: int = 1, workers: int = 2, **options: Any
) -> Analyst:
    plan = AnalysisPlan(channels=("DNA",), workers=workers, executor=executor, batch=batch)
    settings: dict[str, Any] = {"deadline_s": 30.0, "make_ready": ready, **options}
    make_ready = settings.pop("make_ready")
    return Analyst(plan, measure, make_ready, box.inputs.put, lambda command: command.at_s + 1, box.archive, **settings)


def command(visit: int) -> Measure:
    return Measure(at_s=float(visit), visit=visit, field="0")


def test_a_result_is_posted_then_archived() -> None:
    box = Box()
    worker = analyst(box, fine)
    worker.submit(command(1), FRAMES)
    (measured,) = box.take(1)
    assert measured == Measured(at_s=2.0, visit=1, field="0", readouts={"x": 1.0})
    worker.close()
    assert box.archived == [command(1)]


def test_an_error_is_a_value_with_a_reason() -> None:
    box = Box()
    worker = analyst(box, raises)
    worker.submit(command(1), FRAMES)
    assert box.take(1) == [MeasurementFailed(at_s=2.0, visit=1, field="0", reason="ValueError: no such cell")]
    worker.close()


@pytest.mark.parametrize("batch", [1, 4])
def test_a_worker_that_dies_costs_its_own_field_only(batch: int) -> None:
    box = Box()
    worker = analyst(box, dies_on_ones, executor="processes", batch=batch, deadline_s=120.0)
    worker.submit(command(1), {"DNA": np.ones((4, 4), np.uint16)})
    for visit in (2, 3, 4):
        worker.submit(command(visit), {"DNA": np.full((visit, 5), 2, np.uint16)})
    results = {happened.visit: happened for happened in box.take(4)}
    assert isinstance(results[1], MeasurementFailed)
    assert results[1].reason.startswith("the analysis worker died")
    # Through shared memory, shapes and values arrive as they were sent.
    assert [results[visit].readouts for visit in (2, 3, 4)] == [{"x": visit * 10.0} for visit in (2, 3, 4)]
    assert box.quiet()
    worker.close()


def test_in_a_batch_each_field_has_its_own_outcome() -> None:
    box = Box()
    worker = analyst(box, one_is_bad, batch=3, workers=1)
    worker.submit(command(1), FRAMES)
    worker.submit(command(2), {"DNA": np.ones((4, 4), np.uint16)})
    worker.submit(command(3), FRAMES)
    results = {happened.visit: happened for happened in box.take(3)}
    assert [type(results[visit]).__name__ for visit in (1, 2, 3)] == ["Measured", "MeasurementFailed", "Measured"]
    worker.close()


def test_the_visit_that_is_told_next_goes_first() -> None:
    box = Box()
    release, started = threading.Event(), threading.Event()
    sizes: list[int] = []

    def gated(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
        started.set()
        release.wait(30)
        sizes.append(len(batch))
        return [OK for _ in batch]

    worker = analyst(box, gated, workers=1, batch=3)
    worker.submit(command(9), FRAMES)
    started.wait(30)
    for visit in (5, 3, 8, 4):
        worker.submit(command(visit), FRAMES)
    release.set()
    assert [happened.visit for happened in box.take(5)] == [9, 3, 4, 5, 8]
    assert sizes == [1, 3, 1]
    worker.close()


@pytest.mark.parametrize(
    ("virtual", "kind"), [pytest.param(False, "late", id="real"), pytest.param(True, "failed", id="virtual")]
)
def test_what_takes_too_long_is_given_up(virtual: bool, kind: str) -> None:
    box = Box()
    release = threading.Event()

    def slow(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
        release.wait(30)
        return [OK for _ in batch]

    worker = analyst(box, slow, deadline_s=0.05, hang_s=0.05, virtual=virtual)
    worker.submit(command(1), FRAMES)
    deadline = worker.next_deadline()
    assert deadline is not None
    time.sleep(max(0.0, deadline - time.perf_counter()))
    worker.give_up_overdue()
    (failed,) = box.take(1)
    assert (failed.kind, failed.reason) == (kind, "no result within 0.05 s")
    assert worker.next_deadline() is None
    release.set()
    if kind == "late":  # stored and journalled all the same, as a result that nobody waits for
        assert isinstance(box.take(1)[0], Measured)
    worker.close()


def test_a_stop_leaves_nothing_without_an_end() -> None:
    box = Box()
    release = threading.Event()

    def slow(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
        release.wait(30)
        return [OK for _ in batch]

    worker = analyst(box, slow)
    for visit in range(1, 7):
        worker.submit(command(visit), FRAMES)
    worker.stop(grace_s=0.05)
    ends = box.take(6)
    assert sorted(happened.visit for happened in ends) == [1, 2, 3, 4, 5, 6]
    assert {happened.kind for happened in ends} == {"stopped"}
    release.set()
    worker.close()
    assert box.quiet()


def test_an_archive_that_fails_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    box = Box()
    plan = AnalysisPlan(channels=("DNA",), workers=1)

    def refuse(command: Measure, measurement: Measurement) -> None:
        raise OSError("disk full")

    worker = Analyst(plan, fine, ready, box.inputs.put, lambda c: c.at_s, refuse, deadline_s=30.0)
    worker.submit(command(1), FRAMES)
    assert isinstance(box.take(1)[0], Measured)
    worker.close()
    assert "disk full" in caplog.text


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_every_worker_warms_up_before_the_first_field(executor: str) -> None:
    box = Box()
    worker = analyst(box, dies_on_ones, executor=executor)
    said = {"model": "small", "shape": [4, 4], "frame_s": 0.0, "given_up_after_s": 30.0}
    assert worker.warm_up(FRAMES) == said
    worker.submit(command(1), FRAMES)
    assert isinstance(box.take(1)[0], Measured)
    worker.close()
    assert box.archived == [command(1)]  # the blank field leaves nothing behind


def test_what_cannot_work_at_all_is_known_before_the_run() -> None:
    plan = AnalysisPlan(channels=("DNA",), workers=2)
    box = Box()
    worker = Analyst(plan, fine, not_ready, box.inputs.put, lambda c: c.at_s, box.archive, deadline_s=30.0)
    with pytest.raises(ValueError, match="no weights"):
        worker.warm_up(FRAMES)
    worker.close()


def test_a_segmenter_that_is_slow_is_not_taken_for_hung() -> None:
    box = Box()
    release = threading.Event()

    def gated(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
        release.wait(30)
        return [OK for _ in batch]

    worker = analyst(box, gated, make_ready=slow_once_ready, virtual=True, workers=1)
    assert worker.warm_up(FRAMES)["given_up_after_s"] == 20 * 90
    begun = time.perf_counter()
    worker.submit(command(1), FRAMES)
    deadline = worker.next_deadline()
    assert deadline is not None
    assert deadline - begun == pytest.approx(20 * 90, abs=10)
    release.set()
    box.take(1)
    worker.close()


def test_fields_that_wait_for_their_turn_are_not_given_up_with_the_one_that_hangs() -> None:
    box = Box()
    release = threading.Event()

    def hangs(plan: AnalysisPlan, batch: Batch) -> list[Measurement | Exception]:
        release.wait(30)
        return [OK for _ in batch]

    worker = analyst(box, hangs, hang_s=2.0, virtual=True, workers=1)
    for visit in (1, 2):
        worker.submit(command(visit), FRAMES)
    deadline = worker.next_deadline()
    assert deadline is not None
    time.sleep(max(0.0, deadline - time.perf_counter()))
    worker.give_up_overdue()
    (failed,) = box.take(1)
    assert (failed.visit, failed.reason) == (1, "no result within 2 s")
    later = worker.next_deadline()
    assert later is not None
    assert later - deadline == pytest.approx(2.0, abs=0.5)
    release.set()
    assert isinstance(box.take(1)[0], Measured)
    worker.close()


def test_a_deadline_that_no_frame_can_meet_is_refused_before_the_run() -> None:
    box = Box()
    worker = analyst(box, fine, make_ready=slow_once_ready)
    with pytest.raises(UsageError, match=r"takes 90 s here, longer than analysis\.deadline, 30 s"):
        worker.warm_up(FRAMES)
    worker.close()
