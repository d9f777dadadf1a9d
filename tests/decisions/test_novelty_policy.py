"""The policy `novelty`: every phenotype gets its close look, dirt gets none, and it knows when to stop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phenoloop.errors import ProtocolError
from phenoloop.model import FieldResult
from phenoloop.policies.novelty import Novelty
from phenoloop.testing import assert_policy, small_plate
from tests.decisions.profiled import NAMES, Look, moved, run, setup

KINDS = {
    "large": {"area": 15.0, "form_factor": -9.0, "eccentricity": 6.0},
    "bright": {"DNA.mean": 14.0, "DNA.sd": 10.0, "DNA.ratio": -8.0},
    "dotted": {"vesicles.count": 16.0, "vesicles.density": 12.0, "GFP.mean": 6.0},
    "grainy": {name: 12.0 for name in NAMES if name.startswith("GFP.e")},
}
WHERE = {"large": (5, 17, 41), "bright": (7, 50), "dotted": (23, 61, 62, 63), "grainy": (71,)}
MOVES = {well: KINDS[kind] for kind, wells in WHERE.items() for well in wells}
KIND_OF = {well: kind for kind, wells in WHERE.items() for well in wells}
DIRT = tuple(float(x) for x in 50 + 40 * np.random.default_rng(3).normal(size=len(NAMES)))


def dirty(*wells: int) -> Look:
    """The first field of some wells shows dirt that no gate rejected."""

    def look(well: int, had: int) -> FieldResult | None:
        return FieldResult(field="", status="ok", profile=DIRT) if well in wells and had == 0 else None

    return look


@pytest.mark.parametrize("closeup", [pytest.param(True, id="close look"), pytest.param(False, id="second field")])
@pytest.mark.parametrize("seed", [501, 502, 503])
def test_every_phenotype_is_seen_with_few_looks(seed: int, closeup: bool) -> None:
    plate = setup(closeup=closeup)
    params = {"follow_up": "closeup", "explore": 0.0} if closeup else {"explore": 0.0}
    _, done = run(plate, moved(MOVES, plate, seed), seed, params)
    later = (
        done.wells("closeup", "furthest from what is known") if closeup else done.wells("main", "confirm what is odd")
    )
    kinds = [KIND_OF.get(plate.wells.index(well), "none") for well in later]
    assert set(KINDS) <= set(kinds)
    assert len(later) <= 4 * len(KINDS)
    assert "no other well lies further" in done.reason


def test_controls_come_first_then_every_well_once() -> None:
    seed = 511
    plate = setup()
    _, done = run(plate, moved({}, plate, seed), seed)
    assert done.wells("main")[: len(plate.controls)] == list(plate.controls)
    firsts = done.wells("main", "first look")
    assert sorted(firsts) == sorted(set(plate.wells) - set(plate.controls))
    fields = {well: done.wells("main", "controls first").count(well) for well in plate.controls}
    assert set(fields.values()) == {3}


def test_dirt_in_one_field_gets_no_close_look() -> None:
    seed = 521
    plate = setup(closeup=True)
    dirt = (10, 30, 45, 66)
    _, done = run(plate, moved(MOVES, plate, seed), seed, {"follow_up": "closeup", "explore": 0.0}, dirty(*dirt))
    close = done.wells("closeup", "furthest from what is known")
    names = {plate.wells[i] for i in dirt}
    assert names <= set(done.wells("main", "confirm what is odd"))
    assert not names & set(close)
    assert {KIND_OF.get(plate.wells.index(well)) for well in close} >= set(KINDS)


def test_dirt_in_a_control_does_not_make_dirt_familiar() -> None:
    seed = 523
    plate = setup()
    first = plate.wells.index(plate.controls[2])
    clean, _ = run(plate, moved(MOVES, plate, seed), seed)
    spoilt, _ = run(plate, moved(MOVES, plate, seed), seed, None, dirty(first))
    assert spoilt.report()["alike"] < 1.5 * clean.report()["alike"]


def test_rejected_fields_never_count() -> None:
    seed = 531
    plate = setup()

    def rejected(well: int, had: int) -> FieldResult | None:
        return FieldResult(field="", status="qc_fail", profile=DIRT) if well % 3 == 0 and had == 0 else None

    policy, done = run(plate, moved({}, plate, seed), seed, {"explore": 0.0}, rejected)
    assert policy.report()["wells_seen"] == len(plate.wells)
    assert "furthest" not in " ".join(done.rules)
    assert len(done.wells("main", "confirm what is odd")) <= 6


def test_a_batch_holds_no_phenotype_twice() -> None:
    seed = 541
    plate = setup(batch=4)
    strong = {well: {name: 3 * by for name, by in moves.items()} for well, moves in MOVES.items()}
    _, done = run(plate, moved(strong, plate, seed), seed, {"explore": 0.0})
    odd = [v for v, rule in zip(done.visits, done.rules, strict=True) if rule == "confirm what is odd"]
    together = [KIND_OF.get(plate.wells.index(v.well)) for v in odd if v.decision == odd[0].decision]
    assert sorted(map(str, together)) == sorted(KINDS)


def test_weaker_and_stronger_is_one_phenotype_unless_said_otherwise() -> None:
    seed = 551
    plate = setup(closeup=True)
    kind = dict.fromkeys(NAMES[:9], 4.0)
    moves = {13: kind, 41: {name: 3 * by for name, by in kind.items()}}
    level = moved(moves, plate, seed)
    looked = {
        strength: set(
            run(plate, level, seed, {"follow_up": "closeup", "explore": 0.0, "strength": strength})[1].wells(
                "closeup", "furthest from what is known"
            )
        )
        for strength in (1.0, 3.0)
    }
    assert looked[3.0] == {plate.wells[41]}
    assert looked[1.0] == {plate.wells[13], plate.wells[41]}


def test_chance_has_its_share_and_controls_are_looked_at_closely() -> None:
    seed = 561
    plate = setup(closeup=True)
    _, done = run(plate, moved(MOVES, plate, seed), seed, {"follow_up": "closeup", "explore": 0.6})
    assert "explore" in done.rules
    assert len(done.wells("closeup", "controls closely")) == 2
    assert set(done.wells("closeup", "controls closely")) <= set(plate.controls)


def test_a_well_that_cannot_be_followed_up_is_given_up() -> None:
    seed = 571
    plate = setup(closeup=True)
    _, done = run(plate, moved({71: KINDS["grainy"]}, plate, seed), seed, {"follow_up": "closeup", "explore": 0.0},
               close=lambda well: "missing" if well == 71 else "ok")  # fmt: skip
    assert done.wells("closeup").count(plate.wells[71]) == 2
    assert done.reason


def test_reasons_name_what_is_different() -> None:
    seed = 581
    plate = setup()
    _, done = run(plate, moved({33: {"vesicles.count": 40.0, "vesicles.density": 30.0}}, plate, seed), seed)
    text = done.proposals[done.rules.index("confirm what is odd")].why.text
    assert text.startswith("unlike the controls: mostly vesicles.count higher and vesicles.density higher")
    assert "one field may be dirt" in text


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        pytest.param(2, "too few controls to stop earlier", id="two"),
        pytest.param(1, "fewer than two control wells", id="one"),
    ],
)
def test_few_controls_are_lived_with(controls: int, said: str) -> None:
    plate = setup(rows=2, controls=controls)
    assert said in run(plate, moved({}, plate, 591), 591)[1].reason


def test_slips_are_told() -> None:
    with pytest.raises(ProtocolError, match="did you mean 'closeup'"):
        Novelty(Novelty.Params(follow_up="closup"), setup(closeup=True))
    with pytest.raises(ProtocolError, match="compares with controls"):
        Novelty(Novelty.Params(), small_plate(controls=0))


@pytest.mark.parametrize(
    "params", [Novelty.Params(), Novelty.Params(explore=0.5, fields_per_visit=2)], ids=["plain", "other"]
)
def test_contract(params: Novelty.Params) -> None:
    assert_policy(lambda plate: Novelty(params, plate))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(600, 10_000), losses=st.floats(0, 0.4))
def test_the_same_history_gives_the_same_proposals(seed: int, losses: float) -> None:
    plate = setup(rows=3, closeup=True)

    def lost(well: int, had: int) -> FieldResult | None:
        gone = np.random.default_rng([seed, well, had]).random() < losses
        return FieldResult(field="", status="missing") if gone else None

    level = moved({20: KINDS["large"], 31: KINDS["dotted"]}, plate, seed)
    both = [run(plate, level, seed, {"follow_up": "closeup"}, lost)[1] for _ in range(2)]
    assert both[0].asked == both[1].asked
    assert both[0].reason == both[1].reason
