"""Random histories with everything that can happen to a run: replay and fold give equal proposals.

100 of them by default; ``pytest tests/core/test_histories.py --hypothesis-profile=thousand`` tries 1,000.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.core import Machine, Phase, first_difference, fold
from phenoloop.model import (
    Answered,
    Autonomy,
    Confirm,
    Input,
    Limits,
    Message,
    Paused,
    Plan,
    PolicyTooSlow,
    Resumed,
    RunEnded,
    StopRequested,
)
from tests.core.people import Anything, PeopleWorld, two_objectives
from tests.core.worlds import Greedy, decider, make_plan

KINDS = ("ok", "ok", "ok", "missing", "failed", "late", "qc_fail")
ANSWERS = ("go", "go", "skip", "default skip", "default go", "default stop")

HISTORY = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "failing": st.lists(st.sampled_from(KINDS), min_size=24, max_size=24),
        "autonomy": st.sampled_from(
            (
                Autonomy(),
                Autonomy(level="shadow"),
                Autonomy(level="confirm"),
                Autonomy(level="confirm", acts=("objective", "revisit"), within_s=5.0, otherwise="skip"),
                Autonomy(level="veto", within_s=5.0, otherwise="go"),
            )
        ),
        "answers": st.lists(st.sampled_from(ANSWERS), max_size=12),
        "limits": st.builds(
            Limits,
            frames=st.integers(8, 40),
            light_per_object_s=st.none() | st.floats(0.01, 0.05),
            revisit_interval_s=st.none() | st.floats(1.0, 60.0),
            objective_changes_per_hour=st.none() | st.integers(0, 3),
            controls_every_visits=st.none() | st.integers(8, 12),
        ),
        "metered": st.booleans(),
        "pauses": st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.1, 10.0)), max_size=3),
        "stop_s": st.none() | st.floats(0.0, 30.0),
        "slow": st.none() | st.floats(0.0, 20.0),
        "chaotic": st.booleans(),
    }
)


def plan_of(history: dict[str, Any]) -> Plan:
    plan = make_plan(
        limits=history["limits"], autonomy=history["autonomy"], retries=1, controls=("A1", "B2"), batch=2, in_flight=4
    )
    plan = two_objectives(plan)
    if history["metered"]:
        main = plan.profiles["main"]
        auto = replace(main, channels=(replace(main.channels[0], auto=0.6),))
        plan = replace(plan, profiles={**plan.profiles, "main": auto})
    return plan


def decider_of(history: dict[str, Any], plan: Plan) -> Any:
    wells = [well.name for well in plan.wells]
    return decider(plan, Anything(plan, history["seed"]) if history["chaotic"] else Greedy(wells), Greedy(wells))


def lived(history: dict[str, Any]) -> list[Message]:
    """Let a history happen; return its journal."""
    return world_of(history).log


def world_of(history: dict[str, Any]) -> Patient:
    """Let a history happen; return the world after it."""
    plan = plan_of(history)
    places = [(well.name, field.name) for well in plan.wells for field in well.fields]
    failures = dict(zip(places, history["failing"], strict=True))
    rng = np.random.default_rng(history["seed"])
    world = Patient(Machine(plan, decider_of(history, plan)), rng, failures, history["answers"])
    for at, length in history["pauses"]:
        world.later(at, Paused(at_s=0))
        world.later(at + length, Resumed(at_s=0))
    if history["stop_s"] is not None:
        world.later(history["stop_s"], StopRequested(at_s=0, reason="q"))
    if history["slow"] is not None:
        world.later(history["slow"], PolicyTooSlow(at_s=0, decision=1, limit_s=30.0))
    world.run(steps=600)
    return world


class Patient(PeopleWorld):
    """Drops what people ask for at the wrong moment, as the loop does."""

    def take(self, happened: Input) -> None:
        phase = self.machine.phase
        wrong = (
            (isinstance(happened, Paused) and phase not in (Phase.METERING, Phase.RUNNING, Phase.DRAINING))
            or (isinstance(happened, Resumed) and phase is not Phase.PAUSED)
            or (isinstance(happened, StopRequested | PolicyTooSlow) and phase in (Phase.CLOSING, Phase.ENDED))
            or (isinstance(happened, Answered) and self.machine.question is None)
            or (isinstance(happened, StopRequested | PolicyTooSlow) and phase is Phase.METERING)
        )
        if not wrong:
            super().take(happened)


@settings(deadline=None)
@given(history=HISTORY)
def test_replay_gives_equal_proposals(history: dict[str, Any]) -> None:
    log = lived(history)
    plan = plan_of(history)
    assert first_difference(log, plan, decider_of(history, plan)) is None
    ended = [message for message in log if isinstance(message, RunEnded)]
    questions = [message.proposed.decision for message in log if isinstance(message, Confirm)]
    answers = [message.decision for message in log if isinstance(message, Answered)]
    assert answers == questions[: len(answers)]
    assert len(answers) == len(questions) or not ended, "every question ends in one answer before the run does"


@settings(deadline=None)
@given(history=HISTORY, cut=st.floats(0, 1))
def test_a_history_cut_anywhere_goes_on_as_it_did(history: dict[str, Any], cut: float) -> None:
    log = lived(history)
    plan = plan_of(history)
    n = max(1, int(cut * len(log)))
    folded = fold(log[:n], plan, decider_of(history, plan))
    rest = log[n:]
    until = next((i for i, message in enumerate(rest) if isinstance(message, Input)), len(rest))
    assert list(folded.owed) == rest[:until]
    out: list[Message] = []
    for message in rest[until:]:
        if isinstance(message, Input):
            out += [message, *folded.machine.handle(message)]
    assert out == rest[until:]
