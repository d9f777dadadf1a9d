"""Policies that only say a score: what is done for them, and what they are shown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import CONFIRM, Pending, Proposal, Stop
from phenoloop.policies.plate_table import Column
from phenoloop.policies.rank import RankPolicy, Wells
from phenoloop.testing import assert_policy
from tests.decisions.plates import CONTROLS, READOUT, WELLS, context, draw, setup, told


class Largest(RankPolicy):
    """The largest mean first."""

    def scores(self, wells: Wells) -> Column:
        return wells.mean(READOUT)


class Uncertain(RankPolicy):
    """Where the standard error is largest; a well without a spread is not wanted."""

    def scores(self, wells: Wells) -> Column:
        return wells.sd(READOUT) / np.sqrt(wells.n)

    def because(self, wells: Wells, i: int, score: float) -> str:
        return f"{wells.names[i]} is uncertain by {score:.2f}"


class FromControls(RankPolicy):
    """Far from the controls, drugs only."""

    def scores(self, wells: Wells) -> Column:
        centre, spread = wells.controls(READOUT)
        far = abs(wells.mean(READOUT) - centre) / spread
        return np.where(wells.is_control | (np.array(wells.column("treatment")) == "vehicle"), np.nan, far)


def policy(plugin: type[RankPolicy] = Largest, **params: Any) -> RankPolicy:
    return plugin(plugin.Params(**params), setup())


def see(chosen: RankPolicy, **values: list[float]) -> None:
    """Tell the fields of some wells."""
    for well, some in values.items():
        chosen.tell(*told(well, {str(f): value for f, value in enumerate(some)}))


def asked(chosen: RankPolicy, k: int = 4, **changes: Any) -> list[Proposal]:
    found = chosen.ask(k, context(**changes))
    assert not isinstance(found, Stop), found
    return list(found)


@pytest.mark.parametrize(
    ("plugin", "params"),
    [
        pytest.param(Largest, {}, id="one field"),
        pytest.param(Largest, {"first_fields": 0}, id="no first look"),
        pytest.param(Uncertain, {"first_fields": 2, "fields_per_visit": 2}, id="two fields"),
        pytest.param(FromControls, {"most_fields": 3}, id="few fields"),
    ],
)
def test_contract(plugin: type[RankPolicy], params: dict[str, Any]) -> None:
    assert_policy(lambda plate: plugin(plugin.Params(**params), plate))


def test_every_well_first_then_by_score() -> None:
    chosen = policy(first_fields=2)
    see(chosen, **({well: [0.0, 1.0] for well in WELLS[2:]} | {"A1": [5.0], "B1": [9.0, 9.0], "C1": [8.0, 6.0]}))
    found = asked(chosen, 5)
    assert [(one.well, one.why.rule) for one in found[:4]] == [
        ("A2", "first look"),
        ("A1", "first look"),
        ("B1", "Largest"),
        ("C1", "Largest"),
    ]
    assert found[2].why.numbers == {"score": 9.0, "fields": 2.0, READOUT: 9.0}
    assert found[2].why.text == "its score is 9 after 2 fields"
    assert [one.score for one in found] == [0, -1, -2, -3, -4]
    assert found[0].why.instead == "A4"


def test_a_reason_of_its_own() -> None:
    chosen = policy(Uncertain, first_fields=0)
    see(chosen, A1=[1.0, 3.0])
    assert [one.why.text for one in asked(chosen)] == ["A1 is uncertain by 1.00"]


def test_nan_is_not_wanted_and_the_end_says_so() -> None:
    chosen = policy(Uncertain, first_fields=1)
    see(chosen, **{well: [1.0] for well in WELLS})
    assert chosen.ask(4, context()) == Stop(reason="no well with fields left has a score")
    assert chosen.ask(4, context(pending=[Pending(visit=1, well="A1", fields=1)])) == []
    assert chosen.ask(4, context(left=dict.fromkeys(WELLS, 0))) == Stop(reason="no field is left that may be asked for")


def test_what_is_under_way_waits() -> None:
    chosen = policy()
    see(chosen, **({well: [1.0] for well in WELLS} | {"B1": [9.0]}))
    found = asked(chosen, 24, pending=[Pending(visit=1, well="B1", fields=1)])
    assert "B1" not in [one.well for one in found]


@pytest.mark.parametrize(
    "status",
    [pytest.param("missing", id="missing"), pytest.param("vetoed", id="denied"), pytest.param("late", id="late")],
)
def test_a_well_that_fails_is_left_alone(status: str) -> None:
    chosen = policy(first_fields=9)
    for f in range(3):
        chosen.tell(*told("A1", {str(f): None}, status))
    assert "A1" not in [one.well for one in asked(chosen, 24)]


def test_images_that_confirm_have_no_part() -> None:
    chosen = policy()
    see(chosen, A1=[1.0])
    visit, result = told("A1", {"5": 99.0})
    chosen.tell(replace(visit, role=CONFIRM), result)
    assert chosen.report()["wells"]["A1"] == {"fields": 1, READOUT: 1.0}


def test_the_table() -> None:
    chosen = policy()
    values = draw(3, {"B2": 5.0})
    for i, well in enumerate(WELLS[:12]):
        see(chosen, **{well: [float(value) for value in values[i]]})
    shown: list[Wells] = []
    chosen.scores = lambda wells: (shown.append(wells), wells.n)[1]  # type: ignore[method-assign]
    chosen.ask(1, context(left={"A1": 2}, pending=[Pending(visit=1, well="D6", fields=3)]))
    (table,) = shown
    assert len(table) == len(WELLS) == len(table.names)
    np.testing.assert_allclose(table.mean(READOUT)[:12], values[:12].mean(axis=1), rtol=1e-8)
    np.testing.assert_allclose(table.sd(READOUT)[:12], values[:12].std(axis=1, ddof=1), rtol=1e-8)
    assert np.isnan(table.mean(READOUT)[12:]).all()
    assert (table.n.sum(), table.left[0], table.coming[-1]) == (72, 2, 3)
    assert [name for name, yes in zip(table.names, table.is_control, strict=True) if yes] == list(CONTROLS)
    seen = [i for i, well in enumerate(WELLS[:12]) if well in CONTROLS]
    assert table.controls(READOUT)[0] == pytest.approx(values[seen].mean(), rel=1e-8)
    assert table.column("treatment")[:2] == ("vehicle", "drug")
    assert np.isnan(table.numbers("treatment")).all()
    with pytest.raises(KeyError, match="no column 'dose'"):
        table.column("dose")


class Misspelt(RankPolicy):
    def scores(self, wells: Wells) -> Column:
        return wells.mean("signl")


class TooFew(RankPolicy):
    def scores(self, wells: Wells) -> Column:
        return wells.n[:3]


class Works(RankPolicy):
    def scores(self, wells: Wells) -> Column:
        return np.full(len(wells), math.inf)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        pytest.param(Misspelt, "there is no readout 'signl'; there are signal", id="misspelt readout"),
        pytest.param(TooFew, r"must return one number per well, 24, not an array of \(3,\)", id="wrong shape"),
    ],
)
def test_what_fails_is_found_at_load(plugin: type[RankPolicy], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        policy(plugin).try_out()


def test_infinity_is_no_score() -> None:
    chosen = policy(Works, first_fields=0)
    chosen.try_out()
    assert isinstance(chosen.ask(1, context()), Stop)
