"""The policy `events` and the time-lapse under it: what makes a field fast, what ends it, what is never given up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.errors import ProtocolError
from phenoloop.model import (
    Acquire,
    Context,
    CostModel,
    Decided,
    FieldResult,
    FieldVisit,
    Limits,
    Pending,
    Plan,
    Proposal,
    RunEnded,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.policies.bucket import Bucket
from phenoloop.policies.events import Events
from phenoloop.policies.sweep import Sweep
from phenoloop.testing import assert_policy
from phenoloop.testing.clocked import run_clocked
from tests.decisions.time_lapses import GFP, H2B, looks, make_plan, setup_of

FAST: dict[str, Any] = {"profile": "fast", "when": "dividing > 0.8", "until": "dividing < 0.4", "max_share": 1.0}


def events(plan: Plan, **changes: Any) -> Events:
    return Events(Events.Params(fast=FAST | changes), setup_of(plan))  # type: ignore[arg-type]


def context(at_s: float, *, pending: tuple[Pending, ...] = (), frames_left: int | None = None) -> Context:
    return Context(
        decision=1,
        at_s=at_s,
        pending=pending,
        fields_left={},
        frames_left=frames_left,
        last_well=None,
        rng=np.random.default_rng(1),
    )


def tell(
    policy: Events | Sweep,
    at_s: float,
    value: float | None,
    *,
    well: str = "A1",
    field: str = "0",
    profile: str = "main",
    status: str = "ok",
    due_s: float | None = None,
) -> None:
    visit = Visit(
        number=1,
        decision=1,
        well=well,
        profile=profile,
        fields=(FieldVisit(field=field, t=0, image=0),),
        channels=("H2B",),
        not_before_s=due_s,
    )
    seen = status not in ("missing", "vetoed")
    result = FieldResult(
        field=field if status != "vetoed" else "",
        status=status,
        readouts={"dividing": value, "cells": 12.0},
        at_s=at_s if seen else None,
    )
    policy.tell(visit, VisitResult(visit=1, well=well, profile=profile, fields=(result,), at_s=at_s + 0.2))


def asked(policy: Events | Sweep, at_s: float, k: int = 8, **known: Any) -> list[Proposal]:
    answer = policy.ask(k, context(at_s, **known))
    assert not isinstance(answer, Stop), answer
    return list(answer)


def is_fast(policy: Events, place: str = "A1 field 0") -> bool:
    return place in policy.report()["fast_now"]


# -- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda s: Sweep(Sweep.Params(), s), id="sweep"),
        pytest.param(lambda s: Sweep(Sweep.Params(order="random", fields_per_visit=3), s), id="sweep at random"),
        pytest.param(
            lambda s: Events(Events.Params(fast={"profile": "fast", "when": "signal > 100"}), s), id="events, quiet"
        ),
    ],
)
def test_contract(make: Any) -> None:
    def factory(setup: Any) -> Any:
        import dataclasses

        plan = make_plan(for_s=0.0)  # one time point: the contract's plate gives each field once
        names = tuple(tuple(str(n) for n in range(fields)) for fields in setup.fields)
        return make(dataclasses.replace(setup, field_names=names, readouts=("signal",), profiles=plan.profiles))

    assert_policy(factory)


# -- what makes a field fast, and slow again --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readings", "hold", "fast"),
    [
        pytest.param([0.1, 0.9], 0, [False, True], id="above the threshold"),
        pytest.param([0.1, 0.8], 0, [False, False], id="at the threshold"),
        pytest.param([0.9, 0.6, 0.5], 0, [True, True, True], id="between the two nothing changes"),
        pytest.param([0.9, 0.3], 0, [True, False], id="below the other threshold"),
        pytest.param([0.9, 0.3, 0.3, 0.3], 60, [True, True, True, False], id="held for a minute"),
        pytest.param([0.9, 0.3, 0.3, 0.6], 60, [True, True, True, True], id="not calm when the hold is over"),
        pytest.param([None, 0.9], 0, [False, True], id="unknown fires nothing"),
        pytest.param([0.9, None, 0.3], 0, [True, True, False], id="unknown ends nothing"),
        pytest.param([0.9, None, None, None], 0, [True, True, True, False], id="unknown for three looks ends it"),
        pytest.param([0.3, 0.9, 0.3, 0.9], 0, [False, True, False, True], id="again and again"),
    ],
)
def test_hysteresis_and_hold(readings: list[float | None], hold: float, fast: list[bool]) -> None:
    policy = events(make_plan(), hold=hold)
    seen = []
    for look, value in enumerate(readings):
        tell(policy, 20.0 * look, value, profile="fast" if look and seen[-1] else "main")
        seen.append(is_fast(policy))
    assert seen == fast


def test_the_reason_is_in_words() -> None:
    policy = events(make_plan(), hold=600.0)
    tell(policy, 1.0, 0.91, field="1")
    first = next(proposal for proposal in asked(policy, 1.5) if proposal.profile == "fast")
    assert first.why.text == "dividing 0.91 > 0.8 in A1 field 1: every 20 s for at least 10 min"
    assert first.why.rule == "event"
    assert first.fields == ("1",)
    tell(policy, 700.0, 0.6, field="1", profile="fast", due_s=700.0)
    later = next(proposal for proposal in asked(policy, 720.5) if proposal.profile == "fast")
    said = "dividing 0.91 > 0.8 in A1 field 1 12 min ago, and still dividing 0.6, not < 0.4: every 20 s"
    assert later.why.text == said
    assert later.not_before_s == 720.0


def test_without_until_it_ends_when_the_condition_does() -> None:
    policy = events(make_plan(), until=None)
    tell(policy, 0.0, 0.9)
    tell(policy, 20.0, 0.79, profile="fast")
    assert not is_fast(policy)
    assert policy.report()["latest"][0]["ended"] == "dividing 0.79, not > 0.8"


def test_a_condition_over_several_readouts() -> None:
    policy = events(make_plan(), when="dividing > 0.8 and cells > 10", until="dividing < 0.4 or cells < 3")
    tell(policy, 0.0, 0.9)
    assert is_fast(policy)
    assert "holds (dividing 0.9, cells 12)" in asked(policy, 0.5)[0].why.text + asked(policy, 0.5)[-1].why.text


def test_only_so_many_at_once_first_come_first_served() -> None:
    policy = events(make_plan(wells=3), at_once=2)
    for well in ("A2", "A1", "A3"):
        tell(policy, 0.0, 0.9, well=well)
    assert policy.report()["fast_now"] == ["A2 field 0", "A1 field 0"]
    assert policy.report()["waiting"] == ["A3 field 0"]
    tell(policy, 20.0, 0.1, well="A1", profile="fast")
    assert policy.report()["fast_now"] == ["A2 field 0", "A3 field 0"]


def test_the_longest_episode_is_not_begun_anew_before_the_field_was_calm() -> None:
    policy = events(make_plan(), longest=60.0)
    for look in range(4):
        tell(policy, 20.0 * look, 0.9, profile="fast" if look else "main")
    assert not is_fast(policy)
    tell(policy, 240.0, 0.9)
    assert not is_fast(policy)
    assert policy.report()["too_long"] == ["A1 field 0"]
    tell(policy, 480.0, 0.2)
    tell(policy, 720.0, 0.9)
    assert is_fast(policy)


# -- what is due ------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_ahead_of_its_time_while_a_result_is_to_come() -> None:
    policy = events(make_plan(wells=1, fields=2))
    tell(policy, 1.0, 0.1, field="0")
    tell(policy, 2.0, 0.1, field="1")
    pending = (Pending(visit=3, well="A1", fields=1, names=("0",), profile="main", not_before_s=241.0),)
    assert asked(policy, 10.0, pending=pending) == []
    (first,) = asked(policy, 10.0)
    assert (first.fields, first.not_before_s) == (("0",), 241.0)


def test_a_field_that_was_denied_twice_is_left_alone() -> None:
    policy = events(make_plan(wells=1, fields=1))
    for _ in range(2):
        tell(policy, 1.0, None, status="vetoed")
    assert policy.ask(4, context(2.0)) == Stop(reason="the time-lapse is complete, with 0 episodes of fast imaging")


def test_a_wait_that_was_cut_short_is_due_again() -> None:
    policy = events(make_plan(wells=1, fields=1))
    tell(policy, 1.0, 0.1)
    tell(policy, 50.0, None, status="missing", due_s=241.0)  # stopped while it waited
    (again,) = asked(policy, 60.0)
    assert again.not_before_s == 241.0
    tell(policy, 250.0, None, status="missing", due_s=241.0)  # tried in vain
    assert asked(policy, 260.0)[0].not_before_s == 481.0


@pytest.mark.parametrize(
    ("known", "limits", "allowed"),
    [
        pytest.param({}, Limits(), True, id="no limit"),
        pytest.param({"frames_left": 30}, Limits(), True, id="frames for all slow looks and one fast"),
        pytest.param({"frames_left": 29}, Limits(), False, id="frames for all slow looks only"),
        pytest.param({}, Limits(light_per_field_s=0.34), True, id="light for all slow looks and one fast"),
        pytest.param({}, Limits(light_per_field_s=0.33), False, id="light for all slow looks only"),
    ],
)
def test_fast_looks_leave_frames_and_light_for_the_slow_ones(known: Any, limits: Limits, allowed: bool) -> None:
    plan = make_plan(wells=1, fields=2, limits=limits)  # 16 time points of 20 ms each
    policy = events(plan)
    tell(policy, 1.0, 0.9, field="0")
    tell(policy, 1.0, 0.1, field="1")
    if "frames_left" in known:
        known = {"frames_left": known["frames_left"] + 1}  # 15 points of two fields, and one
    profiles = {proposal.profile for proposal in asked(policy, 1.5, **known)}
    assert profiles == ({"fast"} if allowed else {"main"})


# -- the bucket -------------------------------------------------------------------------------------------------------


def test_a_bucket_fills_and_never_gives_more_than_its_share() -> None:
    bucket = Bucket(rate=0.1, room=3.0, for_s=100.0)
    assert bucket.ready(0.0, 0, 5) == [0.0, 0.0, 0.0]
    for _ in range(3):
        bucket.take(0.0)
    assert bucket.ready(0.0, 0, 1) == [pytest.approx(10.0)]
    assert bucket.ready(25.0, 1, 1) == [25.0]
    assert bucket.ready(25.0, 2, 1) == [pytest.approx(30.0)]
    for _ in range(7):
        bucket.take(80.0)
    assert bucket.ready(1e6, 0, 1) == []  # ten in a hundred seconds, and no more


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(1000, 10_000), share=st.sampled_from([0.02, 0.1, 0.5]), at_once=st.integers(1, 4))
def test_fast_looks_never_exceed_their_share_and_slow_looks_are_never_starved(
    seed: int, share: float, at_once: int
) -> None:
    plan = make_plan(wells=3, fields=1, for_s=2400.0)
    policy = events(plan, max_share=share, at_once=at_once, hold=40.0)

    def readouts(visit: Visit, field: str, at_s: float) -> dict[str, float | None]:
        chance = np.random.default_rng([seed, visit.number]).random()
        return {"dividing": None if chance < 0.1 else float(chance), "cells": 5.0}

    journal = run_clocked(plan, policy, readouts)
    fast = sum(len(times) for times in looks(journal, "fast").values())
    assert fast <= share * 3 * 2400 / 20
    slow = looks(journal, "main")
    assert {len(times) for times in slow.values()} == {11}
    assert max(after - before for times in slow.values() for before, after in pairwise(times)) < 240 + 20
    assert isinstance(journal[-1], RunEnded)
    assert journal[-1].exit == "completed"


def test_the_floor_rate_holds_though_everything_fires_and_the_stage_cannot_keep_up() -> None:
    slow_stage = CostModel(stage_um_per_s=2000.0, settle_s=1.0)
    plan = make_plan(wells=6, fields=2, for_s=3600.0, fast_s=5.0, cost=slow_stage)
    policy = events(plan, at_once=12)
    journal = run_clocked(plan, policy, lambda visit, field, at_s: {"dividing": 1.0, "cells": 5.0})
    gaps = [after - before for times in looks(journal, "main").values() for before, after in pairwise(times)]
    assert max(gaps) < 2 * 240
    assert sum(gaps) / len(gaps) < 1.2 * 240


def test_the_same_run_twice_decides_alike_and_reports_its_episodes() -> None:
    plan = make_plan()

    def readouts(visit: Visit, field: str, at_s: float) -> dict[str, float | None]:
        going_on = visit.well == "A2" and field == "1" and 700 < at_s < 1000
        return {"dividing": 0.95 if going_on else 0.2, "cells": 8.0}

    first, second = (run_clocked(plan, events(plan, hold=60.0), readouts) for _ in range(2))
    assert first == second
    policy = events(plan, hold=60.0)
    journal = run_clocked(plan, policy, readouts)
    fast = looks(journal, "fast")
    assert list(fast) == [("A2", "1")]
    assert 720 < fast["A2", "1"][0] < 725
    gaps = {round(after - before, 1) for before, after in pairwise(fast["A2", "1"])}
    assert gaps <= {20.0, 20.4, 19.6} or max(gaps) < 41  # a slow look stands in for a fast one
    assert [m for m in journal if isinstance(m, Decided)][-1].stop.endswith("with 1 episode of fast imaging")


def test_under_one_profile_a_fast_look_serves_as_a_time_point() -> None:
    plan = make_plan(wells=1, fields=1, for_s=1200.0, fast_s=None)
    policy = Events(
        Events.Params(fast={"every": 60.0, "when": "dividing > 0.8", "max_share": 1.0}),  # type: ignore[arg-type]
        setup_of(plan),
    )
    journal = run_clocked(plan, policy, lambda visit, field, at_s: {"dividing": float(200 < at_s < 500), "cells": 1.0})
    (times,) = looks(journal).values()
    assert [round(at_s / 60) for at_s in times] == [0, 4, 5, 6, 7, 8, 9, 12, 16, 20]


# -- channels of their own beat ---------------------------------------------------------------------------------------


def test_a_channel_of_its_own_beat_is_addressed_and_paid_only_when_it_is_imaged() -> None:
    plan = make_plan(wells=1, fields=1, for_s=1200.0, fast_s=None, channels=(H2B, GFP))
    setup = setup_of(plan)
    journal = run_clocked(plan, Sweep(Sweep.Params(), setup), lambda *_: {"dividing": 0.0, "cells": 1.0})
    visits = [message.visit for message in journal if isinstance(message, Acquire)]
    assert [[frame.channel for frame in visit.frames()] for visit in visits] == [
        ["H2B", "GFP"] if t % 3 == 0 else ["H2B"] for t in range(6)
    ]
    assert [visit.frames()[-1].c for visit in visits] == [1, 0, 0, 1, 0, 0]
    assert [visit.fields[0].t for visit in visits] == list(range(6))
    assert plan.profiles["main"].frames_in_all == 8
    assert plan.profiles["main"].light_s("A1", 1) == pytest.approx(0.02)


def test_a_sweep_whose_stage_cannot_keep_up_leaves_time_points_out_and_says_so() -> None:
    slow_stage = CostModel(settle_s=20.0)
    plan = make_plan(wells=4, fields=2, every_s=60.0, for_s=1800.0, fast_s=None, cost=slow_stage)
    policy = Sweep(Sweep.Params(fields_per_visit=2), setup_of(plan))
    journal = run_clocked(plan, policy, lambda *_: {"dividing": 0.0, "cells": 1.0})
    report = policy.report()
    assert report["time_points_left_out"] > 0
    for times in looks(journal).values():
        assert times[-1] - times[0] == pytest.approx(1800, abs=180)
        assert max(after - before for before, after in pairwise(times)) < 300
    late = [m.at_s - m.visit.not_before_s for m in journal if isinstance(m, Acquire) and m.visit.not_before_s]
    assert max(late) > 20


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        pytest.param({"profile": "fsat"}, "policy.fast.profile", "did you mean 'fast'", id="no such profile"),
        pytest.param({"profile": "main"}, "policy.fast.profile|policy.fast", "", id="no interval of its own"),
        pytest.param({"every": 240.0}, "policy.fast", "no faster than the slow interval of 4 min", id="not faster"),
        pytest.param({"when": "dividng > 0.8"}, "policy.fast.when", "no readout 'dividng'", id="no such readout"),
        pytest.param({"when": "dividing"}, "policy.fast.when", "condition", id="no condition"),
        pytest.param({"until": "dividing < 0.9"}, "policy.fast.until", "leave a gap", id="thresholds overlap"),
        pytest.param({"until": "dividing > 0.9"}, "policy.fast.until", "leave a gap", id="both point up"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        events(make_plan(), **changes)
    (problem,) = caught.value.problems
    assert problem.where in where.split("|")
    assert said in problem.message


def test_it_needs_a_time_lapse() -> None:
    import dataclasses

    plan = make_plan()
    still = dataclasses.replace(plan.profiles["main"], every_s=None, for_s=None)
    with pytest.raises(ProtocolError, match="events is a time-lapse"):
        events(dataclasses.replace(plan, profiles={**plan.profiles, "main": still}))
