"""Evidence: equal to its definition by brute integration, and an e-value whenever one looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from phenoloop.numerics import evidence
from phenoloop.numerics.claims import CHANGES
from phenoloop.numerics.evidence import Null, expected_controls
from phenoloop.numerics.reach import reach_of
from phenoloop.numerics.well_sums import WellSums, summarise

Array = NDArray[np.float64]


def log_likelihood(fields: list[list[float]], effect: Array, scale: Array, ratio: float, noise: float) -> Array:
    """Normal likelihood of all fields, the centre integrated out under a flat prior; `effect` is in field SDs.

    Straight from the covariance matrix of single fields; the last well is the one with the effect, and with fields
    `noise` times as noisy.
    """
    y = np.array([x for well in fields for x in well])
    blocks = np.repeat(np.arange(len(fields)), [len(well) for well in fields])
    is_last = (blocks == len(fields) - 1).astype(float)
    covariance = np.diag(np.where(is_last, noise**2, 1.0)) + ratio * (blocks[:, None] == blocks)
    inverse = np.linalg.inv(covariance)
    ones = np.ones(len(y))
    information = ones @ inverse @ ones
    residual = y - effect[..., None] * scale[..., None] * is_last
    centred = residual - (residual @ inverse @ ones / information)[..., None]
    quadratic = np.einsum("...i,ij,...j->...", centred, inverse, centred) / scale**2
    constant = -0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * math.log(information)
    likelihood: Array = constant - (len(y) - 1) * np.log(scale) - 0.5 * quadratic
    return likelihood


def brute_force(controls: list[list[float]], well: list[float], sign: int, noise: float) -> float:
    """Log e-value by quadrature over field SD (prior 1/SD) and effect, without any closed form."""
    fields = [*controls, well]
    log_scale = np.linspace(-3.5, 3.5, 241)
    scale = np.exp(log_scale)
    step = log_scale[1] - log_scale[0]

    def integral(values: Array) -> float:
        # d(scale)/scale is d(log scale), so the right-Haar prior is flat on this grid.
        top = float(values.max())
        return top + math.log(float(np.exp(values - top).sum()) * step)

    null = max(
        integral(log_likelihood(fields, np.zeros_like(scale), scale, float(ratio), noise)) for ratio in evidence._RATIOS
    )
    found = []
    for j, log_weight in zip(evidence._MIXED, evidence._LOG_RATIO_WEIGHTS, strict=True):
        ratio = float(evidence._RATIOS[j])
        for g, log_part in zip(evidence._EFFECTS, evidence._LOG_EFFECT_WEIGHTS, strict=True):
            sd = math.sqrt(g * (ratio + 1 / evidence._TYPICAL_FIELDS))
            # Midpoints that are dense near zero, where a wide prior meets a narrow likelihood.
            edges = 5 * np.linspace(0 if sign else -1, 1, 321) ** 3
            unit, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
            density = (2 if sign else 1) * np.exp(-0.5 * unit**2) / math.sqrt(2 * math.pi) * width
            effect = (sign or 1) * sd * unit
            likelihood = log_likelihood(fields, effect[:, None], scale[None, :], ratio, noise)
            found.append(log_weight + log_part + integral(likelihood + np.log(density)[:, None]))
    return float(np.logaddexp.reduce(found)) - null


@pytest.mark.parametrize(
    ("well", "change", "noise"),
    [
        pytest.param([1.6, 2.9], "up", 1.0, id="a response, up"),
        pytest.param([0.1, -0.4], "up", 1.0, id="no response, up"),
        pytest.param([-2.5, -1.2], "down", 1.0, id="a response, down"),
        pytest.param([2.2], "both", 1.0, id="one field, both directions"),
        pytest.param([2.4, 3.9], "up", 1.6, id="a response, up, of a noisier well"),
    ],
)
def test_closed_form_equals_quadrature(
    well: list[float], change: str, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A few ratios are enough to see every term of the formula, and keep the quadrature small.
    monkeypatch.setattr(evidence, "_RATIOS", np.array([0.0, 0.05, 0.3, 1.0, 4.0]))
    monkeypatch.setattr(evidence, "_MIXED", np.array([1, 3]))
    monkeypatch.setattr(evidence, "_LOG_RATIO_WEIGHTS", np.log([0.4, 0.6]))
    controls = [[0.3, -0.2, 0.9], [-0.7, 0.1], [0.2, 0.6], [-0.1, -1.1, -0.3]]
    closed = Null(summarise(controls)).with_noise(noise).log_evidence(summarise([well]), change)[0]
    assert closed == pytest.approx(brute_force(controls, well, CHANGES[change], noise), abs=0.02)


def _plate(rng: np.random.Generator, well_sd: float, controls: int, wells: int, fields: int) -> Array:
    x: Array = rng.normal(0, well_sd, (controls + wells, 1)) + rng.normal(0, 1, (controls + wells, fields))
    return x


def _seen(x: Array, n: NDArray[np.intp]) -> WellSums:
    return summarise([row[:count].tolist() for row, count in zip(x, n, strict=True)])


@pytest.mark.parametrize(
    ("controls", "well_sd", "change"),
    [
        pytest.param(6, 0.3, "up", id="few controls"),
        pytest.param(10, 0.0, "up", id="wells alike"),
        pytest.param(10, 0.3, "both", id="both directions"),
        pytest.param(10, 1.0, "down", id="wells as different as fields"),
        pytest.param(10, 5.0, "up", id="wells far more different than fields"),
    ],
)
def test_is_an_e_value_when_looked_at_all_along(controls: int, well_sd: float, change: str) -> None:
    """Fields go where evidence is greatest, controls come in at random: the mean stays below 1, the maximum rare."""
    rng = np.random.default_rng(5)
    wells, fields, plates = 20, 5, 40
    final, highest = [], []
    for _ in range(plates):
        x = _plate(rng, well_sd, controls, wells, fields)
        n = np.array([2] * controls + [1] * wells)
        top = np.full(wells, -math.inf)
        while True:
            sums = _seen(x, n)
            log_e = Null(sums.at(range(controls))).log_evidence(sums.at(range(controls, len(n))), change)
            top = np.maximum(top, log_e)
            open_ = np.flatnonzero(n[controls:] < fields)
            if not len(open_):
                break
            n[controls + open_[np.argsort(-log_e[open_])[:5]]] += 1
            n[:controls] = np.minimum(n[:controls] + rng.integers(0, 2, controls), fields)
        final.append(log_e)
        highest.append(top)
    e = np.exp(np.concatenate(final))
    assert e.mean() < 1
    # Ville: the chance of ever reaching 20 is at most 1/20.
    assert (np.concatenate(highest) >= math.log(20)).mean() <= 0.05


def test_finds_what_is_there() -> None:
    """An effect of four field SDs in ten controls and six fields has ample evidence in most plates."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(60):
        x = _plate(rng, 0.3, 10, 1, 6)
        x[-1] += 4
        sums = summarise(x.tolist())
        found.append(Null(sums.at(range(10))).log_evidence(sums.at([10]), "up")[0] > math.log(100))
    assert np.mean(found) > 0.8


