"""Small plates and policies for the tests of the core, and a world that answers its commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phenoloop.core import Decider, Machine, NamedPolicy
from phenoloop.model import (
    Acquire,
    ChannelPlan,
    Context,
    Decided,
    FieldPlace,
    Finish,
    Input,
    Limits,
    Measure,
    Measured,
    MeasurementFailed,
    Message,
    MissingFrame,
    Plan,
    ProfilePlan,
    Proposal,
    RunEnded,
    RunStarted,
    StageBox,
    Stop,
    Visit,
    VisitEnded,
    VisitResult,
    WellPlan,
    Why,
)


def make_plan(
    rows: int = 2, columns: int = 3, fields: int = 4, *, batch: int = 2, in_flight: int = 4, **changes: Any
) -> Plan:
    """A plate of rows x columns wells, 9 mm apart, with fields 300 um apart, one channel of 10 ms."""
    wells = tuple(
        WellPlan(
            name=f"{chr(65 + r)}{c + 1}",
            row=r,
            column=c,
            x_um=c * 9000.0,
            y_um=-r * 9000.0,
            fields=tuple(FieldPlace(name=str(i), x_um=c * 9000.0 + 300 * i, y_um=-r * 9000.0) for i in range(fields)),
            choice=tuple(int(i) for i in np.random.default_rng(r * 100 + c).permutation(fields)),
        )
        for r in range(rows)
        for c in range(columns)
    )
    channel = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=10.0)
    settings: dict[str, Any] = {
        "name": "test",
        "seed": 1,
        "plate_rows": 8,
        "plate_columns": 12,
        "wells": wells,
        "profiles": {"main": ProfilePlan(name="main", channels=(channel,), pixel_size_um=0.5)},
        "batch": batch,
        "in_flight": in_flight,
        "readouts": ("x",),
        "stage": StageBox(x_um=(-1e6, 1e6), y_um=(-1e6, 1e6)),
        "limits": Limits(),
    }
    return Plan(**{**settings, **changes})


class Greedy:
    """Goes where the mean readout is highest, unseen wells first, one well in four by chance."""

    def __init__(self, wells: Sequence[str], fields: int = 1) -> None:
        self.sums = dict.fromkeys(wells, 0.0)
        self.counts = dict.fromkeys(wells, 0)
        self.fields = fields
        self.heard: list[tuple[int, str, tuple[tuple[str, str], ...]]] = []

    def ask(self, k: int, context: Context) -> list[Proposal]:
        pending = {p.well for p in context.pending}
        open_wells = [well for well, left in context.fields_left.items() if left > 0]
        scores = {}
        for well in open_wells:
            mean = self.sums[well] / self.counts[well] if self.counts[well] else 10.0
            scores[well] = mean - (1.0 if well in pending else 0.0) + (context.rng.random() < 0.25) * 5
        best = sorted(scores, key=lambda well: -scores[well])[:k]
        return [
            Proposal(well=w, fields=self.fields, score=scores[w], why=Why(rule="greedy", text=f"mean of {w}"))
            for w in best
        ]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        self.heard.append((result.visit, result.well, tuple((f.field, f.status) for f in result.fields)))
        for field in result.fields:
            value = field.readouts.get("x")
            if field.status == "ok" and value is not None:
                self.sums[result.well] += value
                self.counts[result.well] += 1

    def report(self) -> Mapping[str, Any]:
        return {"counts": self.counts}


class Scripted:
    """Answers each ask with the next entry; an exception in the list is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.heard: list[VisitResult] = []

    def ask(self, k: int, context: Context) -> Any:
        answer = self.answers.pop(0) if self.answers else Stop(reason="script ended")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tell(self, visit: Visit, result: VisitResult) -> None:
        self.heard.append(result)

    def report(self) -> Mapping[str, Any]:
        return {}


