"""What `hits` does beyond calling: ranks, confirms, prefers replicates, sees controls again, sizes its visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from phenoloop.errors import ProtocolError
from phenoloop.model import (
    CONFIRM,
    AutofocusPlan,
    ChannelPlan,
    CostModel,
    FieldPlace,
    FieldReadout,
    Pending,
    ProfilePlan,
    Proposal,
    Setup,
    Stop,
)
from phenoloop.numerics.evidence import Null
from phenoloop.numerics.pace import fields_of_a_visit
from phenoloop.numerics.responders import believe
from phenoloop.numerics.rounding import significant, significant_all
from phenoloop.numerics.well_sums import summarise
from phenoloop.policies.hits import Hits
from phenoloop.questions.hits import HitsQuestion
from phenoloop.testing import assert_policy
from tests.decisions.plates import CONTROLS, READOUT, TREATED, WELLS, context, draw, readouts, setup, told

LEFT = dict.fromkeys(CONTROLS, 0) | dict.fromkeys(TREATED, 4)


def known(effects: Mapping[str, float], n: int = 2, plate: Setup | None = None, **params: object) -> Hits:
    """A policy that has seen all controls in full, and of all others `n` fields whose mean is their effect."""
    policy = Hits(Hits.Params.model_validate({"explore": 0.0, "control_again": 0.0} | params), plate or setup())
    values = draw(5, {})
    centre = values[[WELLS.index(well) for well in CONTROLS]].mean()
    for well in CONTROLS:
        policy.tell(*told(well, {str(f): float(x) for f, x in enumerate(values[WELLS.index(well)])}))
    for well in TREATED:
        fields = centre + effects.get(well, 0.0) + np.linspace(-1, 1, n)
        policy.tell(*told(well, {str(f): float(x) for f, x in enumerate(fields)}))
    return policy


def ask(policy: Hits, k: int = 8, **given: object) -> list[Proposal]:
    answer: Sequence[Proposal] | Stop = policy.ask(k, context(**({"left": LEFT} | given)))  # type: ignore[arg-type]
    assert not isinstance(answer, Stop), answer
    return list(answer)


# -- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"aim": "rank"}, id="ranking"),
        pytest.param({"aim": "rank", "top": 5, "fields_per_visit": 2}, id="ranking, list of five"),
        pytest.param({"confirm": 1, "control_again": 0.5}, id="controls again, one field to confirm"),
        pytest.param({"fields_per_visit": "auto"}, id="visits sized by the costs"),
        pytest.param({"replicates": ("treatment",)}, id="all treated wells are replicates"),
    ],
)
def test_contract(params: dict[str, object]) -> None:
    assert_policy(lambda plate: Hits(Hits.Params.model_validate(params), plate))


# -- ranking ----------------------------------------------------------------------------------------------------------


def test_ranking_goes_to_the_well_in_doubt() -> None:
    effects = dict.fromkeys(TREATED[:3], 9.0) | {TREATED[5]: 1.6}
    asked = ask(known(effects, aim="rank"), 1)
    assert [(p.well, p.why.rule) for p in asked] == [(TREATED[5], "most likely to change the ranking")]
    assert 0.01 < asked[0].why.numbers["chance"] < 0.99


def test_ranking_works_at_the_edge_of_the_list_that_is_wanted() -> None:
    effects = {TREATED[0]: 9.0, TREATED[1]: 6.0, TREATED[2]: 2.2, TREATED[3]: 2.0, TREATED[4]: 1.2}
    near = {ask(known(effects, aim="rank", top=top), 1)[0].well for top in (3,)}
    assert near <= {TREATED[2], TREATED[3]}


def test_ranking_stops_when_nothing_is_in_doubt() -> None:
    policy = known(dict.fromkeys(TREATED[:3], 30.0) | dict.fromkeys(TREATED[3:], -3.0), n=4, aim="rank", confirm=0)
    assert policy.ask(8, context(left=LEFT)) == Stop(reason="no further image is likely to change the ranking")


def test_belief_finds_the_responding_and_doubts_the_lucky() -> None:
    rng = np.random.default_rng(3)
    null = Null(summarise((rng.normal(0, 0.3, (16, 1)) + rng.normal(size=(16, 4))).tolist()))
    fields = [[0.0, 0.1, -0.2, 0.1]] * 60 + [[2.0]] + [[2.1, 1.8, 2.1, 2.0]]
    belief = believe(null, summarise(fields), "up", 0.0)
    assert belief.chance[:60].max() < 0.1
    assert belief.chance[60] < 0.95 < 0.99 < belief.chance[61]
    assert belief.expected[60] < belief.expected[61]


@pytest.mark.parametrize("change", ["up", "down", "both"])
def test_belief_follows_the_direction(change: str) -> None:
    rng = np.random.default_rng(4)
    null = Null(summarise(rng.normal(size=(16, 4)).tolist()))
    sign = -1 if change == "down" else 1
    belief = believe(null, summarise([[sign * 5.0] * 3, [0.0] * 3, [-sign * 5.0] * 3] + [[0.1, -0.1]] * 20), change, 0)
    assert belief.chance[0] > 0.99 > 0.5 > belief.chance[1]
    assert (belief.chance[2] > 0.99) == (change == "both")


# -- confirmation -----------------------------------------------------------------------------------------------------


def test_called_wells_are_seen_again_when_nothing_else_is_left() -> None:
    policy = known(dict.fromkeys(TREATED[:2], 30.0), n=4, confirm=3)
    asked = ask(policy, left=LEFT | {TREATED[1]: 1})
    assert [(p.well, p.fields, p.why.rule) for p in asked] == [(TREATED[0], 3, CONFIRM), (TREATED[1], 1, CONFIRM)]


def test_what_confirms_has_no_part_in_the_call() -> None:
    policy = known(dict.fromkeys(TREATED[:2], 30.0), n=4, confirm=2)
    before = policy.report()["likely_hits"]
    visit, result = told(TREATED[0], {"4": -50.0, "5": -50.0}, number=9)
    policy.tell(replace(visit, role=CONFIRM), result)
    assert policy.report()["likely_hits"] == before
    assert policy.report()["confirmed"] == [TREATED[0]]
    assert [p.well for p in ask(policy)] == [TREATED[1]]


def test_the_rest_of_a_small_budget_belongs_to_the_called() -> None:
    effects = {TREATED[0]: 30.0, TREATED[5]: 2.6}
    policy = known(effects, confirm=2, plate=setup(batch=2))
    rules = [ask(policy, 2, frames_left=frames)[0].why.rule for frames in (100, 4)]
    assert rules == ["most likely to change its call", CONFIRM]


def fresh(well: str, values: Sequence[float]) -> list[FieldReadout]:
    return [
        FieldReadout(well=well, field=f"c{i}", visit=7, readouts={READOUT: value}, role=CONFIRM)
        for i, value in enumerate(values)
    ]


def test_the_question_takes_effects_from_fresh_images_only() -> None:
    data = readouts(draw(1, dict.fromkeys(TREATED[:5], 8.0)))
    question = HitsQuestion(HitsQuestion.Params(readout=READOUT, controls="x"), setup())
    plain, confirmed = question.answer(data), question.answer([*data, *fresh(TREATED[0], [4.0, 4.2])])
    hit = confirmed.wells[TREATED[0]]
    assert [said.call for said in confirmed.wells.values()] == [said.call for said in plain.wells.values()]
    assert hit.evidence == plain.wells[TREATED[0]].evidence
    assert hit.effect is not None
    assert hit.effect.mean is not None
    assert hit.effect.mean == pytest.approx(4.1, abs=0.5)  # not the 8 that its other images show
    assert (hit.effect.n, hit.effect.unit) == (2, "field")
    assert plain.wells[TREATED[0]].effect is None
    assert any("one of five hits" in note for note in confirmed.notes)
    assert any("too large" in note for note in plain.notes)


def test_effects_of_called_wells_are_not_inflated() -> None:
    """Hits that are called only now and then: the images that made the call exaggerate, fresh ones do not."""
    chosen, apart = [], []
    question = HitsQuestion(HitsQuestion.Params(readout=READOUT, controls="x"), setup())
    for seed in range(40):
        values = draw(900 + seed, dict.fromkeys(TREATED[:6], 2.8), fields=4, well_sd=0.0)
        rng = np.random.default_rng(seed)
        extra = [field for well in TREATED[:6] for field in fresh(well, 2.8 + rng.normal(size=2))]
        answer = question.answer([*readouts(values), *extra])
        for well in TREATED[:6]:
            said = answer.wells[well]
            if said.call == "hit" and said.effect is not None and said.effect.mean is not None:
                apart.append(said.effect.mean - 2.8)
                chosen.append(float(values[WELLS.index(well)].mean()) - answer.summary["null"]["mean"] - 2.8)  # type: ignore[index]
    assert len(apart) > 30
    assert np.mean(chosen) > 0.15
    assert abs(np.mean(apart)) < 3 * np.std(apart) / np.sqrt(len(apart))


# -- replicates and controls ------------------------------------------------------------------------------------------


def paired(**changes: object) -> Setup:
    """Treated wells in pairs: same compound, same dose."""
    rows = [{"treatment": "vehicle", "dose": 0} for _ in WELLS]
    for i, well in enumerate(TREATED):
        rows[WELLS.index(well)] = {"treatment": f"compound {i // 2}", "dose": 1 + i % 2}
    return setup(properties=tuple(rows), **changes)


def test_a_replicate_comes_before_more_fields_of_one_well() -> None:
    plate = paired()
    pair = TREATED[4:6]
    policy = known({pair[0]: 3.2}, plate=plate, replicates=("treatment",))
    policy.tell(*told(pair[0], {"2": 3.2, "3": 3.2}, number=3))
    asked = ask(policy, 1)
    assert [(p.well, p.why.rule) for p in asked] == [(pair[1], "replicate first")]
    without = known({pair[0]: 3.2}, plate=plate)
    without.tell(*told(pair[0], {"2": 3.2, "3": 3.2}, number=3))
    assert ask(without, 1)[0].well == pair[0]  # two doses are no replicates


def test_a_replicate_that_has_as_many_fields_changes_nothing() -> None:
    pair = TREATED[4:6]
    policy = known({pair[0]: 2.6}, plate=paired(), replicates=("treatment",))
    waiting = [Pending(visit=9, well=pair[1], fields=1)]
    assert ask(policy, 1, pending=waiting)[0].well == pair[0]


def test_a_column_that_the_map_has_not_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no column 'compond'"):
        Hits(Hits.Params(replicates=("compond",)), paired())


def test_controls_are_seen_again() -> None:
    policy = known(dict.fromkeys(TREATED[:8], 2.6), control_again=0.5)
    rules = [
        p.why.rule for decision in range(1, 9) for p in ask(policy, decision=decision, left=dict.fromkeys(WELLS, 4))
    ]
    assert 0.2 < np.mean([rule == "control again" for rule in rules]) < 0.8


@pytest.mark.parametrize(
    ("params", "controls", "target"),
    [
        pytest.param({}, CONTROLS, 12, id="a call rests on their spread"),
        pytest.param({"aim": "rank"}, CONTROLS, 2, id="a ranking: no fewer than two"),
        pytest.param({"aim": "rank"}, CONTROLS[:1], 4, id="a ranking: a sixth of 24 wells, by the only control"),
        pytest.param({"aim": "rank", "control_fields": 5}, CONTROLS, 5, id="as the protocol says"),
    ],
)
def test_how_often_a_control_is_seen_first(params: dict[str, object], controls: tuple[str, ...], target: int) -> None:
    policy = Hits(Hits.Params.model_validate(params), setup(controls=controls, fields=(40,) * len(WELLS)))
    looks = ask(policy, left=dict.fromkeys(WELLS, 40))
    assert {p.why.numbers["target"] for p in looks if p.why.rule == "controls first"} == {target}


# -- the size of a visit ----------------------------------------------------------------------------------------------


def costed(exposure_ms: float, focus: bool = False, speed: float = 20_000.0) -> Setup:
    channel = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=exposure_ms)
    sweep = AutofocusPlan(channel="GFP", range_um=20, step_um=2) if focus else None
    places = tuple(
        tuple(FieldPlace(name=str(f), x_um=9000.0 * (i % 6) + 600 * f, y_um=9000.0 * (i // 6)) for f in range(6))
        for i in range(len(WELLS))
    )
    profile = ProfilePlan(name="main", channels=(channel,), pixel_size_um=0.65, autofocus=sweep)
    return setup(profiles={"main": profile}, places=places, cost=CostModel(stage_um_per_s=speed))


@pytest.mark.parametrize(
    ("plate", "fields"),
    [
        pytest.param(costed(5000), 1, id="long exposures: a trip costs little beside a field"),
        pytest.param(costed(20), 4, id="short exposures"),
        pytest.param(costed(1000, speed=2000), 4, id="slow stage"),
        pytest.param(costed(300, focus=True), 4, id="autofocus by images"),
        pytest.param(setup(), 1, id="costs not known"),
    ],
)
def test_fields_of_a_visit(plate: Setup, fields: int) -> None:
    assert fields_of_a_visit(plate) == fields
    asked = Hits(Hits.Params(fields_per_visit="auto"), plate).ask(24, context())
    assert not isinstance(asked, Stop)
    assert {p.fields for p in asked if p.why.rule == "first look"} == {fields}


# -- rounding ---------------------------------------------------------------------------------------------------------


@given(arrays.arrays(np.float64, st.integers(0, 30), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_all_at_once_rounds_as_one_by_one(values: np.ndarray) -> None:
    np.testing.assert_array_equal(significant_all(values), [significant(float(value)) for value in values])


# -- wells that scatter more than the controls ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spread", "warned"), [pytest.param(1.0, False, id="alike"), pytest.param(2.0, True, id="twice")]
)
def test_wells_that_are_noisier_than_the_controls_are_told(spread: float, warned: bool) -> None:
    wells = tuple(f"A{i}" for i in range(1, 161))
    controls = wells[::5]
    rng = np.random.default_rng(8)
    values = rng.normal(size=(160, 4))
    values[[i for i, well in enumerate(wells) if well not in controls]] *= spread
    plate = setup(wells=wells, fields=(4,) * 160, controls=controls, properties=({},) * 160)
    data = [
        FieldReadout(well=well, field=str(f), visit=1 + f, readouts={READOUT: float(values[i, f])})
        for i, well in enumerate(wells)
        for f in range(4 if well in controls else 2)
    ]
    answer = HitsQuestion(HitsQuestion.Params(readout=READOUT, controls="x"), plate).answer(data)
    assert any("times as noisy, so fewer are called" in note for note in answer.notes) == warned


def test_the_band_of_an_effect_knows_that_hits_scatter_more() -> None:
    data = readouts(draw(1, dict.fromkeys(TREATED[:5], 8.0)))
    question = HitsQuestion(HitsQuestion.Params(readout=READOUT, controls="x"), setup())

    def width(apart: float) -> float:
        extra = [field for well in TREATED[:5] for field in fresh(well, [8 - apart, 8 + apart])]
        effect = question.answer([*data, *extra]).wells[TREATED[0]].effect
        assert effect is not None
        assert effect.low is not None
        assert effect.high is not None
        return effect.high - effect.low

    assert width(4.0) > 2 * width(1.0)
