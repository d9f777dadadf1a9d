"""What a watcher knows of a run that goes on: filled in the watcher thread, read by a view in its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from phenoloop.model import (
    Answer,
    Answered,
    Confirm,
    Decided,
    ExposuresSet,
    Fault,
    FieldReadout,
    Input,
    Judged,
    Measured,
    MeasurementFailed,
    Message,
    MeteringFailed,
    Plan,
    RunEnded,
    Setup,
    VisitEnded,
)
from phenoloop.ports import Question
from phenoloop.runner.signals import RunSignals
from phenoloop.watch import asking
from phenoloop.watch.decision_line import summary
from phenoloop.watch.tally import Tally
from phenoloop.watch.verdict import count, duration, number

DECISIONS_KEPT: Final = 50
FAULTS_KEPT: Final = 50


class Folder(Protocol):
    """Where a run is kept."""

    @property
    def path(self) -> Path:
        """The run folder."""
        ...


class Watched(Protocol):
    """A run while it goes on, as a view needs it. `pause`, `resume` and `stop` may be called from any thread."""

    @property
    def signals(self) -> RunSignals:
        """What to subscribe to."""
        ...

    @property
    def plan(self) -> Plan:
        """The protocol as understood."""
        ...

    @property
    def setup(self) -> Setup:
        """What policy and question were told."""
        ...

    def pause(self) -> None:
        """Hold."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def stop(self, reason: str) -> None:
        """End now."""
        ...

    def answer(self, answer: str) -> bool:
        """Answer the batch that waits: ``go``, ``skip`` or ``stop``; False where none does."""
        ...


