"""The imperative shell: one queue, one decision thread; inputs into the journal and the machine, then commands out.

Nothing here decides. What the machine answers is journalled and, before the first exposure of a batch, synced; only
then is it carried out.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from numpy.typing import NDArray

from phenoloop.core import Machine, Phase
from phenoloop.model import (
    Acquire,
    Confirm,
    Decided,
    Finish,
    Input,
    Judged,
    Measure,
    Measured,
    Message,
    Meter,
    Paused,
    PolicyTooSlow,
    Resumed,
    RunEnded,
    RunResumed,
    StopRequested,
    VisitEnded,
)
from phenoloop.ports import Microscope
from phenoloop.runner.analysts import Analysts
from phenoloop.runner.approving import AT_THE_TERMINAL, STOPPED, Approvals
from phenoloop.runner.caretaker import CARETAKER, SILENCE_S
from phenoloop.runner.sequencing import Sequencer
from phenoloop.runner.signals import SignalPump
from phenoloop.runner.storekeeper import Storekeeper

_LOG = logging.getLogger(__name__)

POLICY_LIMIT_S = 30.0
"""Wall seconds after which a decision counts as hung; so generous that a busy computer never meets it."""


class JournalPort(Protocol):
    """What the loop needs of a journal."""

    def append(self, messages: Sequence[Message]) -> None:
        """Add lines, in memory."""
        ...

    def sync(self) -> None:
        """Make all lines durable: one write, one sync."""
        ...


class Loop:
    """Runs a machine against a microscope and an analysis until it ends.

    Parameters
    ----------
    machine : Machine
        Fresh, or folded from a journal.
    journal : JournalPort
        Open for appending.
    microscope : Microscope
        Open, delivering to `storekeeper`.
    sequencer : Sequencer
        Order of the inputs.
    pump : SignalPump
        For those who watch.
    read_field : callable
        ``read_field(visit, field)`` gives the frames of a field from disk, for those that are no longer in memory.
    close_data : callable
        Called once everything is stored, before the run counts as ended.
    """

    def __init__(
        self,
        machine: Machine,
        journal: JournalPort,
        microscope: Microscope,
        sequencer: Sequencer,
        pump: SignalPump,
        *,
        read_field: Callable[[int, str], Mapping[str, NDArray[Any]]],
        close_data: Callable[[], None],
    ) -> None:
        self.machine = machine
        self._journal = journal
        self._microscope = microscope
        self._sequencer = sequencer
        self._pump = pump
        self._read_field = read_field
        self._close_data = close_data
        self._inbox: queue.SimpleQueue[Input | None] = queue.SimpleQueue()
        self._approvals = Approvals(self.post)
        self._stopping = threading.Event()
        self._cut_short = False
        self.storekeeper: Storekeeper
        self.analyst: Analysts

    def attach(self, storekeeper: Storekeeper, analyst: Analysts) -> None:
        """Connect the two that post to this loop."""
        self.storekeeper = storekeeper
        self.analyst = analyst

    # -- doors for other threads --------------------------------------------------------------------------------------

    def post(self, happened: Input) -> None:
        """Put an input into the queue; any thread."""
        self._inbox.put(happened)

    def pause(self) -> None:
        """Hold before the next frame; any thread."""
        self._microscope.pause()
        self._approvals.hold(True)
        self.post(Paused(at_s=self.machine.at_s))

    def resume(self) -> None:
        """Go on; any thread."""
        self._microscope.resume()
        self._approvals.hold(False)
        self.post(Resumed(at_s=self.machine.at_s))

    def stop(self, reason: str, *, exit: str = "stopped") -> None:
        """End now with everything closed; any thread, more than once is once."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._microscope.stop()
        self.post(StopRequested(at_s=self.machine.at_s, reason=reason, exit=exit))

    def answer(self, answer: str, by: str = AT_THE_TERMINAL) -> bool:
        """Answer the batch that waits for a person: ``go``, ``skip`` or ``stop``; any thread.

        Returns
        -------
        bool
            False where nothing waits.
        """
        return self._approvals.answer(answer, by, judged=True)

    # -- the decision thread ------------------------------------------------------------------------------------------

    @CARETAKER.on_duty()
    def run(self, first: Sequence[Input], owed: Sequence[Message] = ()) -> RunEnded:
        """Run until the machine has ended.

        Parameters
        ----------
        first : sequence of Input
            Taken before anything else: `RunStarted`, or what a resumed run begins with.
        owed : sequence of Message
            Messages of the machine that are not in the journal yet.

        Returns
        -------
        RunEnded
            The last line of the journal.
        """
        promised = {(message.visit, message.field) for message in owed if isinstance(message, Measure)}
        under_way = [key for key in self.machine.outstanding_measures() if key not in promised]
        self._write(owed)
        resumed = any(isinstance(happened, RunResumed) for happened in first)
        for message in owed:
            # A run that goes on is not finished yet, and meters anew: what follows from `RunResumed` says so.
            if not (resumed and isinstance(message, Finish | Meter)):
                self._do(message)
        for visit, field in under_way:
            # Journalled before the process died, and lost with it: done again from disk, under the same name.
            self._do(Measure(at_s=self.machine.at_s, visit=visit, field=field))
        for happened in first:
            self._take(happened)
        if self.machine.question is not None and not self._approvals.open:
            self._do(self.machine.question)  # asked before the process died; a person has to be asked again
        while self.machine.phase is not Phase.ENDED:
            self._take(self._next())
        ended = RunEnded(at_s=self.machine.at_s, exit=self.machine.exit[0], reason=self.machine.exit[1])
        self._pump.tell(ended)
        return ended

    def _next(self) -> Input:
        """Wait for the next input that may be told."""
        while (happened := self._sequencer.pop()) is None:
            deadlines = (self.analyst.next_deadline(), self._approvals.next_deadline())
            deadline = min((at for at in deadlines if at is not None), default=None)
            wait_s = SILENCE_S if deadline is None else max(0.0, min(SILENCE_S, deadline - time.perf_counter()))
            if self._inbox.empty():
                CARETAKER.idle()
            try:
                arrived = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                CARETAKER.idle(silent=wait_s == SILENCE_S)
                self.analyst.give_up_overdue()
                self._approvals.give_up_overdue()
                continue
            if arrived is not None:
                self._sequencer.push(arrived)
        return happened

    def _take(self, happened: Input) -> None:
        if not self._legal(happened):
            return
        begun = time.perf_counter()
        messages = self.machine.handle(happened)
        decide_ms = (time.perf_counter() - begun) * 1000
        wall = dict(happened.wall)
        wall["at"] = round(time.time(), 3)
        asked = next((message for message in messages if isinstance(message, Decided | Confirm)), None)
        if asked is not None:
            wall["decide"] = round(decide_ms, 3)
        if isinstance(happened, Measured) and (delivered := self.storekeeper.delivered_at(happened.visit)):
            wall["image_to_decision"] = round((time.perf_counter() - delivered) * 1000, 3)
        # The machine is pure, so nothing has acted yet: the input is written before what follows from it is done.
        happened = replace(happened, wall=wall)
        self._journal.append([happened])
        self._pump.tell(happened)
        if isinstance(happened, VisitEnded):
            limits, frames = self.machine.plan.limits, self.machine.ledger.frames
            budget = {"frames": (frames, limits.frames), "duration_s": (happened.at_s, limits.duration_s)}
            self._pump.post("budget", budget)
        self._write(messages)
        for message in messages:
            self._do(message)
        if asked is not None and decide_ms > POLICY_LIMIT_S * 1000:
            decision = asked.proposed.decision if isinstance(asked, Confirm) else asked.decision
            self.post(PolicyTooSlow(at_s=self.machine.at_s, decision=decision, limit_s=POLICY_LIMIT_S))
        if self.machine.phase is Phase.STOPPING and not self._cut_short:
            self._cut_short = True
            self._microscope.stop()
            self.analyst.stop()
            self._approvals.answer("skip", STOPPED)

    def _legal(self, happened: Input) -> bool:
        """Drop what a person asked for twice, or too late: it is no fault and changes nothing."""
        phase = self.machine.phase
        if isinstance(happened, Paused):
            return phase in (Phase.METERING, Phase.RUNNING, Phase.DRAINING)
        if isinstance(happened, Resumed):
            return phase is Phase.PAUSED
        if isinstance(happened, StopRequested | PolicyTooSlow):
            return phase not in (Phase.CLOSING, Phase.ENDED)
        return True

    def _write(self, messages: Sequence[Message]) -> None:
        if messages:
            self._journal.append(messages)
        if any(isinstance(message, Acquire | Meter | Confirm | Finish) for message in messages):
            self._journal.sync()

    def _do(self, message: Message) -> None:
        self._sequencer.sent(message)
        if isinstance(message, Acquire):
            self._microscope.acquire(message)
        elif isinstance(message, Measure):
            frames = self.storekeeper.take_pixels(message.visit, message.field)
            self.analyst.submit(message, frames or self._read_field(message.visit, message.field))
        elif isinstance(message, Meter):
            self._microscope.meter(message)
        elif isinstance(message, Confirm):
            self._approvals.ask(message)
            self._pump.tell(message)
        elif isinstance(message, Finish):
            self._finish(message)
        elif isinstance(message, Judged | Decided):
            self._pump.tell(message)

    def _finish(self, command: Finish) -> None:
        # The data first: a camera in the middle of a long exposure may keep the microscope from closing for a while.
        self.storekeeper.close()
        self.analyst.close()
        self._close_data()
        ended = RunEnded(
            at_s=command.at_s, exit=command.exit, reason=command.reason, wall={"at": round(time.time(), 3)}
        )
        self._journal.append([ended])
        self._journal.sync()
        self.machine.handle(ended)
