"""A run without pictures: the real machine and the real policy on a simulated clock, readouts from a function.

It takes thousands of visits in a second, so whole days of time-lapse and many seeds can be looked at.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

from phenoloop.core import Decider, Machine, NamedPolicy
from phenoloop.model import (
    Acquire,
    Finish,
    Input,
    Measure,
    Measured,
    Message,
    Plan,
    RunEnded,
    RunStarted,
    Setup,
    StoredFrame,
    Visit,
    VisitEnded,
)
from phenoloop.policies.sweep import Sweep
from phenoloop.ports import Policy

Readouts = Callable[[Visit, str, float], Mapping[str, float | None]]
"""(visit, field, run clock of its first frame) -> readouts; must be a pure function."""


def run_clocked(
    plan: Plan,
    policy: Policy,
    readouts: Readouts,
    *,
    latency_s: float = 0.2,
    most_visits: int = 10_000_000,
) -> list[Message]:
    """Run a policy to its end.

    Parameters
    ----------
    plan : Plan
        Places, profiles, limits; its cost model moves the clock.
    policy : Policy
        Fresh.
    readouts : callable
        What a look at a field shows.
    latency_s : float
        From the end of a visit to the result of each of its fields.
    most_visits : int
        The run is broken off after so many.

    Returns
    -------
    list of Message
        The journal, without its header.
    """
    return _Clocked(plan, policy, readouts, latency_s).run(most_visits)


class _Clocked:
    """A microscope and an analysis that take time and nothing else."""

    def __init__(self, plan: Plan, policy: Policy, readouts: Readouts, latency_s: float) -> None:
        setup = Setup(wells=tuple(w.name for w in plan.wells), fields=tuple(len(w.fields) for w in plan.wells))
        fallback = NamedPolicy(kind="sweep", parameters={}, policy=Sweep(Sweep.Params(), setup))
        decider = Decider(NamedPolicy(kind="test", parameters={}, policy=policy), fallback, plan)
        self._plan, self._readouts, self._latency_s = plan, readouts, latency_s
        self._wells = {well.name: well for well in plan.wells}
        self.machine = Machine(plan, decider)
        self._journal: list[Message] = []
        self._coming: list[tuple[float, int, Input]] = []
        self._sent = 0
        self._now_s = 0.0
        self._at: tuple[float, float] | None = None
        self._seen: dict[tuple[int, str], float] = {}

    def run(self, most_visits: int) -> list[Message]:
        """Carry out every command at its time until the run has ended."""
        self._take(RunStarted(at_s=0.0))
        while self._coming:
            _, _, happened = heapq.heappop(self._coming)
            self._take(happened)
            if isinstance(happened, RunEnded) or len(self._journal) > 4 * most_visits:
                break
        return self._journal

    def _take(self, happened: Input) -> None:
        messages = self.machine.handle(happened)
        self._journal += [happened, *messages]
        for message in messages:
            if isinstance(message, Acquire):
                ended = self._acquire(message)
                self._later(ended)
            elif isinstance(message, Measure):
                self._later(self._measured(message))
            elif isinstance(message, Finish):
                self._later(RunEnded(at_s=message.at_s, exit=message.exit, reason=message.reason))

    def _later(self, happened: Input) -> None:
        self._sent += 1
        heapq.heappush(self._coming, (happened.at_s, self._sent, happened))

    def _acquire(self, command: Acquire) -> VisitEnded:
        """Take a visit when the one before is over and it is due; time goes by as the cost model says."""
        visit, cost = command.visit, self._plan.cost
        self._now_s = max(self._now_s, command.at_s, visit.not_before_s or 0.0)
        well, profile = self._wells[visit.well], self._plan.profiles[visit.profile]
        places = {place.name: (place.x_um, place.y_um) for place in well.fields}
        exposures = {channel.name: channel.exposure_in(visit.well) / 1000 for channel in profile.channels}
        frames: list[StoredFrame] = []
        light: dict[str, float] = {}
        for address in visit.frames():
            x, y = places[address.field]
            if self._at is not None:
                self._now_s += cost.move_s(x - self._at[0], y - self._at[1])
            self._at = (x, y)
            self._now_s += exposures[address.channel]
            light[address.field] = light.get(address.field, 0.0) + exposures[address.channel]
            self._seen.setdefault((visit.number, address.field), self._now_s)
            frames.append(
                StoredFrame(
                    address=address,
                    exposure_ms=exposures[address.channel] * 1000,
                    x_um=x,
                    y_um=y,
                    z_um=None,
                    at_s=self._now_s,
                )
            )
            self._now_s += cost.readout_s
        return VisitEnded(
            at_s=self._now_s, visit=visit.number, frames=tuple(frames), exposures=len(frames), light_s=light
        )

    def _measured(self, command: Measure) -> Measured:
        visit = self.machine.visit(command.visit)
        seen_s = self._seen[command.visit, command.field]
        return Measured(
            at_s=command.at_s + self._latency_s,
            visit=command.visit,
            field=command.field,
            readouts=self._readouts(visit, command.field, seen_s),
        )
