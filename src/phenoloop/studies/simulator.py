"""The real loop without hardware: machine, policy, guards, router and batches as they ship; fields are looked up.

What a field would have measured is known beforehand (`FieldSource`); when it would have been known follows from the
cost model and the declared analysis time. So decisions are those of a run that met the same fields, and take
milliseconds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from phenoloop.core import Decider, Machine
from phenoloop.errors import UsageError
from phenoloop.model import (
    Acquire,
    Autonomy,
    ExposuresSet,
    FieldReadout,
    Finish,
    Input,
    Measure,
    Measured,
    MeasurementFailed,
    Message,
    Meter,
    MeteredChannel,
    Plan,
    RunEnded,
    RunStarted,
    VisitEnded,
)
from phenoloop.runner.sequencing import VirtualOrder
from phenoloop.studies.hardware import TimedMicroscope


class FieldSource(Protocol):
    """Knows what every field of a plate measures."""

    def measured(self, well: str, field: str) -> Measured | MeasurementFailed:
        """Return the result of a field; its visit and its time are the caller's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has taken so far.

    Attributes
    ----------
    frames : int
        Frames stored.
    seconds : float
        Run clock.
    light_s : float
        Seconds of exposure at full power, over all fields; autofocus included.
    """

    frames: int = 0
    seconds: float = 0.0
    light_s: float = 0.0

    def after(self, happened: Input) -> Spent:
        """Return what was spent once this has happened too."""
        seconds = max(self.seconds, happened.at_s)
        if not isinstance(happened, VisitEnded):
            return dataclasses.replace(self, seconds=seconds)
        light_s = self.light_s + sum(happened.light_s.values())
        return Spent(frames=self.frames + len(happened.frames), seconds=seconds, light_s=light_s)


Look = Callable[[Spent, Sequence[FieldReadout]], None]
"""Called with what was spent, and the fields that are accepted by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run that has ended: what it took, how, and every message in the order of its journal."""

    spent: Spent
    exit: str
    reason: str
    messages: tuple[Message, ...]


def simulate(
    plan: Plan, decider: Decider, source: FieldSource, *, look_every: int = 0, look: Look | None = None
) -> Course:
    """Run a policy to its end.

    Parameters
    ----------
    plan : Plan
        The protocol as understood. Nobody is asked: whatever its autonomy, the policy acts. Automatic exposures are
        taken as long as they may become.
    decider : Decider
        Policy and fallback, built for the same plan.
    source : FieldSource
        What is measured.
    look_every : int
        Frames between two looks; 0: one at the end only.
    look : callable, optional
        Looks on; called at the end too.

    Raises
    ------
    RuntimeError
        If a policy fails to decide: a study of the fallback would be a study of something else.
    UsageError
        If it looks at a field under another profile than main, of which nothing is known.
    """
    plan = dataclasses.replace(plan, autonomy=Autonomy())
    return _Run(plan, decider, source, look_every, look).go()


class _Run:
    def __init__(self, plan: Plan, decider: Decider, source: FieldSource, look_every: int, look: Look | None) -> None:
        self._machine = Machine(plan, decider)
        self._microscope = TimedMicroscope(plan)
        self._order = VirtualOrder(plan.analysis_latency_s)
        self._source = source
        self._look_every, self._look = look_every, look
        self._next_look: float = look_every or math.inf
        self._spent = Spent()
        self._messages: list[Message] = []
        self._end: tuple[str, str] | None = None

    def go(self) -> Course:
        self._take(RunStarted(at_s=0.0))
        while self._end is None:
            happened = self._order.pop()
            assert happened is not None, "a run that has not ended waits for something"
            self._take(happened)
        if self._look is not None:
            self._look(self._spent, self._machine.accepted())
        how, reason = self._end
        return Course(spent=self._spent, exit=how, reason=reason, messages=tuple(self._messages))

    def _take(self, happened: Input) -> None:
        self._messages.append(happened)
        follows = self._machine.handle(happened)
        self._messages.extend(follows)
        self._spent = self._spent.after(happened)
        if isinstance(happened, Measured) and self._look is not None and self._spent.frames >= self._next_look:
            self._next_look = self._spent.frames + self._look_every
            self._look(self._spent, self._machine.accepted())
        for message in follows:
            self._do(message)

    def _do(self, message: Message) -> None:
        self._order.sent(message)
        if isinstance(message, Acquire):
            self._order.push(self._microscope.acquire(message))
        elif isinstance(message, Measure):
            visit = self._machine.visit(message.visit)
            if visit.profile != "main":
                raise UsageError(
                    f"the policy looks at {visit.well} under the profile {visit.profile!r}, and only main was measured "
                    "beforehand. Compare it with --whole, on a synthetic protocol."
                )
            known = self._source.measured(visit.well, message.field)
            self._order.push(
                dataclasses.replace(known, at_s=self._order.due_s(message), visit=message.visit, field=message.field)
            )
        elif isinstance(message, Meter):
            self._order.push(self._metered())
        elif isinstance(message, Finish):
            self._end = (message.exit, message.reason)
            self._machine.handle(RunEnded(at_s=message.at_s, exit=message.exit, reason=message.reason))
        error = getattr(message, "error", "")
        if error:
            raise RuntimeError(error)

    def _metered(self) -> ExposuresSet:
        found = tuple(
            MeteredChannel(
                profile=profile.name, channel=channel.name, exposure_ms=channel.exposure_ms, level=0.0, looks=0
            )
            for profile in self._machine.plan.profiles.values()
            for channel in profile.channels
            if channel.auto is not None
        )
        happened = ExposuresSet(at_s=self._machine.at_s, channels=found)
        exposures = {
            one.profile: {two.channel: two.exposure_ms for two in found if two.profile == one.profile} for one in found
        }
        self._microscope.use(self._machine.plan.with_exposures(exposures))
        return happened
