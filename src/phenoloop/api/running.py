"""`run` and `resume`: from a protocol or a run folder to a session, and from its end to a report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phenoloop.api.adopting import adopt
from phenoloop.api.live import RunResult
from phenoloop.api.logs import logging_to
from phenoloop.api.reporting import make_report
from phenoloop.api.resolved import Resolved
from phenoloop.api.session import OnStart, OnWait, Session
from phenoloop.core import Machine, Phase, fold
from phenoloop.core.budgets import planned_bytes
from phenoloop.errors import UsageError
from phenoloop.model import Acquire, Autonomy, Input, RunResumed, RunStarted
from phenoloop.plugins import Registry
from phenoloop.protocol import load
from phenoloop.storage.journal import Journal
from phenoloop.storage.run_folder import RunFolder


def run(
    path: Path,
    *,
    out: Path | None = None,
    simulate: bool = False,
    on_start: OnStart | None = None,
    on_wait: OnWait | None = None,
    attended: bool = False,
) -> RunResult:
    """Run a protocol to its end.

    Parameters
    ----------
    path : Path
        Protocol file.
    out : Path, optional
        The run folder itself, new or empty; otherwise one is made under ``runs/``.
    simulate : bool
        On the virtual plate, whatever microscope the protocol names.
    on_start : callable, optional
        Given the live run before the first decision.
    on_wait : callable, optional
        Called every 0.2 s in this thread while the run goes on.
    attended : bool
        Somebody can answer a batch that waits (`LiveRun.answer`). Otherwise a protocol that waits for a person without
        end is refused.

    Returns
    -------
    RunResult
        With the report, also after a stop or a failure.

    Raises
    ------
    ProtocolError, UsageError
        Before any device is touched.
    HardwareError
        If the microscope cannot be used; nothing was imaged.
    StorageError
        If the journal cannot be written.
    """
    loaded = load(path, Registry(), simulate=simulate)
    resolved = Resolved.of(loaded, hashlib.sha256(loaded.text.encode()).hexdigest())
    return carry_out(resolved, loaded.text, out=out, on_start=on_start, on_wait=on_wait, attended=attended)


def carry_out(
    resolved: Resolved,
    text: str,
    *,
    out: Path | None = None,
    on_start: OnStart | None = None,
    on_wait: OnWait | None = None,
    attended: bool = False,
) -> RunResult:
    """Run what a protocol was understood as; see `run`. `text` is the protocol as given, for the run folder."""
    _require_a_person(resolved.plan.autonomy, attended=attended)
    machine = Machine(resolved.plan, resolved.decider())
    folder = RunFolder.create(out, resolved.plan.name, Path.cwd() / "runs")
    with folder, _kept_once_begun(folder), logging_to(folder.log):
        folder.require_space(planned_bytes(resolved.plan))
        folder.protocol.write_bytes(text.encode())
        folder.resolved.write_bytes(resolved.to_json())
        session = Session(resolved, folder, machine)
        # Microscope and analysis first: where they cannot be used there is no run, and so no journal.
        session.open()
        journal = Journal.create(folder.journal, wall={"run": folder.path.name, "at": round(time.time(), 3)})
        session.go(journal, [RunStarted(at_s=0.0, plan_hash=resolved.plan_hash)], on_start=on_start, on_wait=on_wait)
    return make_report(folder)


def resume(
    run: Path, *, on_start: OnStart | None = None, on_wait: OnWait | None = None, attended: bool = False
) -> RunResult:
    """Go on with a run that was killed or stopped.

    The journal is folded, not re-decided. A visit without an end keeps the frames that are on disk, its other frames
    are missing, its light counts as given; it is never exposed again by itself.

    Parameters
    ----------
    run : Path
        A run folder.
    on_start, on_wait, attended
        As for `run`.

    Raises
    ------
    UsageError
        If the run is complete, in use by another process, or no run folder.
    JournalError
        If a line other than a torn last one is bad.
    """
    folder = RunFolder.open(run, write=True)
    with folder, logging_to(folder.log):
        resolved = Resolved.from_json(folder.resolved.read_bytes(), str(folder.resolved))
        _require_a_person(resolved.plan.autonomy, attended=attended)
        journal, content = Journal.reopen(folder.journal)
        folded = fold(content.messages, resolved.plan, resolved.decider())
        machine = folded.machine
        if machine.phase is Phase.ENDED and machine.exit[0] in ("completed", "budget"):
            journal.close()
            raise UsageError(f"{folder.path} is complete ({machine.exit[0]}: {machine.exit[1]}): nothing to resume.")
        session = Session(resolved, folder, machine)
        try:
            session.open()
        except BaseException:  # Ctrl-C while devices load is one: the journal is let go whatever it was
            journal.close()
            raise
        first: list[Input] = [RunStarted(at_s=0.0, plan_hash=resolved.plan_hash)]
        if content.messages:
            promised = {message.visit.number for message in folded.owed if isinstance(message, Acquire)}
            lost = [visit for visit in machine.outstanding_acquires() if visit.number not in promised]
            attempts = resolved.microscope.attempts
            ends = [
                adopt(visit, machine.plan, session.images, machine.at_s, machine.most_light_s(visit, attempts))
                for visit in lost
            ]
            first = [RunResumed(at_s=machine.at_s), *ends]
        session.go(journal, first, owed=folded.owed, on_start=on_start, on_wait=on_wait)
    return make_report(folder)


def _require_a_person(autonomy: Autonomy, *, attended: bool) -> None:
    if autonomy.asks and autonomy.within_s is None and not attended:
        raise UsageError(
            "`autonomy: confirm` waits for a person, and there is no terminal here to answer in. Run it in a terminal, "
            "or say how long to wait and what then: autonomy: {level: confirm, within: 5 min, otherwise: skip}."
        )


@contextmanager
def _kept_once_begun(folder: RunFolder) -> Iterator[None]:
    """Leave no half run folder behind when the microscope could not be opened: the next try may use the same name."""
    try:
        yield
    except BaseException:  # a refused device, a full disk, Ctrl-C: what is tidied up does not depend on it
        if not folder.journal.exists():
            folder.release()
            for name in (folder.protocol, folder.resolved, folder.log, folder.path / ".lock"):
                name.unlink(missing_ok=True)
            if not any(folder.path.iterdir()):
                folder.path.rmdir()
        raise
