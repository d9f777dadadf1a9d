"""Dose-response: the curve's posterior, where the policy goes, and what the question says, also when it cannot say."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phenoloop.errors import ProtocolError
from phenoloop.model import Context, FieldReadout, FieldResult, Limits, Pending, Proposal, Setup, Stop, Visit
from phenoloop.numerics.dose_curve import Belief
from phenoloop.numerics.dose_grid import Grid
from phenoloop.numerics.dose_regression import Points, ratio_weights
from phenoloop.policies.dose_response import DoseResponse
from phenoloop.questions.dose_response import DoseResponseQuestion
from phenoloop.testing import READOUT, Look, assert_policy, assert_question, play
from tests.decisions.plates import told

DOSES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def plate(compounds: Sequence[str] = ("a", "b"), replicates: int = 2, controls: int = 6, fields: int = 6) -> Setup:
    """Vehicle wells first, then each compound dose by dose."""
    rows: list[dict[str, Any]] = [{"compound": "vehicle", "dose": 0} for _ in range(controls)]
    rows += [{"compound": c, "dose": d} for c in compounds for d in DOSES for _ in range(replicates)]
    wells = tuple(f"{chr(65 + i // 12)}{i % 12 + 1}" for i in range(len(rows)))
    return Setup(
        wells=wells,
        fields=(fields,) * len(wells),
        readout=READOUT,
        properties=tuple(rows),
        along="dose",
        by="compound",
        batch=8,
    )


def values(setup: Setup, curves: Mapping[str, tuple[float, float, float]], seed: int, well_sd: float = 0.1) -> Any:
    """Readouts (wells, fields): bottom 1, field SD 0.3; `curves` gives span, EC50 and slope."""
    rng = np.random.default_rng([71, seed])
    means = []
    for row in setup.properties:
        span, ec50, hill = curves.get(str(row["compound"]), (0.0, 1.0, 1.0))
        dose = float(row["dose"])  # type: ignore[arg-type]
        means.append(1 + span * dose**hill / (dose**hill + ec50**hill))
    wells = rng.normal(0, well_sd, (len(means), 1))
    return np.array(means)[:, None] + wells + rng.normal(0, 0.3, (len(means), max(setup.fields)))


def fields_of(setup: Setup, data: NDArray[np.float64], n: int) -> list[FieldReadout]:
    return [
        FieldReadout(well=well, field=str(f), visit=1 + f, readouts={READOUT: float(data[i, f])})
        for f in range(n)
        for i, well in enumerate(setup.wells)
    ]


def say(setup: Setup, data: NDArray[np.float64], n: int, **params: Any) -> dict[str, Any]:
    asked = DoseResponseQuestion.Params.model_validate({"readout": READOUT, "by": "compound"} | params)
    answer = DoseResponseQuestion(asked, setup).answer(fields_of(setup, data, n))
    json.dumps(answer.summary, allow_nan=False)
    found: Any = answer.summary["compounds"]
    return dict(found)


def ask_context(setup: Setup, used: Mapping[str, int] | None = None, pending: Sequence[Pending] = ()) -> Context:
    left = {well: f - (used or {}).get(well, 0) for well, f in zip(setup.wells, setup.fields, strict=True)}
    return Context(
        decision=1,
        at_s=0.0,
        pending=tuple(pending),
        fields_left=left,
        frames_left=None,
        last_well=None,
        rng=np.random.default_rng(1),
    )


def proposals(answer: Sequence[Proposal] | Stop) -> list[Proposal]:
    assert not isinstance(answer, Stop), answer
    return list(answer)


def with_doses(given: Setup) -> Setup:
    """The plate of the contract, its wells that are no controls dosed."""
    rows = []
    for i, row in enumerate(given.properties):
        control = row["treatment"] == "vehicle"
        rows.append({"compound": "abc"[i % 3], "dose": 0.0 if control else 10.0 ** (i % 5 - 2)})
    return dataclasses.replace(given, properties=tuple(rows), along="dose", by="compound", controls=())


@pytest.mark.parametrize("params", [{}, {"fields_per_visit": 2, "precision": 0.3}], ids=["default", "two fields"])
def test_policy_contract(params: dict[str, Any]) -> None:
    assert_policy(lambda setup: DoseResponse(DoseResponse.Params(**params), with_doses(setup)))


def test_question_contract() -> None:
    params = DoseResponseQuestion.Params(readout=READOUT, by="compound")
    assert_question(lambda setup: DoseResponseQuestion(params, with_doses(setup)))


# -- the posterior --------------------------------------------------------------------------------------------------


def belief(noise: float = 0.05, n: float = 4.0, ec50: float = 0.3) -> Belief:
    rng = np.random.default_rng(3)
    log_dose = np.concatenate([[-math.inf] * 4, np.log10(DOSES)])
    mean = np.append(np.zeros(4), 1 / (1 + ec50 / np.array(DOSES))) + rng.normal(0, noise / math.sqrt(n), 12)
    points = Points(log_dose, np.full(12, n), mean, np.ones(12), noise**2 * 12 * (n - 1), 12 * (n - 1))
    controls = Points(log_dose[:4], points.n[:4], mean[:4], points.noise[:4], points.scatter, points.freedom)
    grid = Grid(np.log10(DOSES))
    return Belief(grid, points, ratio_weights(controls, [(grid, points)]))


def test_posterior_agrees_with_brute_force() -> None:
    """Bottom, span and variance integrated by simple sampling give the same EC50."""
    rng = np.random.default_rng(5)
    log_dose = np.concatenate([[-math.inf] * 2, [-1.0, 0.0, 1.0]])
    n, mean, scatter, freedom = np.full(5, 3.0), np.array([0.1, -0.1, 0.3, 1.1, 1.9]), 0.4, 10.0
    grid = Grid(np.array([-1.0, 0.0, 1.0]), step=0.25)
    ratio = np.zeros(8)
    ratio[0] = 1
    ours = Belief(grid, Points(log_dose, n, mean, np.ones(5), scatter, freedom), ratio)
    # right-Haar for bottom and SD by importance sampling around the controls' level
    draws = 4000
    variance = (scatter + 0.5) / rng.chisquare(freedom, draws)
    g = rng.choice([4.0, 40.0, 400.0, 4000.0], draws)
    bottom = rng.uniform(-2, 2, draws)
    span = rng.normal(0, np.sqrt(g * variance))
    weights = np.zeros(len(grid.axis))
    share = grid.share_at(log_dose)
    log_v = np.log(variance)
    # target over proposal for the variance: scatter in place of scatter + 0.5
    log_w = 0.5 * 0.5 / variance
    for j in range(len(grid.log_ec50)):
        fitted = bottom[:, None] + span[:, None] * share[:, j]
        log_like = -0.5 * (n * (mean - fitted) ** 2).sum(axis=1) / variance - 2.5 * log_v
        weights[j // 7] += np.exp(grid.log_prior[j] + log_like + log_w).mean()
    weights /= weights.sum()
    expected = float((weights * grid.axis).sum())
    spread = math.sqrt(float((weights * (grid.axis - expected) ** 2).sum()))
    assert ours.mean == pytest.approx(expected, abs=0.15)
    assert ours.sd == pytest.approx(spread, rel=0.25)


def test_covariance_matrix_agrees_with_the_single_moments() -> None:
    one = belief()
    doses = np.append(np.log10(DOSES), -math.inf)
    level, matrix = one.with_doses(one.grid.share_at(doses))
    mean, sd, cross = one.level(doses)
    assert level == pytest.approx(mean)
    assert np.sqrt(np.diag(matrix)[1:]) == pytest.approx(sd)
    assert matrix[0, 1:] == pytest.approx(cross)
    assert math.sqrt(matrix[0, 0]) == pytest.approx(one.sd)
    assert np.array_equal(matrix, matrix.T)


def test_more_fields_narrow_it() -> None:
    few, many = belief(noise=0.3, n=4), belief(noise=0.3, n=64)
    assert many.sd < few.sd / 1.5
    assert many.quantile(0.025) < math.log10(0.3) < many.quantile(0.975)


def test_a_plateau_that_is_known_narrows_an_ec50_near_the_highest_dose() -> None:
    setup = dataclasses.replace(plate(["a"]), plateau=())
    data = values(setup, {"a": (4.0, 12.0, 1.0)}, 1)
    without = say(setup, data, 4)["a"]
    rows = (*setup.properties, *({"compound": "reference", "dose": None} for _ in range(4)))
    wells = (*setup.wells, "H1", "H2", "H3", "H4")
    more = dataclasses.replace(
        setup, wells=wells, fields=(6,) * len(wells), properties=rows, plateau=("H1", "H2", "H3", "H4")
    )
    reference = np.random.default_rng(8).normal(5.0, 0.3, (4, 6))
    known = say(more, np.concatenate([data, reference]), 4)["a"]
    assert known["log10_ec50"]["sd"] < 0.8 * without["log10_ec50"]["sd"]


# -- the question ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "finding", "words"),
    [
        pytest.param((4.0, 0.5, 1.2), "estimated", "the EC50 is 0.", id="inside the doses"),
        pytest.param((-0.9, 0.5, 1.2), "estimated", "the EC50 is 0.", id="an effect downwards"),
        pytest.param((0.0, 1.0, 1.0), "no effect", "no EC50", id="no effect"),
        pytest.param((60.0, 600.0, 1.4), "above", "3", id="above the doses"),
        pytest.param((4.0, 0.0003, 1.0), "below", "0.0", id="below the doses"),
    ],
)
def test_says_what_it_can(curve: tuple[float, float, float], finding: str, words: str) -> None:
    setup = plate(["a"])
    said = say(setup, values(setup, {"a": curve}, 11), 6)["a"]
    assert finding in said["finding"]
    assert words in said["said"]
    ec50 = said["ec50"]
    if finding == "estimated":
        assert ec50["low"] < ec50["mean"] < ec50["high"]
        assert ec50["low"] < curve[1] < ec50["high"]
        assert said["effect_at_highest_dose"]["mean"] * curve[0] > 0
    elif finding == "no effect":
        assert ec50 == {"mean": None, "low": None, "high": None}
    elif finding == "above":
        assert ec50["mean"] is None
        assert ec50["high"] is None
        assert ec50["low"] <= curve[1]
    else:
        assert ec50["mean"] is None
        assert ec50["low"] is None
        assert ec50["high"] >= curve[1]


def test_two_compounds_are_told_apart() -> None:
    setup = plate()
    said = say(setup, values(setup, {"a": (4.0, 0.1, 1.0), "b": (4.0, 3.0, 1.0)}, 12), 4)
    assert said["a"]["ec50"]["high"] < said["b"]["ec50"]["low"]
    assert [point["well"] for point in said["a"]["points"]] == list(setup.wells[6:22])


def test_the_well_is_the_unit() -> None:
    """Wells differ much: four times the fields of the same wells do not narrow the band to half."""
    setup = plate(["a"], fields=24)
    data = values(setup, {"a": (4.0, 0.5, 1.0)}, 13, well_sd=0.6)
    few, many = (say(setup, data, n)["a"]["log10_ec50"]["sd"] for n in (6, 24))
    assert many > 0.75 * few


def test_too_little_is_said_to_be_too_little() -> None:
    setup = plate()
    answer = DoseResponseQuestion(DoseResponseQuestion.Params(readout=READOUT, by="compound"), setup).answer(
        fields_of(setup, values(setup, {}, 1), 1)[:7]
    )
    found: Any = answer.summary["compounds"]
    assert {one["finding"] for one in found.values()} == {"too little data"}


@pytest.mark.parametrize(
    ("changes", "params", "error"),
    [
        pytest.param({}, {"along": "dosis"}, r"question\.along.*no column 'dosis'.*dose", id="no such column"),
        pytest.param({}, {"by": "treatment"}, r"question\.by.*no column 'treatment'", id="no such group"),
        pytest.param({}, {"along": "compound"}, r"holds 'vehicle' in well A1", id="a dose in words"),
        pytest.param({"controls": ("A1",), "plateau": ("A1",)}, {}, r"A1.*control.*full effect", id="both"),
    ],
)
def test_refuses_what_is_no_layout(changes: dict[str, Any], params: dict[str, Any], error: str) -> None:
    asked = DoseResponseQuestion.Params.model_validate({"readout": READOUT, "by": "compound"} | params)
    with pytest.raises(ProtocolError, match=error):
        DoseResponseQuestion(asked, dataclasses.replace(plate(), **changes))


def test_coverage_on_even_data() -> None:
    """Forty compounds, three fields of every well; binomial 99 % below 95 % of 80 is 69."""
    setup = plate()
    held = 0
    for seed in range(40):
        rng = np.random.default_rng([72, seed])
        curves = {c: (2.0, float(10 ** rng.uniform(-1.3, 0.9)), float(10 ** rng.normal(0, 0.15))) for c in "ab"}
        said = say(setup, values(setup, curves, 500 + seed), 3)
        for name, (_, ec50, _) in curves.items():
            low, high = said[name]["ec50"]["low"], said[name]["ec50"]["high"]
            held += (low is None or low <= ec50) and (high is None or ec50 <= high)
    assert held >= 69


# -- the policy -----------------------------------------------------------------------------------------------------


def tell(policy: DoseResponse, setup: Setup, data: NDArray[np.float64], counts: Mapping[str, int]) -> None:
    for well, n in counts.items():
        i = setup.wells.index(well)
        if n:
            policy.tell(*told(well, {str(f): float(data[i, f]) for f in range(n)}))


@pytest.fixture(name="known")
def _known() -> tuple[DoseResponse, Setup, dict[str, int]]:
    """Three fields of every well of a compound whose EC50 is 0.5, and of one without effect; all of controls."""
    setup = plate()
    policy = DoseResponse(DoseResponse.Params(precision=0.02), setup)
    counts = {well: 6 if i < 6 else 3 for i, well in enumerate(setup.wells)}
    tell(policy, setup, values(setup, {"a": (4.0, 0.5, 1.0)}, 21), counts)
    return policy, setup, counts


def test_controls_and_spread_doses_come_first() -> None:
    setup = plate()
    asked = proposals(DoseResponse(DoseResponse.Params(), setup).ask(30, ask_context(setup)))
    assert [p.well for p in asked[:6]] == list(setup.wells[:6])
    assert [p.why.rule for p in asked[:14]] == ["controls first"] * 6 + ["first look"] * 8
    doses = {p.why.numbers["dose"] for p in asked[6:14]}
    assert doses == {0.01, 0.1, 1.0, 30.0} or doses == {0.01, 0.1, 3.0, 30.0}


def test_goes_where_the_curve_says_most_and_gives_its_reason(
    known: tuple[DoseResponse, Setup, dict[str, int]],
) -> None:
    policy, setup, counts = known
    asked = proposals(policy.ask(8, ask_context(setup, counts)))
    assert {p.why.rule for p in asked} == {"narrows the EC50 most"}
    about_a = [p for p in asked if "EC50 of a " in p.why.text]
    assert len(about_a) >= 6  # the other compound has no effect: nothing to be learnt there
    first = about_a[0]
    assert first.why.numbers["sd_after"] < first.why.numbers["sd"]
    assert 0.03 <= first.why.numbers["dose"] <= 10
    assert first.why.instead is not None


def test_replicate_wells_come_before_more_fields_of_one() -> None:
    """Wells that differ: of the two wells of a dose the one without a field is chosen."""
    setup = plate(["a"])
    policy = DoseResponse(DoseResponse.Params(precision=0.02), setup)
    counts = {well: (3 if i < 6 or i % 2 == 0 else 0) for i, well in enumerate(setup.wells)}
    tell(policy, setup, values(setup, {"a": (4.0, 0.5, 1.0)}, 22, well_sd=0.3), counts)
    asked = proposals(policy.ask(4, ask_context(setup, counts)))
    dosed = [p for p in asked if "dose" in p.why.numbers]
    assert dosed
    assert all(counts[p.well] == 0 for p in dosed[:2])


def test_counts_what_is_under_way(known: tuple[DoseResponse, Setup, dict[str, int]]) -> None:
    policy, setup, counts = known
    first = proposals(policy.ask(1, ask_context(setup, counts)))[0]
    waiting = [Pending(visit=v, well=first.well, fields=1) for v in (90, 91, 92)]
    later = dict(counts) | {first.well: 6}
    then = proposals(policy.ask(1, ask_context(setup, later, waiting)))[0]
    assert then.well != first.well
    assert then.why.numbers["sd"] < first.why.numbers["sd"]


def test_a_batch_is_no_repetition(known: tuple[DoseResponse, Setup, dict[str, int]]) -> None:
    policy, setup, counts = known
    asked = proposals(policy.ask(8, ask_context(setup, counts)))
    assert asked[0].score > asked[-1].score
    assert len({p.well for p in asked}) > 3


def test_stops_when_every_ec50_is_known() -> None:
    setup = plate()
    policy = DoseResponse(DoseResponse.Params(precision=0.4), setup)
    data = values(setup, {"a": (6.0, 0.5, 1.0), "b": (6.0, 0.2, 1.0)}, 23)
    tell(policy, setup, data, dict.fromkeys(setup.wells, 3))
    said = policy.ask(4, ask_context(setup, dict.fromkeys(setup.wells, 3)))
    assert said == Stop(reason="every log10 EC50 is known to ± 0.4 (standard deviation)")


def test_stops_when_no_field_is_left() -> None:
    setup = plate()
    policy = DoseResponse(DoseResponse.Params(), setup)
    tell(policy, setup, values(setup, {}, 24), dict.fromkeys(setup.wells, 6))
    said = policy.ask(4, ask_context(setup, dict.fromkeys(setup.wells, 6)))
    assert isinstance(said, Stop)
    assert "every field was imaged" in said.reason


@pytest.mark.parametrize("missing", ["readout", "along"])
def test_needs_a_readout_and_doses(missing: str) -> None:
    with pytest.raises(ProtocolError, match=missing):
        DoseResponse(DoseResponse.Params(), dataclasses.replace(plate(), **{missing: None}))


@settings(max_examples=12, deadline=None)
@given(st.permutations(range(22)))
def test_order_of_tells_does_not_matter(order: list[int]) -> None:
    setup = plate(["a"])
    data = values(setup, {"a": (4.0, 0.5, 1.0)}, 25)
    answers = []
    for sequence in (range(22), order):
        policy = DoseResponse(DoseResponse.Params(), setup)
        for i in sequence:
            tell(policy, setup, data, {setup.wells[i]: 1 + i % 3})
        used = {well: 1 + i % 3 for i, well in enumerate(setup.wells)}
        answers.append((policy.ask(6, ask_context(setup, used)), policy.report()))
    assert answers[0] == answers[1]


def sd_of_ec50(setup: Setup, fields: Mapping[str, float], ec50: float) -> float:
    """Return how well these fields can tell log10 EC50 of the true curve: no noise that was drawn, so no luck.

    The bound of Cramér and Rao for bottom, span, EC50 and slope, with the spreads of `values`.
    """
    doses = np.array([float(str(row["dose"])) for row in setup.properties])
    n = np.array([fields[well] for well in setup.wells])
    share = doses / (doses + ec50)
    bend = 1.2 * share * (1 - share)
    logs = np.log(np.where(doses > 0, doses, ec50) / ec50)
    slopes = np.column_stack([np.ones_like(doses), share, -bend * np.log(10), bend * logs])
    weights = n / (0.1**2 * n + 0.3**2)
    return float(np.sqrt(np.linalg.inv((slopes.T * weights) @ slopes)[2, 2]))


def shown(setup: Setup, data: NDArray[np.float64]) -> Look:
    """What a look at a field shows: its readout."""

    def look(visit: Visit) -> list[FieldResult]:
        row = data[setup.wells.index(visit.well)]
        return [FieldResult(field=f.field, status="ok", readouts={READOUT: row[int(f.field)]}) for f in visit.fields]

    return look


def test_uses_fewer_images_than_an_even_grid() -> None:
    """To tell the EC50 as well, the same fields of every well are 1.8 times as many (1.5 to 2.1, twelve plates)."""
    times = []
    for seed in range(12):
        setup = dataclasses.replace(plate(["a"], replicates=1, fields=40), limits=Limits(frames=80))
        ec50 = 10 ** (0.3 * (seed % 3) - 0.5)
        data = values(setup, {"a": (1.2, ec50, 1.0)}, 300 + seed)
        done = play(DoseResponse(DoseResponse.Params(precision=1e-3), setup), setup, shown(setup, data), lag=0)
        taken = Counter(field.well for field in done.accepted())
        reached = sd_of_ec50(setup, dict.fromkeys(setup.wells, 0) | taken, ec50)
        sds = {each: sd_of_ec50(setup, dict.fromkeys(setup.wells, each), ec50) for each in np.arange(1, 100, 0.05)}
        each = min(each for each, sd in sds.items() if sd <= reached)
        times.append(each * len(setup.wells) / taken.total())
    assert np.exp(np.log(times).mean()) > 1.4  # more than three standard errors below what was measured