class Feed:
    """Collects what a run tells. Its slots only count and append, so the watcher thread never waits for a screen.

    Parameters
    ----------
    run : Watched
        The run; its signals are connected here.
    history : iterable of Message
        What the journal held before, when a run is taken up again.
    question : Question, optional
        Asked for the calls as they stand.
    lines : bool
        Also collect one plain line per visit, decision, rejected field and fault, for `take_lines`.
    clock : callable
        Wall clock in seconds.
    """

    def __init__(
        self,
        run: Watched,
        history: Iterable[Message] = (),
        *,
        question: Question | None = None,
        lines: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock: Final = threading.RLock()
        """Hold it to read `tally`, `decisions` and `faults` together."""
        self.tally: Final = Tally(run.plan).take_all(history)
        self.decisions: Final[deque[Decided]] = deque(self.tally.decisions, maxlen=DECISIONS_KEPT)
        self._frames_before = self.tally.listed
        self._at_s_before = self.tally.at_s
        self.faults: Final[deque[Fault]] = deque(maxlen=FAULTS_KEPT)
        self.paused = False
        self.question: asking.Question | None = None
        """The batch that waits for a person."""
        self.finished: RunEnded | None = None
        self._question = question
        self._answered: tuple[tuple[int, int], Answer | None] = ((0, 0), None)
        self._clock = clock
        self._began = clock()
        self._lines: deque[str] | None = deque() if lines else None
        signals = run.signals
        slots: dict[str, Callable[[Any], None]] = {
            "started": self._started,
            "decided": self._decided,
            "visit_ended": self._visit_ended,
            "measured": self._measured,
            "judged": self._judged,
            "question": self._asked,
            "answered": self._told,
            "metered": self._metered,
            "fault": self._fault,
            "pause_changed": self._pause_changed,
            "finished": self._finished,
        }
        for name, slot in slots.items():
            signals[name].connect(slot)

    @property
    def elapsed_s(self) -> float:
        """Wall seconds since this feed began."""
        return self._clock() - self._began

    def left_s(self) -> float | None:
        """Return the wall seconds that are left at most, at the speed so far; None where that cannot be said yet."""
        with self.lock:
            to_go = self.goal_frames() - self.tally.listed
            frames, spent_s = self.tally.listed - self._frames_before, self.tally.at_s - self._at_s_before
            limit_s = self.tally.plan.limits.duration_s
            clock_to_go = None if limit_s is None else limit_s - self.tally.at_s
        elapsed = self.elapsed_s
        if not frames or elapsed < 1:
            return None
        left = to_go * elapsed / frames
        if clock_to_go is not None and spent_s > 0:
            left = min(left, clock_to_go * elapsed / spent_s)
        return max(0.0, left)

    def answer(self) -> Answer | None:
        """Return what the question says of the results so far; None without a question or results."""
        with self.lock:
            results = list(self.tally.results.values())
        if self._question is None or not results:
            return None
        accepted = sum(found.status == "ok" for found in results), len(results)
        if self._answered[0] != accepted:
            fields = [
                FieldReadout(
                    well=found.well,
                    field=found.field,
                    visit=found.visit,
                    readouts=found.readouts,
                    profile=found.profile,
                    imaging=found.imaging,
                    at_s=found.at_s,
                )
                for found in sorted(results, key=lambda found: found.visit)
                if found.status == "ok"
            ]
            self._answered = accepted, self._question.answer(fields)
        return self._answered[1]

    def goal_frames(self) -> int:
        """Return the frames this run can take at most: its budget, or one look at every field."""
        limit, possible = self.tally.plan.limits.frames, self.tally.possible
        return possible if limit is None else min(limit, possible)

    def take_lines(self) -> list[str]:
        """Return the plain lines since the last call."""
        with self.lock:
            if self._lines is None:
                return []
            taken = list(self._lines)
            self._lines.clear()
            return taken

    # -- slots ------------------------------------------------------------------------------------------------------

    def _started(self, message: Input) -> None:
        with self.lock:
            self.tally.take(message)
            self._say(message.at_s, f"started: {count(len(self.tally.plan.wells), 'well')}")

    def _decided(self, message: Decided) -> None:
        with self.lock:
            self.tally.take(message)
            self.decisions.append(message)
            self._say(message.at_s, f"decision {message.decision}: {summary(message)}")

    def _visit_ended(self, message: VisitEnded) -> None:
        with self.lock:
            self.tally.take(message)
            trip = self.tally.trips.get(message.visit)
            where = f" {trip.well} field{'s' if len(trip.fields) > 1 else ''} {', '.join(trip.fields)}" if trip else ""
            text = f"visit {message.visit}{where}: {count(len(message.frames), 'frame')} stored"
            if message.missing:
                text += f", {len(message.missing)} missing ({message.missing[0].reason})"
            self._say(message.at_s, text)

    def _measured(self, message: Measured | MeasurementFailed) -> None:
        with self.lock:
            self.tally.take(message)
            if isinstance(message, Measured) and message.status == "ok":
                return
            trip = self.tally.trips.get(message.visit)
            what = "rejected" if isinstance(message, Measured) else message.kind
            self._say(message.at_s, f"{trip.well if trip else '?'} field {message.field} {what}: {message.reason}")

    def _judged(self, message: Judged) -> None:
        with self.lock:
            self.tally.take(message)
            trip = self.tally.trips.get(message.visit)
            self._say(message.at_s, f"{trip.well if trip else '?'} field {message.field} rejected: {message.reason}")

    def _asked(self, message: Confirm) -> None:
        with self.lock:
            self.question = asking.Question(message, self._clock)
            self._say(message.at_s, asking.plain(message))

    def _told(self, message: Answered) -> None:
        with self.lock:
            self.question = None
            self._say(message.at_s, asking.told(message))

    def _metered(self, message: ExposuresSet | MeteringFailed) -> None:
        with self.lock:
            self.tally.take(message)
            if isinstance(message, MeteringFailed):
                self._say(message.at_s, message.reason)
                return
            found = [f"{one.channel} {number(one.exposure_ms)} ms" for one in message.channels]
            self._say(message.at_s, f"exposures metered and frozen: {', '.join(found)}")

    def _fault(self, message: Fault) -> None:
        with self.lock:
            self.faults.append(message)
            self._say(self.tally.at_s, f"fault in {message.call}, attempt {message.attempt}: {message.message}")

    def _pause_changed(self, paused: bool) -> None:
        with self.lock:
            self.paused = paused
            if self.question is not None and not paused:
                self.question = asking.Question(self.question.command, self._clock)  # its time starts anew
            self._say(self.tally.at_s, "paused" if paused else "resumed")

    def _finished(self, message: RunEnded) -> None:
        with self.lock:
            self.tally.take(message)
            self.finished, self.question = message, None
            self._say(message.at_s, f"{message.exit}: {message.reason}" if message.reason else message.exit)

    def _say(self, at_s: float, text: str) -> None:
        if self._lines is not None:
            self._lines.append(f"{duration(at_s):>12}  {text}")
