"""The policies: the contract of all, and what each does in a situation that can be stated in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from phenoloop.errors import ProtocolError
from phenoloop.model import Pending, Proposal, Setup, Stop
from phenoloop.policies.hits import Hits
from phenoloop.policies.precise import Precise
from phenoloop.policies.sweep import Sweep
from phenoloop.ports import Policy
from phenoloop.testing import assert_policy
from tests.decisions.plates import CONTROLS, TREATED, WELLS, context, draw, setup, told

Factory = Callable[[Setup], Policy]


def tell_all(policy: Policy, values: Any, n: int, wells: Sequence[str] = WELLS) -> None:
    """Tell the first `n` fields of some wells."""
    for well in wells:
        row = values[WELLS.index(well)]
        policy.tell(*told(well, {str(f): float(row[f]) for f in range(n)}))


def proposals(answer: Sequence[Proposal] | Stop) -> list[Proposal]:
    assert not isinstance(answer, Stop), answer
    return list(answer)


def wells(answer: Sequence[Proposal] | Stop) -> list[str]:
    return [proposal.well for proposal in proposals(answer)]


@pytest.mark.parametrize(
    "factory",
    [
        pytest.param(lambda s: Sweep(Sweep.Params(), s), id="sweep"),
        pytest.param(lambda s: Sweep(Sweep.Params(order="random", fields_per_visit=3), s), id="sweep at random"),
        pytest.param(lambda s: Sweep(Sweep.Params(passes="wells"), s), id="sweep well by well"),
        pytest.param(lambda s: Precise(Precise.Params(half_width=0.8), s), id="precise, absolute"),
        pytest.param(lambda s: Precise(Precise.Params(relative=0.2, fields_per_visit=2), s), id="precise, relative"),
        pytest.param(lambda s: Hits(Hits.Params(), s), id="hits"),
        pytest.param(lambda s: Hits(Hits.Params(fields_per_visit=2, explore=0.5), s), id="hits, two fields, exploring"),
    ],
)
def test_contract(factory: Factory) -> None:
    assert_policy(factory)


# -- sweep ----------------------------------------------------------------------------------------------------------


def test_sweep_takes_every_well_before_any_well_again() -> None:
    asked = proposals(Sweep(Sweep.Params(), setup()).ask(30, context()))
    assert [proposal.well for proposal in asked] == [*WELLS, *WELLS[:6]]
    scores = [proposal.score for proposal in asked]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)
    assert asked[0].why.instead == WELLS[6]


def test_sweep_well_by_well_finishes_a_well_first() -> None:
    asked = proposals(Sweep(Sweep.Params(passes="wells", fields_per_visit=4), setup()).ask(4, context()))
    assert [(p.well, p.fields) for p in asked] == [("A1", 4), ("A1", 2), ("A2", 4), ("A2", 2)]


def test_sweep_at_random_keeps_to_one_order_given_by_the_seed() -> None:
    def order(seed: int) -> list[str]:
        return wells(Sweep(Sweep.Params(order="random"), setup(seed=seed)).ask(24, context()))

    assert sorted(order(1)) == sorted(WELLS)
    assert order(1) == order(1) != order(2)
    assert order(1) != list(WELLS)


def test_sweep_goes_on_with_wells_whose_images_fail() -> None:
    policy = Sweep(Sweep.Params(), setup())
    for f in range(4):
        policy.tell(*told("A1", {str(f): None}, status="qc_fail"))
    assert wells(policy.ask(1, context(left=dict.fromkeys(WELLS[1:], 0) | {"A1": 2}))) == ["A1"]


@pytest.mark.parametrize(
    "factory",
    [
        pytest.param(lambda s: Sweep(Sweep.Params(), s), id="sweep"),
        pytest.param(lambda s: Precise(Precise.Params(half_width=1), s), id="precise"),
        pytest.param(lambda s: Hits(Hits.Params(), s), id="hits"),
    ],
)
def test_a_well_that_is_denied_again_and_again_is_not_proposed_for_ever(factory: Factory) -> None:
    policy = factory(setup())
    for _ in range(2):
        policy.tell(*told("A1", {"0": None}, status="vetoed", number=-1))
    assert "A1" not in wells(policy.ask(24, context()))


@pytest.mark.parametrize("status", ["qc_fail", "missing", "late"])
@pytest.mark.parametrize(
    "factory",
    [
        pytest.param(lambda s: Precise(Precise.Params(half_width=1), s), id="precise"),
        pytest.param(lambda s: Hits(Hits.Params(), s), id="hits"),
    ],
)
def test_failed_fields_are_not_averaged_and_a_failing_well_is_left_alone(factory: Factory, status: str) -> None:
    policy, clean = factory(setup()), factory(setup())
    policy.tell(*told("A2", {"0": 1e6}, status=status))
    left = {"A2": 5}
    assert policy.report() == clean.report()
    assert "A2" in wells(policy.ask(24, context(left=left)))
    for f in (1, 2):
        policy.tell(*told("A2", {str(f): 1e6}, status=status))
    assert "A2" not in wells(policy.ask(24, context(left=left)))
    assert policy.report()["left_alone"] == ["A2"]


# -- precise --------------------------------------------------------------------------------------------------------


def test_precise_gives_every_well_its_first_fields() -> None:
    policy = Precise(Precise.Params(half_width=0.1, min_fields=3, fields_per_visit=2), setup())
    policy.tell(*told("A1", {"0": 1.0, "1": 2.0, "2": 1.5}))
    asked = proposals(policy.ask(24, context(pending=[Pending(visit=2, well="A2", fields=2)])))
    assert [p.why.rule for p in asked[:23]] == ["first pass"] * 23
    assert asked[22].well == "A2"  # two of its three are under way: it is the last that lacks any
    assert (asked[23].well, asked[23].why.rule) == ("A1", "widest interval")


def test_precise_goes_where_fields_differ_most() -> None:
    policy = Precise(Precise.Params(half_width=0.1), setup())
    values = draw(1, {})
    values[7] *= 8
    tell_all(policy, values, 3)
    assert wells(policy.ask(3, context()))[0] == WELLS[7]


def test_precise_counts_what_is_under_way() -> None:
    policy = Precise(Precise.Params(half_width=0.1), setup())
    values = draw(1, {})
    values[7] *= 8
    tell_all(policy, values, 3)
    waiting = [Pending(visit=v, well=WELLS[7], fields=1) for v in range(90, 150)]
    assert wells(policy.ask(1, context(pending=waiting))) != [WELLS[7]]


def test_precise_stops_when_all_is_narrow_and_says_so() -> None:
    policy = Precise(Precise.Params(half_width=50), setup())
    tell_all(policy, draw(1, {}), 2)
    assert policy.ask(4, context()) == Stop(reason="every interval is as narrow as asked for")
    wide = Precise(Precise.Params(half_width=0.001), setup())
    tell_all(wide, draw(1, {}), 6)
    stopped = wide.ask(4, context(left=dict.fromkeys(WELLS, 0)))
    assert stopped == Stop(reason="no field is left where more are needed")


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="no target"),
        pytest.param({"half_width": 1.0, "relative": 0.1}, id="two targets"),
        pytest.param({"half_width": 0.0}, id="no width at all"),
        pytest.param({"half_width": 1.0, "min_fields": 1}, id="one field has no spread"),
    ],
)
def test_precise_needs_one_target(params: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Precise.Params.model_validate(params)


def test_precise_needs_a_readout() -> None:
    with pytest.raises(ProtocolError, match="needs a readout"):
        Precise(Precise.Params(half_width=1), setup(readout=None))


# -- hits -----------------------------------------------------------------------------------------------------------


def hits_policy(**params: Any) -> Hits:
    return Hits(Hits.Params.model_validate({"explore": 0.0} | params), setup())


def test_hits_needs_controls() -> None:
    with pytest.raises(ProtocolError, match="needs a question"):
        Hits(Hits.Params(), setup(controls=()))


def test_hits_looks_at_controls_first_then_at_all() -> None:
    policy = hits_policy()
    asked = proposals(policy.ask(8, context()))
    assert [p.well for p in asked] == list(CONTROLS)
    assert {p.why.rule for p in asked} == {"controls first"}
    pending = [Pending(visit=i, well=well, fields=1) for i, well in enumerate(CONTROLS, start=1)]
    following = proposals(policy.ask(6, context(left=dict.fromkeys(CONTROLS, 5), pending=pending)))
    # Deeper looks at controls alternate with first looks at the others.
    assert [p.well for p in following] == ["A1", "A2", "A4", "A3", "B1", "A5"]


def test_hits_gives_controls_no_more_than_their_share() -> None:
    rich, poor = (proposals(hits_policy().ask(24, context(frames_left=n))) for n in (None, 20))
    assert {p.well for p in poor} == {p.well for p in rich} == set(WELLS)
    targets = [max(p.why.numbers["target"] for p in asked if p.well in CONTROLS) for asked in (rich, poor)]
    assert targets == [6, 1]


def known(effects: dict[str, float], n: int = 2, change: str = "up", smallest: float = 0.0, **params: Any) -> Hits:
    """A policy that has seen all controls in full, and of all others `n` fields whose mean is their effect."""
    policy = Hits(Hits.Params.model_validate({"explore": 0.0} | params), setup(change=change, smallest=smallest))
    values = draw(5, {})
    centre = values[[WELLS.index(well) for well in CONTROLS]].mean()
    for well in TREATED:
        fields = centre + effects.get(well, 0.0) + np.linspace(-1, 1, n)
        values[WELLS.index(well), :n] = fields
    tell_all(policy, values, 6, CONTROLS)
    tell_all(policy, values, n, TREATED)
    return policy


LEFT = dict.fromkeys(CONTROLS, 0) | dict.fromkeys(TREATED, 4)


def test_hits_goes_to_the_borderline_and_neither_to_the_clear_nor_to_the_inert() -> None:
    clear, borderline = TREATED[:3], TREATED[3:6]
    policy = known(dict.fromkeys(clear, 12.0) | dict.fromkeys(borderline, 2.2))
    asked = proposals(policy.ask(8, context(left=LEFT)))
    assert set(policy.report()["likely_hits"]) == set(clear)
    assert {p.well for p in asked} == set(borderline)
    why = asked[0].why
    assert why.rule == "most likely to change its call"
    assert 0 < why.numbers["chance"] <= 1
    assert why.numbers["distance"] < why.numbers["needed"] or why.numbers["evidence"] < 320


def test_hits_stops_when_no_call_can_change() -> None:
    policy = known(dict.fromkeys(TREATED[:3], 30.0), n=4, confirm=0)
    assert policy.ask(8, context(left=LEFT)) == Stop(reason="no further image is likely to change a call")


def test_hits_waits_for_what_is_under_way_before_it_stops() -> None:
    policy = known(dict.fromkeys(TREATED[:3], 30.0), n=4, confirm=0)
    assert policy.ask(8, context(left=LEFT, pending=[Pending(visit=9, well=TREATED[3], fields=1)])) == []


def test_hits_looks_twice_before_it_is_content() -> None:
    """Whatever one image shows: a speck of dust would be called, and never looked at again."""
    policy = known({TREATED[3]: 40.0}, n=1)
    assert policy.report()["likely_hits"] == []
    assert wells(policy.ask(1, context(left=LEFT))) == [TREATED[3]]


def test_hits_counts_what_is_under_way() -> None:
    borderline = TREATED[3]
    policy = known({borderline: 3.3})
    first = proposals(policy.ask(1, context(left=LEFT)))[0]
    assert first.well == borderline
    waiting = [Pending(visit=9, well=borderline, fields=3)]
    then = proposals(policy.ask(1, context(left=LEFT | {borderline: 1}, pending=waiting)))[0]
    assert then.score != first.score


@pytest.mark.parametrize(("change", "sign"), [("up", 1), ("down", -1), ("both", -1)])
def test_hits_follows_the_direction_of_the_question(change: str, sign: int) -> None:
    policy = known({TREATED[3]: sign * 3.3, TREATED[5]: -sign * 0.5}, change=change)
    assert wells(policy.ask(1, context(left=LEFT))) == [TREATED[3]]


def test_hits_ignores_effects_too_small_to_matter() -> None:
    effects = {TREATED[3]: 3.3}
    assert wells(known(effects).ask(4, context(left=LEFT))) == [TREATED[3]]
    policy = known(effects, smallest=9.0)
    assert isinstance(policy.ask(4, context(left=LEFT)), Stop)


def test_hits_explores_by_the_chance_of_the_context() -> None:
    effects = dict.fromkeys(TREATED[:8], 2.6)
    policy = known(effects, explore=0.5)
    drawn = [
        [p.well for p in proposals(policy.ask(8, context(decision, left=LEFT))) if p.why.rule == "explore"]
        for decision in range(1, 13)
    ]
    assert any(drawn)
    assert len({tuple(names) for names in drawn}) > 3
    assert not {name for names in drawn for name in names} & set(CONTROLS)


def test_hits_with_too_few_controls_images_all_alike() -> None:
    policy = Hits(Hits.Params(), setup(controls=CONTROLS[:3]))
    tell_all(policy, draw(1, {}), 6, CONTROLS[:3])
    rest = [well for well in WELLS if well not in CONTROLS[:3]]
    tell_all(policy, draw(1, {}), 1, rest)
    left = dict.fromkeys(CONTROLS[:3], 0) | dict.fromkeys(rest, 5)
    asked = proposals(policy.ask(4, context(left=left)))
    assert [p.well for p in asked] == rest[:4]
    assert {p.why.rule for p in asked} == {"rounds"}
    assert policy.ask(4, context(left=dict.fromkeys(WELLS, 0))) == Stop(reason="every field was imaged")


def test_order_of_tells_matters_only_through_results() -> None:
    values = draw(5, {TREATED[3]: 2.6})
    forward, backward = hits_policy(), hits_policy()
    tell_all(forward, values, 3)
    tell_all(backward, values, 3, WELLS[::-1])
    left = dict.fromkeys(WELLS, 3)
    assert forward.ask(8, context(left=left)) == backward.ask(8, context(left=left))
    assert forward.report() == backward.report()
