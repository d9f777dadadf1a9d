"""Carries out `Measure`: one field in, exactly one input out, whatever the executor does.

Threads or processes, a crash of a worker, a hang: each field ends in `Measured` or `MeasurementFailed`. What is derived
(labels, object tables) is written afterwards by an archivist thread and never delays a decision.
"""

from __future__ import annotations

import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from phenoloop.model import AnalysisPlan, Input, Measure, Measured, MeasurementFailed
from phenoloop.ports import Measurement

_LOG = logging.getLogger(__name__)

MeasureField = Callable[[AnalysisPlan, Mapping[str, NDArray[Any]]], Measurement]
Archive = Callable[[Measure, Measurement], None]


@dataclass(slots=True)
class _Job:
    command: Measure
    frames: Mapping[str, NDArray[Any]]
    future: Future[Measurement] | None
    begun: float
    alone: bool = False


class Analyst:
    """The analysis executor.

    Parameters
    ----------
    plan : AnalysisPlan
        What is measured, by how many workers, in threads or processes.
    measure : callable
        ``measure(plan, frames) -> Measurement``; a module-level function, so that a process can import it.
    post : callable
        Takes the input that each command ends in.
    now_s : callable
        Run clock of an input, given its command.
    archive : callable
        Takes each result after it was posted.
    deadline_s, hang_s : float
        Wall seconds after which a field is given up, on real and on virtual time.
    virtual : bool
        On the virtual clock the wall decides nothing but hangs.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        measure: MeasureField,
        post: Callable[[Input], None],
        now_s: Callable[[Measure], float],
        archive: Archive,
        *,
        deadline_s: float,
        hang_s: float = 120.0,
        virtual: bool = False,
    ) -> None:
        self._plan = plan
        self._measure = measure
        self._post = post
        self._now_s = now_s
        self._archive = archive
        self._deadline_s = deadline_s
        self._patience_s = hang_s if virtual else deadline_s
        self._patience_kind = "failed" if virtual else "late"
        self._jobs: dict[tuple[int, str], _Job] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._executor = self._start(plan.workers)
        self._derived: queue.Queue[tuple[Measure, Measurement] | None] = queue.Queue(maxsize=256)
        self._archivist = threading.Thread(target=self._keep_derived, name="archivist", daemon=True)
        self._archivist.start()

    def submit(self, command: Measure, frames: Mapping[str, NDArray[Any]]) -> None:
        """Begin to measure a field.

        Parameters
        ----------
        command : Measure
            What to measure.
        frames : mapping of str to ndarray
            All channels of the field, ``(y, x)`` or ``(z, y, x)``.
        """
        job = _Job(command=command, frames=frames, future=None, begun=time.perf_counter())
        with self._lock:
            self._jobs[command.visit, command.field] = job
            executor = self._executor
        self._send(job, executor)

    def next_deadline(self) -> float | None:
        """Return the wall clock (``time.perf_counter``) at which the oldest field is given up; None without fields."""
        with self._lock:
            begun = [job.begun for job in self._jobs.values()]
        return min(begun) + self._patience_s if begun else None

    def give_up_overdue(self) -> None:
        """Post a failure for every field whose time is up. Its result, should it still come, is posted and not told."""
        now = time.perf_counter()
        with self._lock:
            overdue = [key for key, job in self._jobs.items() if now - job.begun >= self._patience_s]
            jobs = [self._jobs.pop(key) for key in overdue]
        for job in jobs:
            reason = f"no result within {self._patience_s:g} s"
            self._fail(job.command, reason, self._patience_kind)

    def stop(self, *, grace_s: float = 0.5) -> None:
        """End quickly: fields that are not begun are left for later, running ones get a moment."""
        self._stopping = True
        with self._lock:
            jobs = list(self._jobs.values())
        until = time.perf_counter() + grace_s
        for job in jobs:
            if job.future is not None and not job.future.cancel():
                try:
                    job.future.exception(timeout=max(0.0, until - time.perf_counter()))
                except (TimeoutError, CancelledError):
                    _LOG.info("field %s of visit %d is left unmeasured", job.command.field, job.command.visit)
        with self._lock:
            left, self._jobs = list(self._jobs.values()), {}
        for job in left:
            self._fail(job.command, "stopped", "stopped")

    def close(self) -> None:
        """Write what is derived and let the workers go."""
        self._stopping = True
        self._executor.shutdown(wait=not self._jobs, cancel_futures=True)
        self._derived.put(None)
        self._archivist.join()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _start(self, workers: int) -> Executor:
        if self._plan.executor == "processes":
            return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        return ThreadPoolExecutor(workers, thread_name_prefix="analysis")

    def _send(self, job: _Job, executor: Executor) -> None:
        try:
            job.future = executor.submit(self._measure, self._plan, job.frames)
        except BrokenExecutor as error:
            self._crashed(job, executor, error)
            return
        job.future.add_done_callback(lambda future: self._done(job, executor, future))

    def _done(self, job: _Job, executor: Executor, future: Future[Measurement]) -> None:
        command = job.command
        if future.cancelled():
            return  # `stop` speaks for it
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            self._crashed(job, executor, error)
            return
        with self._lock:
            expected = self._jobs.pop((command.visit, command.field), None) is not None
        if error is not None:
            if expected:
                self._fail(command, f"{type(error).__name__}: {error}", "failed")
            return
        measurement = future.result()
        if not expected and (self._stopping or self._patience_kind != "late"):
            return  # it was given up for good
        self._post(
            Measured(
                at_s=self._now_s(command),
                visit=command.visit,
                field=command.field,
                status=measurement.status,
                readouts=measurement.readouts,
                quality=measurement.quality,
                reason=measurement.reason,
                objects=len(measurement.objects.get("label", ())),
                wall={name: round(value, 3) for name, value in measurement.timing_ms.items()},
            )
        )
        self._derived.put((command, measurement))

    def _crashed(self, job: _Job, executor: Executor, error: BaseException) -> None:
        """A worker died, and took all fields of its pool with it; only one of them is to blame.

        A new pool serves what comes next. Each field of the old one is tried again in a process of its own: the one
        that dies there as well was the culprit, and no other pays for it.
        """
        with self._lock:
            if executor is self._executor and not self._stopping:
                _LOG.warning("an analysis worker died (%s); starting again", error)
                executor.shutdown(wait=False)
                self._executor = self._start(self._plan.workers)
            expected = (job.command.visit, job.command.field) in self._jobs
        if not expected or self._stopping:
            return
        if not job.alone:
            job.alone = True
            cell = self._start(1)
            self._send(job, cell)
            cell.shutdown(wait=False)  # ends once the field is done
            return
        with self._lock:
            self._jobs.pop((job.command.visit, job.command.field), None)
        self._fail(job.command, f"the analysis worker died: {error}", "failed")

    def _fail(self, command: Measure, reason: str, kind: str) -> None:
        self._post(
            MeasurementFailed(
                at_s=self._now_s(command), visit=command.visit, field=command.field, reason=reason, kind=kind
            )
        )

    def _keep_derived(self) -> None:
        while (item := self._derived.get()) is not None:
            try:
                self._archive(*item)
            except Exception:  # derived data can be made again from the images; the run goes on, and the log says so
                _LOG.exception("labels or objects of field %s, visit %d", item[0].field, item[0].visit)
