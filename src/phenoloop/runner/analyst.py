"""Carries out `Measure`: one field in, exactly one input out, whatever becomes of the worker.

The most urgent field goes first: that of the visit that will be told next. A worker that can take several fields at
once waits a few milliseconds for company. A worker that dies is started again, and of its fields only the one that
killed it is lost.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any, Final

from numpy.typing import NDArray

from phenoloop.errors import UsageError
from phenoloop.model import AnalysisPlan, Input, Measure, Measured, MeasurementFailed
from phenoloop.ports import Measurement
from phenoloop.runner.archivist import Archive, Archivist
from phenoloop.runner.workers import InProcess, InThread, MakeReady, MeasureFields, Worker

_LOG = logging.getLogger(__name__)

_HANGS: Final = 20
"""Times a warm frame after which a worker is taken for hung: crowded fields take longer than noise."""

Key = tuple[int, str]


class _Job:
    """A field that waits for its result, since `begun` and until `until` on the wall's clock."""

    def __init__(self, order: int, command: Measure, frames: Mapping[str, NDArray[Any]], patience_s: float) -> None:
        self.urgency = (command.visit, order)
        self.command = command
        self.frames = frames
        self.begun = time.perf_counter()
        self.until = self.begun + patience_s
        self.key: Key = (command.visit, command.field)

    def __lt__(self, other: _Job) -> bool:
        return self.urgency < other.urgency


