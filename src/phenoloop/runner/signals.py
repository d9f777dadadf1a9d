"""How people watch a run: one psygnal group, fed by a thread of its own so that no watcher can touch the loop."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from psygnal import EmitLoopError, Signal, SignalGroup

from phenoloop.model import (
    Answered,
    Confirm,
    Decided,
    ExposuresSet,
    Fault,
    Input,
    Judged,
    Measured,
    MeasurementFailed,
    Message,
    MeteringFailed,
    Paused,
    Resumed,
    RunEnded,
    RunResumed,
    RunStarted,
    VisitEnded,
)

log = logging.getLogger(__name__)


class RunSignals(SignalGroup):
    """What a run tells its watchers. Slots run in the watcher thread; nothing here can change a decision.

    A slot connected to one of these gets exactly one argument. Where one slot raises, the slots that were connected
    to the same signal after it miss that notification; the error goes to the log.
    """

    started = Signal(Input, description="RunStarted, or RunResumed when a run is taken up again: it goes on now.")
    visit_ended = Signal(VisitEnded, description="A visit is over; each of its frames is stored or missing.")
    measured = Signal(Input, description="Measured or MeasurementFailed: one field has its result.")
    judged = Signal(Judged, description="A field that was accepted is not used after all, because of the others.")
    decided = Signal(Decided, description="The policy was asked; its proposals, their why, and what became of them.")
    question = Signal(Confirm, description="A batch waits for a person; nothing is chosen until it is answered.")
    answered = Signal(Answered, description="The batch that waited has its answer: go, skip or stop, and by whom.")
    metered = Signal(Input, description="ExposuresSet or MeteringFailed: exposures were found, or none could be.")
    fault = Signal(Fault, description="The hardware refused a call (it may have worked when asked again).")
    budget = Signal(dict, description="Name of a limit -> (used, limit or None), e.g. {'frames': (96, 400)}.")
    # Not `paused`: that is a method of every psygnal group.
    pause_changed = Signal(bool, description="True: the loop holds. False: it goes on.")
    finished = Signal(RunEnded, description="Everything is on disk and closed.")


_SIGNAL_OF: Final[Mapping[type[Message], str]] = {
    RunStarted: "started",
    RunResumed: "started",
    VisitEnded: "visit_ended",
    Measured: "measured",
    MeasurementFailed: "measured",
    Judged: "judged",
    Decided: "decided",
    Confirm: "question",
    Answered: "answered",
    ExposuresSet: "metered",
    MeteringFailed: "metered",
    Paused: "pause_changed",
    Resumed: "pause_changed",
    RunEnded: "finished",
}


class SignalPump:
    """Carries notifications from the loop to the slots of a `RunSignals`, in order, in a thread of its own.

    The loop posts and goes on at once. When the slots are slower than the run, the oldest notifications that wait are
    dropped and counted: watchers see less, the run loses nothing (the journal has it all).

    Parameters
    ----------
    signals : RunSignals
        Where notifications go.
    capacity : int
        Notifications that may wait.
    """

    def __init__(self, signals: RunSignals, *, capacity: int = 4096) -> None:
        self._signals: Final = signals
        self._capacity: Final = capacity
        self._waiting: deque[tuple[str, Any]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._dropped = 0
        self._failed = 0
        self._thread = threading.Thread(target=self._run, name="phenoloop-watch", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Notifications that no watcher saw because the slots were too slow."""
        return self._dropped

    @property
    def failed(self) -> int:
        """Notifications during which a slot raised."""
        return self._failed

    def post(self, name: str, message: Any) -> None:
        """Queue a notification and return at once; after `close` it is ignored.

        Parameters
        ----------
        name : str
            A signal of `RunSignals`; KeyError for any other, here rather than in the thread.
        message : object
            The one argument its slots get.
        """
        if name not in self._signals:
            raise KeyError(f"RunSignals has no signal {name!r}; it has {', '.join(self._signals)}")
        with self._changed:
            if self._closing:
                return
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append((name, message))
            self._changed.notify()

    def tell(self, message: Message) -> None:
        """Queue what watchers hear of an input or a message of the machine; nothing where no signal is for its kind."""
        name = _SIGNAL_OF.get(type(message))
        if name is not None:
            self.post(name, isinstance(message, Paused) if name == "pause_changed" else message)
        if isinstance(message, VisitEnded):
            for fault in message.faults:
                self.post("fault", fault)

    def close(self, *, timeout_s: float = 2.0) -> bool:
        """Let the slots see what waits, then end the thread.

        Parameters
        ----------
        timeout_s : float
            How long to wait for slow slots. A slot that never returns is left behind in its daemon thread.

        Returns
        -------
        bool
            Whether everything was seen.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        done = not self._thread.is_alive()
        if not done:
            with self._changed:
                self._dropped += len(self._waiting)
                self._waiting.clear()
            log.warning("a watcher did not return within %g s; the run ended without it", timeout_s)
        if self._dropped:
            log.warning("watchers were too slow for %d notifications (the journal has them all)", self._dropped)
        return done

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                name, message = self._waiting.popleft()
            try:
                self._signals[name].emit(message)
            except EmitLoopError as error:
                self._failed += 1
                with contextlib.suppress(ValueError):  # a closed log stream at the very end of the process
                    log.error("a watcher of %r raised", name, exc_info=error.__cause__ or error)
