"""Policies made of policies: the contract, shares that are kept, who proposed what, and that nobody goes twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from phenoloop.core import NamedPolicy
from phenoloop.errors import ProtocolError
from phenoloop.model import (
    CONFIRM,
    Context,
    Limits,
    Pending,
    Proposal,
    Setup,
    Stop,
    Visit,
    VisitResult,
    Why,
)
from phenoloop.policies.mix import Mix
from phenoloop.policies.part_batch import Batch
from phenoloop.policies.priority import Priority
from phenoloop.policies.quota import Quota
from phenoloop.policies.sequence import InSequence
from phenoloop.policies.shadow import Shadow
from phenoloop.ports import Policy
from phenoloop.testing import assert_policy
from tests.decisions.plates import WELLS, context, setup, told

Block = dict[str, Any]
HITS: Block = {"kind": "hits"}
SWEEP: Block = {"kind": "sweep"}
ROUND: Block = {
    "kind": "rules",
    "rules": [
        {"name": "new", "when": "n_fields < 1", "do": {"image": {}}, "because": "new", "limits": {"fields": 99}},
        {"name": "more", "when": "sd_signal > 2", "do": {"image": {}}, "because": "x", "limits": {"fields": 9}},
    ],
}


class Scripted:
    """Proposes the wells of its list, then stops; told visits are kept."""

    class Params:
        """As those of a plug-in."""

        def __init__(self, wells: Sequence[str] = (), rule: str = "list", **_: Any) -> None:
            self.wells, self.rule, self.fields_per_visit = tuple(wells), rule, 1

        def model_dump(self, **_: Any) -> Block:
            return {"wells": list(self.wells)}

    def __init__(self, params: Params, setup: Setup) -> None:
        self.todo, self.rule = list(params.wells), params.rule
        self.told: list[Visit] = []
        self.contexts: list[Context] = []

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        self.contexts.append(context)
        done = {visit.well for visit in self.told} | {one.well for one in context.pending}
        todo = [well for well in self.todo if well not in done]
        if not todo:
            return [] if context.pending else Stop(reason="the list is done")
        why = Why(rule=self.rule, text="it is on the list")
        return [Proposal(well=well, fields=1, score=0.5, why=why) for well in todo[:k]]

    def tell(self, visit: Visit, result: VisitResult) -> None:
        self.told.append(visit)

    def report(self) -> Block:
        return {"told": len(self.told)}


LIST = f"{__name__}:Scripted"


def listed(name: str, *wells: str, **more: Any) -> Block:
    return {"kind": LIST, "name": name, "wells": wells, **more}


def answer(policy: Policy, k: int, context_: Context | None = None) -> list[Proposal]:
    found = policy.ask(k, context() if context_ is None else context_)
    assert not isinstance(found, Stop), found
    return list(found)


def origins(found: Sequence[Proposal]) -> dict[str, int]:
    return dict(Counter(one.why.by for one in found))


def tell(policy: Policy, proposal: Proposal, value: float = 1.0) -> None:
    """One visit, as the core makes it of a proposal."""
    count = proposal.fields if isinstance(proposal.fields, int) else len(proposal.fields)
    visit, result = told(proposal.well, {f"{proposal.why.by}{f}": value for f in range(count)})
    policy.tell(replace(visit, by=proposal.why.by), result)


@pytest.mark.parametrize(
    "factory",
    [
        pytest.param(lambda s: Mix(Mix.Params(of=[HITS | {"weight": 0.8}, SWEEP | {"weight": 0.2}]), s), id="mix"),
        pytest.param(
            lambda s: Mix(Mix.Params(of=[HITS | {"weight": 1}, ROUND | {"weight": 1}], random=0.2, until="all"), s),
            id="mix with chance, to the end of all",
        ),
        pytest.param(lambda s: InSequence(InSequence.Params(of=[ROUND, HITS, SWEEP]), s), id="sequence"),
        pytest.param(lambda s: Priority(Priority.Params(of=[HITS, SWEEP]), s), id="priority"),
        pytest.param(lambda s: Priority(Priority.Params(of=[HITS, SWEEP], until="first"), s), id="priority, first"),
        pytest.param(lambda s: Quota(Quota.Params(of=[HITS | {"share": 0.5}, SWEEP | {"share": 0.3}]), s), id="quota"),
        pytest.param(lambda s: Shadow(Shadow.Params(acts=SWEEP, shadow=HITS), s), id="shadow"),
        pytest.param(
            lambda s: Mix(
                Mix.Params(
                    of=[
                        {"kind": "priority", "of": [ROUND, HITS], "weight": 0.5},
                        {"kind": "quota", "of": [SWEEP | {"share": 0.4, "order": "random"}], "weight": 0.5},
                    ],
                    until="all",
                ),
                s,
            ),
            id="of combinations",
        ),
    ],
)
def test_contract(factory: Callable[[Setup], Policy]) -> None:
    assert_policy(factory)


# -- mix ------------------------------------------------------------------------------------------------------------


def test_shares_are_kept_over_the_run_whatever_the_batch() -> None:
    parts = [SWEEP | {"weight": 0.5, "name": "half"}, SWEEP | {"weight": 0.3, "name": "less", "order": "random"}]
    policy = Mix(Mix.Params(of=parts, random=0.2), setup(fields=(60,) * len(WELLS)))
    left = dict.fromkeys(WELLS, 60)
    seen: Counter[str] = Counter()
    for decision in range(100):
        for proposal in answer(policy, 3, context(decision, left=left)):
            tell(policy, proposal)
            left[proposal.well] -= 1
            seen[proposal.why.by] += 1
    assert seen == {"half": 150, "less": 90, "random": 60}
    parts_said = policy.report()["parts"]
    assert {name: said["fields"] for name, said in parts_said.items()} == seen


def test_what_is_under_way_counts_for_its_part() -> None:
    policy = Mix(Mix.Params(of=[listed("a", *WELLS, weight=1), listed("b", *WELLS, weight=1)], until="all"), setup())
    pending = [Pending(visit=i, well=WELLS[-i], fields=1, by="a") for i in range(1, 5)]
    assert origins(answer(policy, 4, context(pending=pending))) == {"b": 4}


def test_places_that_a_part_does_not_want_go_to_the_others() -> None:
    policy = Mix(Mix.Params(of=[listed("a", "A1", weight=0.9), listed("b", *WELLS, weight=0.1)], until="all"), setup())
    assert origins(answer(policy, 6)) == {"a": 1, "b": 5}


@pytest.mark.parametrize(
    ("until", "stops"), [pytest.param("first", True, id="first"), pytest.param("all", False, id="all")]
)
def test_whose_end_is_the_end(until: str, stops: bool) -> None:
    policy = Mix(Mix.Params(of=[listed("a", weight=1), listed("b", "A1", weight=1)], until=until), setup())
    found = policy.ask(4, context())
    assert isinstance(found, Stop) is stops
    if isinstance(found, Stop):
        assert found.reason == "a: the list is done"


def test_two_parts_do_not_take_the_same_field() -> None:
    policy = Mix(Mix.Params(of=[SWEEP | {"weight": 1}, SWEEP | {"weight": 1}]), setup())
    found = answer(policy, 24, context(left=dict.fromkeys(WELLS, 1)))
    assert len({one.well for one in found}) == len(found) == 24
    assert origins(found) == {"sweep": 12, "sweep 2": 12}


def test_each_part_has_chance_of_its_own() -> None:
    one = SWEEP | {"weight": 1}
    policy = Mix(Mix.Params(of=[one], random=0.5, until="all"), setup())
    drawn = [[p.well for p in answer(policy, 8, context(d)) if p.why.by == "random"] for d in (1, 2, 1)]
    assert drawn[0] == drawn[2] != drawn[1]


# -- who proposed ---------------------------------------------------------------------------------------------------


def test_a_reason_keeps_its_rule_and_names_its_part() -> None:
    inner = {"kind": "priority", "name": "inner", "of": [listed("deep", "A1", rule=CONFIRM)]}
    policy = Priority(Priority.Params(of=[inner]), setup())
    (proposal,) = answer(policy, 1)
    assert (proposal.why.by, proposal.why.rule, proposal.why.numbers["score"]) == ("inner/deep", CONFIRM, 0.5)
    assert proposal.why.head == "inner/deep: confirm"


def test_every_part_is_told_everything_and_knows_its_own() -> None:
    policy = Priority(Priority.Params(of=[listed("a", "A1"), listed("b", "A2")]), setup())
    for proposal in answer(policy, 2):
        tell(policy, proposal)
    visit, result = told("A3", {"0": 1.0}, "qc_fail")
    policy.tell(visit, result)
    parts = policy.report()["parts"]
    assert {name: (said["visits"], said["believes"]["told"]) for name, said in parts.items()} == {
        "a": (1, 3),
        "b": (1, 3),
    }


def test_a_denial_is_counted_with_its_part() -> None:
    policy = Priority(Priority.Params(of=[listed("a", "A1")]), setup())
    visit, result = told("A1", {"0": None}, "vetoed", -1)
    policy.tell(replace(visit, by="a"), result)
    assert policy.report()["parts"]["a"] == {
        "visits": 0,
        "fields": 0,
        "accepted": 0,
        "denied": 1,
        "believes": {"told": 1},
    }


def test_scores_keep_the_order_of_the_parts() -> None:
    policy = Priority(Priority.Params(of=[listed("a", "D6"), SWEEP]), setup())
    found = answer(policy, 5)
    assert found[0].well == "D6"
    assert [one.score for one in found] == [5, 4, 3, 2, 1]


# -- the others -----------------------------------------------------------------------------------------------------


def test_a_sequence_goes_on_when_a_part_stops_and_never_goes_back() -> None:
    policy = InSequence(InSequence.Params(of=[listed("a", "A1"), listed("b", "A2", "A3")]), setup())
    (first,) = answer(policy, 4)
    under_way = Pending(visit=1, well="A1", fields=1, by="a")
    assert answer(policy, 4, context(pending=[under_way])) == []
    tell(policy, first)
    second = answer(policy, 4)
    assert [(one.well, one.why.by) for one in second] == [("A2", "b"), ("A3", "b")]
    tell(policy, second[0])
    policy._parts[0].policy.todo.append("A6")  # type: ignore[attr-defined]
    assert origins(answer(policy, 4)) == {"b": 1}
    tell(policy, second[1])
    assert policy.ask(4, context()) == Stop(reason="b: the list is done")
    assert policy.report()["turn"] == "b"


def test_priority_leaves_what_is_left() -> None:
    policy = Priority(Priority.Params(of=[listed("a", *WELLS[:3]), listed("b", *WELLS)]), setup())
    assert origins(answer(policy, 8)) == {"a": 3, "b": 5}
    assert origins(answer(policy, 2)) == {"a": 2}
    assert [one.well for one in answer(policy, 8)] == list(WELLS[:8])


@pytest.mark.parametrize(
    ("frames", "shares"),
    [
        pytest.param(20, {"a": 5, "b": 15}, id="of the limit"),
        pytest.param(None, {"a": 36, "b": 108}, id="of all fields"),
    ],
)
def test_no_part_spends_more_than_its_share(frames: int | None, shares: dict[str, int]) -> None:
    parts = [SWEEP | {"share": 0.25, "name": "a"}, SWEEP | {"share": 0.75, "name": "b"}]
    plate = setup(limits=Limits(frames=frames))
    policy = Quota(Quota.Params(of=parts, fields_per_visit=4), plate)
    left = dict.fromkeys(WELLS, 6)
    seen: Counter[str] = Counter()
    for decision in range(1, 60):
        found = policy.ask(7, context(decision, left=left))
        if isinstance(found, Stop):
            assert "its share of the budget is spent" in found.reason
            break
        for proposal in found:
            assert isinstance(proposal.fields, int)
            seen[proposal.why.by] += proposal.fields
            left[proposal.well] -= proposal.fields
            tell(policy, proposal)
    assert seen == shares


def test_more_than_everything_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="110%"):
        Quota.Params(of=[SWEEP | {"share": 0.6}, SWEEP | {"share": 0.5}])


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"policy\.of\.1\.name: two parts are called 'a'"):
        Priority(Priority.Params(of=[listed("a"), listed("a")]), setup())


def test_a_shadow_inside_is_refused() -> None:
    inner = {"kind": "shadow", "acts": SWEEP, "shadow": HITS}
    with pytest.raises(ProtocolError, match="put `kind: shadow` outermost"):
        Priority(Priority.Params(of=[inner]), setup())


def test_a_shadow_acts_as_one_and_offers_the_other() -> None:
    policy = Shadow(Shadow.Params(acts=listed("a", "A1"), shadow=listed("b", "A2")), setup())
    assert [(one.well, one.why.by) for one in answer(policy, 3)] == [("A1", "a")]
    assert isinstance(policy.shadow, NamedPolicy)
    assert policy.shadow.parameters == {"wells": ["A2"]}
    visit, result = told("A1", {"0": 1.0})
    policy.tell(replace(visit, by="a"), result)
    assert policy.shadow.policy.report() == {"told": 0}  # the core tells it


def test_a_part_that_is_refused_says_where_it_stands() -> None:
    bad = {"kind": "rules", "rules": [{**ROUND["rules"][0], "when": "n_feld < 1"}]}
    inner = {"kind": "priority", "of": [SWEEP, bad]}
    with pytest.raises(ProtocolError) as found:
        Mix(Mix.Params(of=[SWEEP | {"weight": 1}, inner | {"weight": 1}]), setup())
    assert [(one.where, one.column) for one in found.value.problems] == [("policy.of.1.of.1.rules.0.when", 1)]


def test_what_one_chose_is_under_way_for_the_next() -> None:
    policy = Priority(Priority.Params(of=[listed("a", "A1", "A2"), listed("b", "A3")]), setup())
    answer(policy, 8, context(left=dict.fromkeys(WELLS, 2), frames_left=10))
    (seen,) = policy._parts[1].policy.contexts  # type: ignore[attr-defined]
    assert [(one.well, one.fields, one.by) for one in seen.pending] == [("A1", 1, ""), ("A2", 1, "")]
    assert (seen.fields_left["A1"], seen.fields_left["A3"], seen.frames_left) == (1, 2, 8)


def test_named_fields_are_not_chosen_twice() -> None:
    batch = Batch(4, context(), setup(), 1)
    part = Priority(Priority.Params(of=[listed("a")]), setup())._parts[0]
    why = Why(rule="r", text="t")
    wishes = [
        Proposal(well="A1", fields=("0", "1"), score=2, why=why, profile="closeup"),
        Proposal(well="A1", fields=("1", "2"), score=1, why=why, profile="closeup"),
        Proposal(well="A1", fields=("1",), score=0, why=why, profile="closeup"),
    ]
    assert batch.choose(part, wishes, 4) == 2
    assert [one.fields for one in batch.chosen] == [("0", "1"), ("2",)]
    assert np.isfinite([one.score for one in batch.chosen]).all()