def propose(well: str, fields: Any = 1, score: float = 1.0) -> Proposal:
    return Proposal(well=well, fields=fields, score=score, why=Why(rule="test", text="because"))


def named(policy: Any, kind: str = "test") -> NamedPolicy:
    return NamedPolicy(kind=kind, parameters={"a": 1}, policy=policy)


def decider(plan: Plan, policy: Any, fallback: Any = None) -> Decider:
    return Decider(named(policy), named(fallback or Scripted(), "fallback"), plan)


def greedy_machine(plan: Plan) -> Machine:
    wells = [well.name for well in plan.wells]
    return Machine(plan, decider(plan, Greedy(wells), Greedy(wells)))


def readout(visit: Visit, field: str) -> dict[str, float | None]:
    """A pure function of the place, like a picture."""
    place = next(f for f in visit.fields if f.field == field)
    return {"x": float((sum(map(ord, visit.well)) * 31 + int(place.field) * 7 + place.t) % 11)}


class World:
    """Answers commands after latencies drawn from a generator, with failures keyed by address only."""

    def __init__(self, machine: Machine, latency: np.random.Generator, failures: Mapping[tuple[str, str], str]) -> None:
        self.machine = machine
        self.latency = latency
        self.failures = failures
        self.log: list[Message] = []
        self.waiting: list[tuple[float, int, Input]] = []
        self.free_at = 0.0
        self.sent = 0

    def take(self, happened: Input) -> None:
        messages = self.machine.handle(happened)
        self.log += [happened, *messages]
        for message in messages:
            self.carry_out(message, happened.at_s)

    def carry_out(self, command: Message, now: float) -> None:
        if isinstance(command, Acquire):
            self.free_at = max(self.free_at, now) + float(self.latency.exponential(1.0))
            self.later(self.free_at, self.end(command.visit))
        elif isinstance(command, Measure):
            visit = self.machine.visit(command.visit)
            kind = self.failures.get((visit.well, command.field), "ok")
            at = now + float(self.latency.exponential(3.0))
            if kind in ("failed", "late"):
                self.later(
                    at, MeasurementFailed(at_s=0, visit=command.visit, field=command.field, reason="r", kind=kind)
                )
            if kind != "failed":
                late = 2.0 if kind == "late" else 0.0
                values = readout(visit, command.field)
                status = "qc_fail" if kind == "qc_fail" else "ok"
                result = Measured(at_s=0, visit=command.visit, field=command.field, readouts=values, status=status)
                self.later(at + late, result)
        elif isinstance(command, Finish):
            self.later(now, RunEnded(at_s=0, exit=command.exit, reason=command.reason))

    def end(self, visit: Visit) -> VisitEnded:
        missing = tuple(
            MissingFrame(address=address, reason="stage")
            for address in visit.frames()
            if self.failures.get((visit.well, address.field)) == "missing"
        )
        light = {f.field: 0.01 for f in visit.fields if self.failures.get((visit.well, f.field)) != "missing"}
        return VisitEnded(at_s=0, visit=visit.number, missing=missing, light_s=light)

    def later(self, at: float, happened: Input) -> None:
        self.sent += 1
        self.waiting.append((at, self.sent, happened))

    def run(self, *, steps: int = 10_000) -> World:
        self.take(RunStarted(at_s=0.0))
        return self.go_on(steps=steps)

    def go_on(self, *, steps: int = 10_000) -> World:
        while self.waiting and steps:
            steps -= 1
            happened = self.next()
            self.take(happened)
            if isinstance(happened, RunEnded):
                break
        return self

    def next(self) -> Input:
        self.waiting.sort(key=lambda entry: entry[:2])
        at, _, happened = self.waiting.pop(0)
        found: Input = type(happened)(**{**_fields(happened), "at_s": at})
        return found

    def decisions(self) -> list[Decided]:
        return [message for message in self.log if isinstance(message, Decided)]


def _fields(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in type(message).__dataclass_fields__}
