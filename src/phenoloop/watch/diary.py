"""The lines of ``log.jsonl`` on how a run went: what was used, what went wrong and where, how fast it still was.

It watches like any other watcher and decides nothing; the journal has everything it says, and more.
"""

from __future__ import annotations

import json
import logging
import shutil
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from phenoloop.model import (
    Decided,
    Fault,
    Input,
    Judged,
    Measured,
    MeasurementFailed,
    RunEnded,
    RunResumed,
    VisitEnded,
)
from phenoloop.platform import peak_memory_mb
from phenoloop.runner import RunSignals

_LOG = logging.getLogger(__name__)

_PULSE_S: Final = 900.0
"""Wall time between two lines that say how far it is: 288 of them in three days."""
_USUAL: Final = 101
"""Fields that say how long the analysis usually takes."""
_SLOW, _SLOW_MS = 5.0, 1000.0
"""An analysis is slow where it takes this many times as long as usual, and a second at least."""


class Diary:
    """Writes to the log what happens in a run.

    Parameters
    ----------
    folder : Path
        Of the run; its disk is watched.
    clock : callable
        Seconds, from any origin.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._pulse = clock()
        self._count: Counter[str] = Counter()
        self._analysis_ms: deque[float] = deque(maxlen=_USUAL)
        self._wells: dict[int, str] = {}

    def watch(self, signals: RunSignals) -> None:
        """Connect to what a run tells. The signals do not keep this diary alive: the caller does."""
        signals.started.connect(self.started)
        signals.decided.connect(self.decided)
        signals.visit_ended.connect(self.visit_ended)
        signals.fault.connect(self.fault)
        signals.measured.connect(self.measured)
        signals.judged.connect(self.judged)
        signals.pause_changed.connect(self.pause_changed)
        signals.finished.connect(self.finished)

    def started(self, happened: Input) -> None:
        """What it runs with, then that it begins, or goes on."""
        for name, said in happened.wall.get("equipment", {}).items():
            _LOG.info("%s: %s", name, json.dumps(said, ensure_ascii=False, default=str))
        if isinstance(happened, RunResumed):
            _LOG.info("taken up again at %s on the run's clock", _duration(happened.at_s))
        else:
            _LOG.info("begun")

    def decided(self, record: Decided) -> None:
        """A policy that cannot be used, or that wants to end."""
        self._count["decisions"] += 1
        for proposal in record.proposals:
            if proposal.visit >= 0:
                self._wells[proposal.visit] = proposal.well
        if record.error:
            _LOG.warning("decision %d: policy %s: %s", record.decision, record.policy, record.error)
        if record.stop:
            _LOG.info("decision %d: policy %s stops: %s", record.decision, record.policy, record.stop)

    def visit_ended(self, visit: VisitEnded) -> None:
        """Frames that are missing; now and then, how far it is."""
        self._count.update(visits=1, frames=len(visit.frames), missing=len(visit.missing))
        self._count["retried"] += sum(frame.attempts > 1 for frame in visit.frames)
        for reason, count in Counter(frame.reason for frame in visit.missing).items():
            _LOG.warning("%s: %d frame%s missing: %s", self._where(visit.visit), count, "s"[: count > 1], reason)
        if self._clock() - self._pulse >= _PULSE_S:
            self._pulse = self._clock()
            _LOG.info("at %s on the run's clock: %s", _duration(visit.at_s), self._state())

    def fault(self, fault: Fault) -> None:
        """A refusal of the hardware."""
        self._count["faults"] += 1
        place = ", ".join(part for part in (fault.field and f"field {fault.field}", fault.channel) if part)
        _LOG.warning(
            "%s refused%s (attempt %d): %s", fault.call, place and f" in {place}", fault.attempt, fault.message
        )

    def measured(self, happened: Input) -> None:
        """Fields without a result, what the machinery went through for one, and an analysis that is slow."""
        if isinstance(happened, MeasurementFailed):
            self._count[happened.kind] += 1
            where = f"{self._where(happened.visit)}, field {happened.field}"
            _LOG.warning("%s: not analysed (%s): %s", where, happened.kind, happened.reason)
        elif isinstance(happened, Measured):
            where = f"{self._where(happened.visit)}, field {happened.field}"
            self._count.update(measured=1, rejected=happened.status != "ok")
            for note in happened.wall.get("notes", ()):
                _LOG.warning("%s: %s", where, note)
            self._look_at_time(where, happened.wall)

    def judged(self, record: Judged) -> None:
        """A field that is not used after all."""
        self._count["rejected"] += 1

    def pause_changed(self, paused: bool) -> None:
        """Somebody held the run, or let it go on."""
        _LOG.info("paused" if paused else "goes on after a pause")

    def finished(self, ended: RunEnded) -> None:
        """The end, with totals."""
        level = logging.INFO if ended.exit in ("completed", "budget") else logging.WARNING
        _LOG.log(level, "ended at %s (%s: %s): %s", _duration(ended.at_s), ended.exit, ended.reason, self._state())

    def _look_at_time(self, where: str, wall: Mapping[str, Any]) -> None:
        took = float(wall.get("segment", 0.0)) + float(wall.get("measure", 0.0))
        if len(self._analysis_ms) == _USUAL:
            usual = statistics.median(self._analysis_ms)
            if took > max(_SLOW_MS, _SLOW * usual):
                self._count["slow"] += 1
                _LOG.warning("%s: the analysis took %.1f s, usually %.0f ms", where, took / 1000, usual)
        self._analysis_ms.append(took)

    def _where(self, visit: int) -> str:
        well = self._wells.get(visit)
        return f"visit {visit}" if well is None else f"visit {visit}, {well}"

    def _state(self) -> str:
        count = self._count
        said = [
            f"{count['decisions']} decisions, {count['visits']} visits, {count['frames']} frames "
            f"({count['retried']} at a second try or later), {count['missing']} missing",
            f"{count['faults']} faults",
            f"{count['measured']} fields analysed, {count['rejected']} rejected, {count['failed']} failed, "
            f"{count['late']} late, {count['slow']} slow",
        ]
        if self._analysis_ms:
            said.append(f"analysis lately {statistics.median(self._analysis_ms):.0f} ms")
        said.append(f"{shutil.disk_usage(self._folder).free / 1e9:.1f} GB free on the disk")
        memory = peak_memory_mb()
        if memory is not None:
            said.append(f"memory at most {memory:.0f} MB")
        return "; ".join(said)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
