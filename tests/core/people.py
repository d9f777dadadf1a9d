"""A world with people in it: they answer, pause, and stop; and one that finds exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from phenoloop.core import Machine
from phenoloop.core.metering import first_field
from phenoloop.model import (
    Acquire,
    Answered,
    Confirm,
    Context,
    ExposuresSet,
    Message,
    Meter,
    MeteredChannel,
    Plan,
    ProfilePlan,
    Proposal,
    StoredFrame,
    Visit,
    VisitEnded,
    VisitResult,
    Why,
)
from tests.core.worlds import World


class PeopleWorld(World):
    """Answers questions with the next of `answers` after a while, and meters 5 ms for every channel that asks."""

    def __init__(
        self,
        machine: Machine,
        latency: np.random.Generator,
        failures: Mapping[tuple[str, str], str],
        answers: Sequence[str] = (),
    ) -> None:
        super().__init__(machine, latency, failures)
        self.answers = list(answers)
        self.asked: list[Confirm] = []

    def end(self, visit: Visit) -> VisitEnded:
        ended = super().end(visit)
        gone = {gap.address for gap in ended.missing}
        frames = tuple(
            StoredFrame(address=address, exposure_ms=10.0, x_um=0.0, y_um=0.0, z_um=None, at_s=0.0)
            for address in visit.frames()
            if address not in gone
        )
        return replace(ended, frames=frames)

    def carry_out(self, command: Message, now: float) -> None:
        if isinstance(command, Confirm):
            self.asked.append(command)
            answer = self.answers.pop(0) if self.answers else "go"
            at = now + float(self.latency.exponential(2.0))
            decision = command.proposed.decision
            by, judged = ("nobody answered within 5 s", False) if answer.startswith("default") else ("a person", True)
            answer = answer.removeprefix("default ")
            self.later(at, Answered(at_s=0, decision=decision, answer=answer, by=by, judged=judged))
        elif isinstance(command, Meter):
            plan = self.machine.plan
            found = tuple(
                MeteredChannel(profile=name, channel=channel.name, exposure_ms=5.0, level=0.6, looks=2)
                for name, profile in plan.profiles.items()
                for channel in profile.channels
                if channel.auto is not None
            )
            light = {well: {first_field(plan.well(well)): 0.02} for well in command.wells}
            self.later(now + 1.0, ExposuresSet(at_s=0, channels=found, light_s=light, exposures=8))
        else:
            if isinstance(command, Acquire):
                self.free_at = max(self.free_at, command.visit.not_before_s or 0.0)  # the microscope waits
            super().carry_out(command, now)


class Anything:
    """Proposes at random: any well, profile and fields, some of them not there, some not before a later time."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.wells = [*(well.name for well in plan.wells), "H12"]
        self.profiles = [*plan.profiles, "nosuch"]
        self.fields = [place.name for place in plan.wells[0].fields]
        self.seed = seed
        self.heard: list[tuple[int, str, str]] = []

    def ask(self, k: int, context: Context) -> list[Proposal]:
        rng = np.random.default_rng([self.seed, context.decision])
        found = []
        for _ in range(int(rng.integers(1, k + 1))):
            named = tuple(str(f) for f in rng.choice(self.fields, size=int(rng.integers(1, 3)), replace=False))
            fields: Any = int(rng.integers(1, 4)) if rng.random() < 0.4 else named
            found.append(
                Proposal(
                    well=str(rng.choice(self.wells, p=_mostly(len(self.wells)))),
                    fields=fields,
                    score=float(rng.normal()),
                    why=Why(rule="anything", text="chance"),
                    profile=str(rng.choice(self.profiles, p=_mostly(len(self.profiles)))),
                    not_before_s=context.at_s + float(rng.exponential(20)) if rng.random() < 0.2 else None,
                )
            )
        return found

    def tell(self, visit: Visit, result: VisitResult) -> None:
        self.heard.append((result.visit, result.well, result.fields[0].status))

    def report(self) -> Mapping[str, Any]:
        return {"heard": len(self.heard)}


def _mostly(count: int) -> list[float]:
    """Probabilities of which the last choice, which is never allowed, gets little."""
    return [0.97 / (count - 1)] * (count - 1) + [0.03]


def two_objectives(plan: Plan, *, frame_um: float = 320.0) -> Plan:
    """The plan with a second profile under another objective; frames overlap their neighbours 300 um away."""
    main = replace(
        plan.profiles["main"], objective_group="Objective", objective_config="20x", frame_um=(frame_um, frame_um)
    )
    closeup: ProfilePlan = replace(main, name="closeup", objective_config="60x", frame_um=(frame_um / 3, frame_um / 3))
    return replace(plan, profiles={"main": main, "closeup": closeup})


def visits_of(world: World) -> list[Visit]:
    return [message.visit for message in world.log if isinstance(message, Acquire)]