def test_does_not_depend_on_origin_or_unit() -> None:
    rng = np.random.default_rng(7)
    x = _plate(rng, 0.3, 8, 3, 4)
    x[8] += 3

    def log_e(values: Array) -> Array:
        sums = summarise(values.tolist())
        return Null(sums.at(range(8))).log_evidence(sums.at([8, 9, 10]), "up")

    assert log_e(1e4 + 37 * x) == pytest.approx(log_e(x), rel=1e-6)


def test_order_of_fields_and_wells_does_not_matter_to_the_last_bit() -> None:
    x = _plate(np.random.default_rng(8), 0.3, 8, 3, 9)
    forward, backward = summarise(x.tolist()), summarise(x[:, ::-1].tolist())
    assert forward.mean.tolist() == backward.mean.tolist()
    assert forward.scatter.tolist() == backward.scatter.tolist()


def test_more_control_wells_and_more_fields_need_less_effect() -> None:
    def needed(controls: int, fields: int) -> float:
        null = Null(expected_controls([fields] * controls, 0.09))
        return float(reach_of(null, np.array([float(fields)]), "up").needed(math.log(100))[0])

    assert needed(6, 4) > needed(10, 4) > needed(10, 9) > needed(20, 9) > 1


def test_reach_says_what_the_evidence_then_is() -> None:
    null = Null(expected_controls([6] * 10, 0.09))
    distance = reach_of(null, np.array([6.0]), "up").needed(math.log(60))[0]
    well = WellSums(np.array([6.0]), np.array([null.centre + distance]), np.array([5 * null.field_sd**2]))
    assert null.log_evidence(well, "up")[0] == pytest.approx(math.log(60), abs=0.1)


@pytest.mark.parametrize(
    "controls",
    [
        pytest.param([], id="none"),
        pytest.param([[1.0, 2.0]], id="one well"),
        pytest.param([[3.0, 3.0], [3.0], [3.0, 3.0]], id="no variation at all"),
    ],
)
def test_a_null_that_cannot_be_known_gives_no_evidence(controls: list[list[float]]) -> None:
    null = Null(summarise(controls))
    assert not null.usable
    assert null.log_evidence(summarise([[50.0, 60.0]]), "up").tolist() == [0.0]
    assert reach_of(null, np.array([2.0]), "up").needed(3.0).tolist() == [math.inf]


def test_spread_is_estimated() -> None:
    rng = np.random.default_rng(9)
    nulls = [Null(summarise((5 + _plate(rng, 0.5, 12, 0, 8)).tolist())) for _ in range(60)]
    assert np.median([null.field_sd for null in nulls]) == pytest.approx(1, abs=0.05)
    assert np.median([null.well_sd for null in nulls]) == pytest.approx(0.5, abs=0.1)
    assert np.median([null.centre for null in nulls]) == pytest.approx(5, abs=0.1)
    assert np.mean([null.well_sd_high >= 0.5 for null in nulls]) > 0.85