class Analyst:
    """The analysis service.

    Parameters
    ----------
    plan : AnalysisPlan
        What is measured, by how many workers, in threads or processes, how many fields at once.
    measure, make_ready : callable
        ``measure(plan, batch) -> outcomes`` and ``make_ready(plan, blank) -> description``; module-level functions, so
        that a process can import them.
    post : callable
        Takes the input that each command ends in.
    now_s : callable
        Run clock of an input, given its command.
    archive : callable
        Takes each result after it was posted.
    deadline_s : float
        On real time, wall seconds after which a field is given up.
    hang_s : float
        On virtual time, where the wall decides nothing but hangs: the least that is granted to a frame, see `warm_up`.
    virtual : bool
        Which of the two clocks it is.
    """

    def __init__(
        self,
        plan: AnalysisPlan,
        measure: MeasureFields,
        make_ready: MakeReady,
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
        self._make_ready = make_ready
        self._post = post
        self._now_s = now_s
        self._virtual = virtual
        self._patience_s = hang_s if virtual else deadline_s
        self._patience_kind = "failed" if virtual else "late"
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._jobs: dict[Key, _Job] = {}
        self._submitted = 0
        self._warming: list[Mapping[str, NDArray[Any]]] = []
        self._warmed: list[Mapping[str, Any] | Exception] = []
        self._stopping = False
        self._archivist = Archivist(archive)
        names = [f"analysis-{i}" for i in range(plan.workers)]
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def warm_up(self, blank: Mapping[str, NDArray[Any]]) -> Mapping[str, Any]:
        """Have every worker load its model and measure a blank field, so that the first real one is not the slowest.

        Where a warm frame takes so long that a worker would be taken for hung while it works, more is granted: 20 times
        what it took. On real time nothing is granted: the deadline is what the protocol says.

        Parameters
        ----------
        blank : mapping of str to ndarray
            Frames of the shape and dtype to come, by channel.

        Returns
        -------
        mapping
            What the segmenter says of itself; ``frame_s``, the slowest worker's time of a warm frame;
            ``given_up_after_s``, what is granted to a frame.

        Raises
        ------
        UsageError
            If no frame can meet the deadline.
        Exception
            What the analysis raises where it cannot work at all: weights that are absent, a model that does not load.
        """
        with self._changed:
            self._warming = [blank] * self._plan.workers
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._warmed) == self._plan.workers)
            errors = [outcome for outcome in self._warmed if isinstance(outcome, Exception)]
            described = [outcome for outcome in self._warmed if not isinstance(outcome, Exception)]
        if errors:
            raise errors[0]
        frame_s = max(float(found.get("frame_s", 0.0)) for found in described)
        if self._virtual:
            self._patience_s = max(self._patience_s, _HANGS * frame_s)
        elif frame_s > self._patience_s:
            raise UsageError(
                f"to analyse one frame takes {frame_s:.3g} s here, longer than analysis.deadline, "
                f"{self._patience_s:g} s: every result would come too late. Allow more in `deadline`, or choose a "
                "faster segmenter or device."
            )
        return {**described[0], "frame_s": frame_s, "given_up_after_s": self._patience_s}

    def submit(self, command: Measure, frames: Mapping[str, NDArray[Any]]) -> None:
        """Begin to measure a field. The plan's `in_flight` bounds how many can wait here.

        Parameters
        ----------
        command : Measure
            What to measure.
        frames : mapping of str to ndarray
            All channels of the field, ``(y, x)`` or ``(z, y, x)``.
        """
        with self._changed:
            self._submitted += 1
            # a worker that hangs is one thing, fields that wait for their turn another: each turn before it counts
            turns = 1 + len(self._jobs) // self._plan.workers if self._virtual else 1
            job = _Job(self._submitted, command, frames, turns * self._patience_s)
            self._jobs[job.key] = job
            heapq.heappush(self._waiting, job)
            self._changed.notify()

    def next_deadline(self) -> float | None:
        """Return the wall clock (``time.perf_counter``) at which the next field is given up; None without fields."""
        with self._changed:
            return min((job.until for job in self._jobs.values()), default=None)

    def give_up_overdue(self) -> None:
        """Post a failure for every field whose time is up. Its result, should it still come, is posted and not told."""
        now = time.perf_counter()
        with self._changed:
            overdue = [job for job in self._jobs.values() if now >= job.until]
            for job in overdue:
                del self._jobs[job.key]
        for job in overdue:
            self._fail(job.command, f"no result within {job.until - job.begun:g} s", self._patience_kind)

    def stop(self, *, grace_s: float = 0.5) -> None:
        """End quickly: fields that are not begun are left for later, running ones get a moment."""
        with self._changed:
            self._stopping = True
            begun = self._jobs.keys() - {job.key for job in self._waiting}
            self._waiting.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not begun & self._jobs.keys(), timeout=grace_s)
            left, self._jobs = list(self._jobs.values()), {}
        for job in left:
            self._fail(job.command, "stopped", "stopped")

    def close(self) -> None:
        """Write what is derived and let the workers go; one that hangs is left behind."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            idle = not self._jobs
        for thread in self._threads:
            thread.join(None if idle else 0.1)
        self._archivist.close()

    # -- a worker's thread --------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        kind = InProcess if self._plan.executor == "processes" else InThread
        worker: Worker = kind(self._plan, self._measure, self._make_ready)
        try:
            self._warm(worker)
            while jobs := self._take():
                self._work_on(worker, jobs)
        finally:
            worker.close()

    def _warm(self, worker: Worker) -> None:
        """Measure a blank field if one comes before the first real one."""
        with self._changed:
            self._changed.wait_for(lambda: self._warming or self._waiting or self._stopping)
            blank = self._warming.pop() if self._warming else None
        if blank is None:
            return
        outcome: Mapping[str, Any] | Exception
        try:
            outcome = worker.make_ready(blank)
        except Exception as error:  # foreign code; told to whoever asked for the warm-up
            outcome = error
        with self._changed:
            self._warmed.append(outcome)
            self._changed.notify_all()

    def _take(self) -> list[_Job]:
        """Wait for the most urgent field, and a little for others that can share its batch; empty: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            batch = self._plan.batch
            if 0 < len(self._waiting) < batch:
                self._changed.wait_for(lambda: len(self._waiting) >= batch or self._stopping, self._plan.collect_s)
            return [heapq.heappop(self._waiting) for _ in range(min(batch, len(self._waiting)))]

    def _work_on(self, worker: Worker, jobs: Sequence[_Job]) -> None:
        try:
            outcomes = worker.measure([job.frames for job in jobs])
        except BrokenExecutor as error:
            _LOG.warning("an analysis worker died (%s); starting again", error)
            if len(jobs) == 1:
                self._end(jobs[0], RuntimeError(f"the analysis worker died: {error}"))
                return
            for job in jobs:  # one of them is to blame: alone, each dies or lives by itself
                self._work_on(worker, [job])
            return
        except Exception as error:  # foreign code: what it raises ends its own fields only
            outcomes = [error] * len(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._end(job, outcome)

    def _end(self, job: _Job, outcome: Measurement | Exception) -> None:
        command = job.command
        with self._changed:
            expected = self._jobs.pop(job.key, None) is not None
            self._changed.notify_all()
        if isinstance(outcome, Exception):
            if expected:
                self._fail(command, _sentence(outcome), "failed")
            return
        if not expected and (self._stopping or self._patience_kind != "late"):
            return  # it was given up for good
        wall: dict[str, Any] = {name: round(value, 3) for name, value in outcome.timing_ms.items()}
        if outcome.notes:
            wall["notes"] = list(outcome.notes)
        self._post(
            Measured(
                at_s=self._now_s(command),
                visit=command.visit,
                field=command.field,
                status=outcome.status,
                readouts=outcome.readouts,
                quality=outcome.quality,
                reason=outcome.reason,
                objects=len(outcome.objects.get("label", ())),
                profile=outcome.profile,
                candidates=outcome.candidates,
                wall=wall,
            )
        )
        self._archivist.keep(command, outcome)

    def _fail(self, command: Measure, reason: str, kind: str) -> None:
        self._post(
            MeasurementFailed(
                at_s=self._now_s(command), visit=command.visit, field=command.field, reason=reason, kind=kind
            )
        )


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.startswith("the analysis worker died") else f"{type(error).__name__}: {text}"
