"""Plates of numbers: the curve and the noise of the sample come out again, whatever order fields are asked for in."""

from __future__ import annotations

import numpy as np
import pytest

from phenoloop.microscope.virtual.phenotype import BASELINES, Phenotype
from phenoloop.microscope.virtual.phenotype import Response as HillCurve
from phenoloop.model import FieldPlace, Measured, MeasurementFailed, Plan, Setup, WellPlan
from phenoloop.studies.baselines import depths_of, grid, narrowed
from phenoloop.studies.response import DrawnPlate, Response, Sampled
from phenoloop.studies.truth import true_ec50, true_hits

FOLLOWS = [name == "vesicles" for name in BASELINES]
DOSES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
PHENOTYPE = Phenotype(vesicles=HillCurve(along="dose", emax=6, ec50=1.0, hill=1.2))


def row_of(vesicles: float) -> tuple[float, ...]:
    return tuple({**BASELINES, "vesicles": vesicles}.values())


def measured(signal: float | None, status: str = "ok") -> Measured:
    return Measured(at_s=0.0, visit=0, field="0", status=status, readouts={"signal": signal}, objects=50)


def sample(seed: int = 7, *, rejected: float = 0.0, sd: float = 0.5) -> Response:
    """160 fields; the readout is twice the level of vesicles, and the other levels do nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for level in rng.uniform(1, 7, 160).tolist():
        status = "qc_fail" if rng.random() < rejected else "ok"
        found.append(Sampled(result=measured(2 * level + sd * rng.normal(), status), levels=row_of(level)))
    return Response(found, ["signal"], FOLLOWS)


def plan_of(seed: int = 1, fields: int = 30) -> Plan:
    wells = tuple(
        WellPlan(
            name=f"A{i + 1}",
            row=0,
            column=i,
            x_um=9000.0 * i,
            y_um=0.0,
            fields=tuple(FieldPlace(name=str(f), x_um=9000.0 * i + f, y_um=0.0) for f in range(fields)),
            choice=tuple(reversed(range(fields))),
            properties={"dose": dose},
        )
        for i, dose in enumerate(DOSES)
    )
    return Plan(name="p", seed=seed, plate_rows=8, plate_columns=12, wells=wells, profiles={})


def setup_of(plan: Plan, **more: object) -> Setup:
    wells = tuple(well.name for well in plan.wells)
    properties = tuple(well.properties for well in plan.wells)
    fields = tuple(len(well.fields) for well in plan.wells)
    return Setup(wells=wells, fields=fields, properties=properties, controls=("A1",), readout="signal", **more)  # type: ignore[arg-type]


def levels_of(plan: Plan) -> dict[str, dict[str, float]]:
    vesicles = {well.name: 1 + 6 * _share(float(well.properties["dose"] or 0)) for well in plan.wells}
    usual = {name: dict.fromkeys(vesicles, level) for name, level in BASELINES.items()}
    return {**usual, "vesicles": vesicles}


def _share(dose: float) -> float:
    return dose**1.2 / (1 + dose**1.2)


def test_the_curve_comes_out_again() -> None:
    at = np.array([row_of(level) for level in (1.5, 3.0, 5.0, 6.5)])
    assert sample().readout(at, "signal") == pytest.approx(2 * at[:, 0], abs=0.25)


@pytest.mark.parametrize("rejected", [pytest.param(0.0, id="none rejected"), pytest.param(0.3, id="30 % rejected")])
def test_noise_and_rejections_come_out_again(rejected: float) -> None:
    plan = plan_of(fields=200)
    plate = DrawnPlate(sample(rejected=rejected), levels_of(plan), plan)
    fields = [plate.measured("A5", place.name) for place in plan.wells[4].fields]
    assert all(isinstance(field, Measured) for field in fields)
    values = [float(field.readouts["signal"] or 0) for field in fields if isinstance(field, Measured)]
    assert np.mean(values) == pytest.approx(8.0, abs=0.3)
    assert 0.3 < np.std(values) < 0.7
    share = np.mean([isinstance(field, Measured) and field.status == "qc_fail" for field in fields])
    assert share == pytest.approx(rejected, abs=0.2)
    assert (share > 0) == (rejected > 0)


def test_a_field_is_the_same_in_any_order_and_in_a_smaller_grid() -> None:
    plan = plan_of()
    one, other = (DrawnPlate(sample(), levels_of(plan), plan) for _ in range(2))
    names = [(well.name, place.name) for well in plan.wells for place in well.fields]
    first = {name: one.measured(*name) for name in names}
    assert first == {name: other.measured(*name) for name in reversed(names)}
    smaller, _ = grid(plan, setup_of(plan), 2)
    part = DrawnPlate(sample(), levels_of(plan), smaller)
    shared = [(well.name, place.name) for well in smaller.wells for place in well.fields]
    assert {name: part.measured(*name) for name in shared} == {name: first[name] for name in shared}
    another = DrawnPlate(sample(), levels_of(plan), plan_of(seed=2))
    assert first["A3", "0"] != another.measured("A3", "0")


def test_a_sample_that_failed_is_refused() -> None:
    failed = Sampled(result=MeasurementFailed(at_s=0.0, visit=0, field="0", reason="dark"), levels=(1.0,))
    with pytest.raises(ValueError, match="none of the sampled fields"):
        Response([failed], ["signal"], [True])


@pytest.mark.parametrize(
    ("smallest", "change", "hits"),
    [
        pytest.param(0.0, "up", "A2 A3 A4 A5 A6 A7 A8", id="any effect"),
        pytest.param(3.0, "up", "A5 A6 A7 A8", id="a large effect, in units of the readout"),
        pytest.param(3.0, "down", "", id="the other direction"),
        pytest.param(3.0, "both", "A5 A6 A7 A8", id="both directions"),
    ],
)
def test_true_hits(smallest: float, change: str, hits: str) -> None:
    plan = plan_of()
    setup = setup_of(plan, smallest=smallest, change=change)
    assert true_hits(setup, levels_of(plan), sample(sd=0.0)) == frozenset(hits.split())


def test_the_true_ec50_is_that_of_the_phenotype() -> None:
    plan = plan_of()
    found, half = true_ec50(setup_of(plan, along="dose"), plan, PHENOTYPE, sample(sd=0.0))
    assert found == {"all": pytest.approx(0.0, abs=0.02)}
    assert half == {"all": pytest.approx(1.5)}


def test_a_grid_takes_the_first_fields_of_each_well() -> None:
    plan = plan_of(fields=5)
    assert depths_of(plan) == [1, 2, 3, 4, 5]
    smaller, setup = grid(plan, setup_of(plan), 2)
    assert [place.name for place in smaller.wells[0].fields] == ["3", "4"]
    assert setup.field_names[0] == ("4", "3")
    assert setup.fields == (2,) * len(DOSES)


def test_wells_without_a_field_are_left_out() -> None:
    plan = plan_of(fields=5)
    smaller, setup = narrowed(plan, setup_of(plan), {"A2": ["1"], "A3": ["0", "4"]})
    assert [well.name for well in smaller.wells] == ["A2", "A3"]
    assert setup.controls == ()
    assert setup.properties == ({"dose": 0.03}, {"dose": 0.1})
    assert [smaller.wells[1].fields[i].name for i in smaller.wells[1].choice] == ["4", "0"]
