"""How a run is watched and interrupted: the first Ctrl-C stops it with its data closed, the second leaves at once.

SIGTERM (a shutdown, `kill`) counts as Ctrl-C: a lamp must not stay on because the computer goes down. A terminal that
is closed, or a connection that is lost (SIGHUP), takes the view away and not the run.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Final, Protocol, TextIO

from phenoloop.api import LiveRun, RunResult
from phenoloop.cli.telling import INTERRUPTED, say, tell
from phenoloop.model import Message
from phenoloop.ports import Question
from phenoloop.watch.console import open_view
from phenoloop.watch.verdict import verdict

_LOG = logging.getLogger(__name__)

WHO: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "a signal to end (SIGTERM)"}


class Job(Protocol):
    """`api.run` or `api.resume` with all but its hooks given."""

    def __call__(
        self, *, on_start: Callable[[LiveRun], None], on_wait: Callable[[], None], attended: bool
    ) -> RunResult:
        """Carry it out."""
        ...


class Interrupts:
    """Counts Ctrl-C while a run goes on. A context manager; it must be entered in the main thread.

    Before the run has begun, the first one raises KeyboardInterrupt. Once it has, the first sets `asked` to what it was
    and the second ends the process, whatever the hardware does: images and journal are complete to the last visit.

    Parameters
    ----------
    leave : callable
        Called just before the process is ended, to give the terminal back.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self.asked = ""
        self.armed = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._pressed) for number in WHO}
        if hasattr(signal, "SIGHUP"):  # Windows has none
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hung_up)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        if not self.armed:
            raise KeyboardInterrupt
        if self.asked:
            self._leave()
            # Not sys.exit: a thread that hangs in a driver would keep the process alive.
            os.write(2, b"left at once: the hardware was not put in its safe state; go on with: phenoloop resume\n")
            os._exit(INTERRUPTED)
        self.asked = WHO[signal.Signals(number)]

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if not self.armed:
            raise KeyboardInterrupt
        _LOG.warning("the terminal is gone; the run goes on without it, and `kill %d` stops it", os.getpid())


def carry_out(job: Job, *, stream: TextIO | None = None, resumed: bool = False) -> RunResult:
    """Carry out a run with a view on it.

    Parameters
    ----------
    job : Job
        What to run.
    stream : text file, optional
        Where the view is drawn; standard output.
    resumed : bool
        The run has a history, which the view begins with.

    Returns
    -------
    RunResult
        Of the run, however it ended.
    """
    view = open_view(stream or sys.stdout)
    live: list[LiveRun] = []
    blind = False

    def guarded(step: Callable[[], None]) -> None:
        nonlocal blind
        if blind:
            return
        try:
            step()
        except Exception:  # a terminal that breaks (a closed window, a lost connection) must not end a run
            blind = True
            _LOG.exception("the view failed; the run goes on without it")

    def on_start(run: LiveRun) -> None:
        live.append(run)
        interrupts.armed = True
        history = _history(run) if resumed else ()
        guarded(lambda: view.attach(run, question=_question(run), history=history))

    def on_wait() -> None:
        if interrupts.asked and live:
            live[0].stop(f"interrupted with {interrupts.asked}")
        guarded(view.refresh)

    with Interrupts(view.abandon) as interrupts:
        try:
            result = job(on_start=on_start, on_wait=on_wait, attended=view.attended)
        finally:
            guarded(view.close)
    if interrupts.asked:
        tell(f"stopped by {interrupts.asked}; all data are closed")
    return result


def _history(run: LiveRun) -> Sequence[Message]:
    from phenoloop.storage.journal import read

    return read(run.folder.journal).messages


def _question(run: LiveRun) -> Question | None:
    """A question of the view's own: what it is asked while the run goes on cannot touch the run."""
    from phenoloop.api.resolved import Resolved

    return Resolved.from_json(run.folder.resolved.read_bytes(), str(run.folder.resolved)).build_question()


def tell_result(result: RunResult) -> None:
    """Write what a run found and where it is kept."""
    report, folder = result.report, result.folder
    said = verdict(report)
    say()
    say(f"{said.headline}. {said.found}")
    say(f"{said.effort}.")
    for note in report["notes"]:
        say(f"note: {note}")
    if report["lost_frames"]:
        say(f"{report['lost_frames']} frames exposed the sample and are not on disk.")
    say(f"report  {folder.report_html}")
    say(f"data    {folder.path}")


def tell_way_on(result: RunResult) -> None:
    """Write, for a run that did not end by itself, why, where its data are and how to go on."""
    report = result.report
    if report["exit"] in ("completed", "budget"):
        return
    reason = f": {report['reason']}" if report["reason"] else ""
    path = str(result.folder.path)
    quoted = f'"{path}"' if " " in path else path
    tell(f"the run is {report['exit']}{reason}. Its data are in {path}. Go on with: phenoloop resume {quoted}")
