"""What a protocol becomes: the plan, the shipped protocols, the schema, hashes and the forecast."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phenoloop import protocol
from phenoloop.api.resolved import Resolved
from phenoloop.errors import ProtocolError
from phenoloop.plugins import Registry
from phenoloop.protocol import Loaded, forecast, load, load_text, plan_hash

SHIPPED = protocol.shared_folder("protocols")

MAP = "well,treatment,dose,ms\nA1,vehicle,0,80\nA2,agonist,1,\nB01,agonist,10,40.5\nB2,empty,,\n"

TEXT = """protocol: 1
name: small
seed: 3
microscope: demo
simulation: {kind: synthetic, phenotype: {vesicles: {along: dose, emax: 3}}, analysis_latency: 300 ms}
plate:
  format: 96-well
  where: treatment != 'empty'
  map: map.csv
  fields: {kind: grid, rows: 2, columns: 2}
imaging:
  objective: 20x
  channels:
    - {name: DNA, config: DAPI, exposure: 20}
    - {name: GFP, config: FITC, exposure: {column: ms, otherwise: 0.1 s}}
analysis:
  segment: {kind: threshold, channel: DNA}
  spots: {name: spots, channel: GFP, diameter: 5 px}
  readouts: {spots: mean(spots.count), cells: count()}
  quality: {max_saturated: 2 %, focus: auto}
  workers: 1
question: {kind: hits, readout: spots, controls: treatment == 'vehicle', change: both, smallest: 0.5, false_hits: 10 %}
policy: {kind: hits, fields_per_visit: 2, wells_per_batch: 3}
limits: {frames: 12, duration: 1 h, disk: 1 GB, light_per_field: 1 s}
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(discover=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "map.csv").write_text(MAP, encoding="utf-8")
    return tmp_path


def loaded(text: str, folder: Path, registry: Registry) -> Loaded:
    return load_text(text, registry, base=folder)


def test_plan_of_a_protocol(folder: Path, registry: Registry) -> None:
    plan = loaded(TEXT, folder, registry).plan
    assert [well.name for well in plan.wells] == ["A1", "A2", "B1"]
    assert [well.properties["dose"] for well in plan.wells] == [0, 1, 10]
    assert (plan.plate_rows, plan.plate_columns) == (8, 12)
    assert (plan.batch, plan.in_flight) == (3, 4)
    assert plan.readouts == ("spots", "cells")
    assert plan.virtual_clock
    assert (plan.analysis_latency_s, plan.deadline_s) == (0.3, 10.0)
    assert plan.frame_bytes == 512 * 512 * 2
    assert not plan.once
    limits = plan.limits
    assert (limits.frames, limits.duration_s, limits.disk_bytes, limits.light_per_field_s) == (12, 3600, 10**9, 1)
    gfp = plan.profiles["main"].channels[1]
    assert [gfp.exposure_in(well.name) for well in plan.wells] == [80.0, 100.0, 40.5]
    first = plan.wells[0]
    assert [(place.x_um, place.y_um) for place in first.fields] == [(-128, 128), (128, 128), (128, -128), (-128, -128)]
    assert all(place.z_um is None for well in plan.wells for place in well.fields)
    assert sorted(first.choice) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("policy", "more", "room"),
    [
        pytest.param("{kind: hits}", "", 8 + 2, id="hits hears most of a batch before it chooses the next"),
        pytest.param("{kind: hits, wells_per_batch: 3}", "", 3 + 1, id="a quarter of a batch is a visit at least"),
        pytest.param("{kind: hits}", "autonomy: confirm\n", 8 + 8, id="a person answers while a batch is imaged"),
        pytest.param("{kind: hits}", "autonomy: veto\n", 8 + 8, id="or objects"),
        pytest.param("{kind: hits, in_flight: 16}", "", 16, id="as the protocol says"),
        pytest.param("{kind: sweep}", "", 8 + 8, id="a sweep has nothing to wait for"),
    ],
)
def test_visits_under_way_suit_the_policy(folder: Path, registry: Registry, policy: str, more: str, room: int) -> None:
    text = TEXT.replace("{kind: hits, fields_per_visit: 2, wells_per_batch: 3}", policy) + more
    assert loaded(text, folder, registry).plan.in_flight == room


def test_setup_and_analysis_of_a_protocol(folder: Path, registry: Registry) -> None:
    found = loaded(TEXT, folder, registry)
    setup = found.setup
    assert (setup.wells, setup.fields, setup.controls) == (("A1", "A2", "B1"), (4, 4, 4), ("A1",))
    assert (setup.readout, setup.change, setup.smallest, setup.level) == ("spots", "both", 0.5, 0.1)
    assert (setup.fields_per_visit, setup.batch, setup.frames_per_field, setup.seed) == (2, 3, 2, 3)
    assert found.analysis.spots[0].diameter_px == 5.0
    assert found.analysis.quality.min_focus is not None
    assert found.analysis.quality.min_objects is None
    assert found.analysis.segment is not None
    assert found.analysis.segment.name == "objects"
    assert found.analysis.bit_depth == 16


def test_a_fallback_goes_on_in_the_same_steps(folder: Path, registry: Registry) -> None:
    found = loaded(TEXT, folder, registry)
    assert found.fallback_kind == "sweep"
    assert (found.fallback_parameters["fields_per_visit"], found.fallback_parameters["wells_per_batch"]) == (2, 3)
    own = loaded(TEXT + "fallback: {kind: sweep, fields_per_visit: 1}\n", folder, registry)
    assert (own.fallback_parameters["fields_per_visit"], own.fallback_parameters["wells_per_batch"]) == (1, 3)


def test_objects_are_built_from_what_was_resolved(folder: Path, registry: Registry) -> None:
    found = loaded(TEXT, folder, registry)
    resolved = Resolved.of(found, "")
    assert type(resolved.policy.build(found.setup)).__name__ == "Hits"
    assert type(resolved.fallback.build(found.setup)).__name__ == "Sweep"
    assert type(resolved.build_question()).__name__ == "HitsQuestion"
    without = loaded(
        TEXT.replace("question:", "# question:").replace("kind: hits, fields", "kind: sweep, fields"), folder, registry
    )
    assert Resolved.of(without, "").build_question() is None
    assert without.setup.readout is None


@pytest.mark.parametrize(
    ("old", "new", "wells"),
    [
        pytest.param("  where: treatment != 'empty'\n", "", ["A1", "A2", "B1", "B2"], id="wells of the map"),
        pytest.param("  where: treat", "  wells: [b1, A1:A2, A1]\n  where: treat", ["A1", "A2", "B1"], id="any order"),
        pytest.param("!= 'empty'", "== 'agonist' and dose > 1", ["B1"], id="where"),
        pytest.param("!= 'empty'", "!= 'x' and dose >= 0", ["A1", "A2", "B1"], id="an empty cell is unknown"),
    ],
)
def test_selection_of_wells(old: str, new: str, wells: list[str], folder: Path, registry: Registry) -> None:
    text = TEXT.replace(old, new).replace("treatment == 'vehicle'", "dose >= 0")
    assert list(loaded(text, folder, registry).setup.wells) == wells


def test_without_a_map_all_wells_of_the_plate_are_used(folder: Path, registry: Registry) -> None:
    text = "protocol: 1\nname: all\nmicroscope: demo\nplate: {format: 24-well}\npolicy: {kind: sweep}\n"
    text += "imaging: {channels: [{name: DNA, config: DAPI, exposure: 5}]}\n"
    found = loaded(text, folder, registry)
    assert len(found.plan.wells) == 24
    assert found.simulation is None
    assert not found.plan.virtual_clock, "a demo microscope without a specimen runs in real time"
    assert (found.analysis.segment, found.analysis.readouts) == (None, {})
    assert found.plan.profiles["main"].pixel_size_um == 1.0


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        pytest.param(
            "{kind: explicit, offsets: [{x: 0 um, y: 1 mm}, {x: -5 um, y: 0 um}]}", [(0, 1000), (-5, 0)], id="explicit"
        ),
        pytest.param("{kind: grid, columns: 2, overlap: 50 %}", [(-64, 0), (64, 0)], id="overlap"),
        pytest.param("{kind: grid, rows: 2, spacing: 1 mm}", [(0, 500), (0, -500)], id="spacing"),
    ],
)
def test_places_of_fields(fields: str, places: list[tuple[float, float]], folder: Path, registry: Registry) -> None:
    found = loaded(TEXT.replace("{kind: grid, rows: 2, columns: 2}", fields), folder, registry)
    assert [(place.x_um, place.y_um) for place in found.plan.wells[0].fields] == places


def test_random_fields_do_not_depend_on_the_other_wells(folder: Path, registry: Registry) -> None:
    text = TEXT.replace("{kind: grid, rows: 2, columns: 2}", "{kind: random, count: 5}")
    every = {well.name: well for well in loaded(text, folder, registry).plan.wells}
    alone = loaded(text.replace("where: treatment != 'empty'", "wells: [A1]"), folder, registry).plan.wells[0]
    assert alone.fields == every["A1"].fields
    assert every["A1"].fields != every["A2"].fields


def test_planes_and_autofocus(folder: Path, registry: Registry) -> None:
    block = "  z: {range: 4 um, step: 1.5 um}\n  autofocus: {kind: software, channel: DNA, range: 20 um}\nanalysis:"
    profile = loaded(TEXT.replace("analysis:", block, 1), folder, registry).plan.profiles["main"]
    assert profile.z_offsets_um == (-1.5, 0.0, 1.5)
    assert profile.frames_per_field == 6
    assert profile.autofocus is not None
    assert (profile.autofocus.step_um, profile.autofocus.when, profile.autofocus.if_fails) == (2.0, "each_well", "keep")


# -- recorded specimens -----------------------------------------------------------------------------------------


def recorded(folder: Path, fields: list[str]) -> str:
    import tifffile

    rows = ["file,well,field,channel"]
    for field in fields:
        tifffile.imwrite(folder / f"{field}.tif", np.full((40, 60), 7, np.uint8))
        rows.append(f"{field}.tif,A01,{field},DNA")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return (
        "protocol: 1\nname: rec\nmicroscope: demo\nsimulation: {kind: recorded, manifest: manifest.csv}\n"
        "plate: {format: 96-well, wells: [A1], fields: {kind: grid, columns: 2}}\n"
        "imaging: {objective: 20x, channels: [{name: DNA, config: DAPI, exposure: 5}]}\npolicy: {kind: sweep}\n"
    )


def test_recorded_fields_keep_their_names_in_natural_order(folder: Path, registry: Registry) -> None:
    found = loaded(recorded(folder, ["f10", "f2", "f1"]), folder, registry)
    plan = found.plan
    assert [place.name for place in plan.wells[0].fields] == ["f1", "f2"]
    assert plan.once
    assert plan.frame_bytes == 40 * 60
    assert found.analysis.bit_depth == 8
    assert [place.x_um for place in plan.wells[0].fields] == [-15.0, 15.0]
    assert found.simulation is not None
    assert found.simulation.parameters["manifest"] == str(folder / "manifest.csv")
    assert str(folder / "manifest.csv") in found.sources


@pytest.mark.parametrize(
    ("fields", "old", "new", "line", "said"),
    [
        pytest.param(["a"], "x", "x", 5, "2 fields are asked for, and 1 were recorded in A1", id="too few fields"),
        pytest.param(["a", "b"], "manifest.csv", "other.csv", 4, "other.csv", id="no manifest"),
        pytest.param(["a", "b"], "name: DNA", "name: GFP", 4, "GFP", id="channel not recorded"),
        pytest.param(["a", "b"], "[A1]", "[A1:A2]", 4, "A2", id="well not recorded"),
    ],
)
def test_recorded_plate_that_does_not_fit(
    fields: list[str], old: str, new: str, line: int, said: str, folder: Path, registry: Registry
) -> None:
    text = recorded(folder, fields).replace(old, new)
    with pytest.raises(ProtocolError) as caught:
        load_text(text, registry, base=folder, name="p.yaml")
    problem = caught.value.problems[0]
    assert said in problem.message
    assert (problem.file, problem.line) == ("p.yaml", line)


# -- shipped protocols, schema ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_protocol_loads(
    path: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on a computer where cellpose is installed and its model was fetched
    monkeypatch.setattr("phenoloop.segmentation.cellpose.find_spec", lambda name: object())
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    (tmp_path / "cpsam_v2").touch()
    found = load(path, registry)
    assert json.loads(Resolved.of(found, "").to_json())["plan"]["name"] == found.protocol.name
    assert forecast(found, registry).frames > 0
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=protocol.schema.json\n")


def test_the_first_protocol_can_call_hits(registry: Registry) -> None:
    found = load(SHIPPED / "find_hits.yaml", registry)
    controls = [well for well in found.plan.wells if well.name in found.setup.controls]
    assert len(controls) >= 6
    assert len({well.column for well in controls}) >= 6
    assert len({well.row for well in controls}) == len({well.row for well in found.plan.wells})


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        pytest.param(SHIPPED / "protocol.schema.json", protocol.json_schema, id="protocol"),
        pytest.param(
            SHIPPED.parent / "mm_configs" / "microscope.schema.json", protocol.microscope_schema, id="microscope"
        ),
    ],
)
def test_schema_on_disk_is_up_to_date(path: Path, schema: Any, registry: Registry) -> None:
    now = schema(registry) if schema is protocol.json_schema else schema()
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(now)), (
        f"run `phenoloop schema` and put its output into {path}"
    )


def test_schema_knows_the_parameters_of_plug_ins(registry: Registry) -> None:
    schema = protocol.json_schema(registry)
    kinds = {group: [one["title"] for one in schema["$defs"][group]["oneOf"]] for group in ("policies", "questions")}
    assert kinds == {
        "policies": [*registry.kinds("policies"), "module:Class"],
        "questions": [*registry.kinds("questions"), "module:Class"],
    }
    threshold = schema["$defs"]["segmenters"]["oneOf"][0]
    assert {"kind", "channel", "name", "diameter"} <= set(threshold["properties"])
    assert set(threshold["required"]) == {"kind", "channel"}
    references = set(_references(schema))
    assert references
    assert all(name in schema["$defs"] for name in references)


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [name for item in part for name in _references(item)]
    if not isinstance(part, Mapping):
        return []
    own = [part["$ref"].removeprefix("#/$defs/")] if isinstance(part.get("$ref"), str) else []
    return own + [name for value in part.values() for name in _references(value)]


# -- hashes and forecast ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        pytest.param("workers: 1", "workers: 4", True, id="workers"),
        pytest.param("workers: 1", "workers: 1\n  executor: processes", True, id="executor"),
        pytest.param("seed: 3", "seed: 3   # the same", True, id="comment"),
        pytest.param("seed: 3", "seed: 4", False, id="seed"),
        pytest.param("emax: 3", "emax: 4", False, id="specimen"),
        pytest.param("false_hits: 10 %", "false_hits: 5 %", False, id="question"),
        pytest.param("wells_per_batch: 3", "wells_per_batch: 4", False, id="batch"),
        pytest.param("spots: mean(spots.count)", "spots: median(spots.count)", False, id="readout"),
        pytest.param("max_saturated: 2 %", "max_saturated: 3 %", False, id="quality"),
        pytest.param("exposure: 20", "exposure: 21", False, id="exposure"),
    ],
)
def test_plan_hash(old: str, new: str, same: bool, folder: Path, registry: Registry) -> None:
    before = plan_hash(loaded(TEXT, folder, registry))
    assert (plan_hash(loaded(TEXT.replace(old, new), folder, registry)) == before) is same


def test_plan_hash_does_not_know_where_files_lie(tmp_path: Path, registry: Registry) -> None:
    hashes = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        text = recorded(tmp_path / name, ["a", "b"])
        hashes.append(plan_hash(load_text(text, registry, base=tmp_path / name, name=f"{name}.yaml")))
    assert hashes[0] == hashes[1]


def test_forecast_counts_what_a_run_may_take(folder: Path, registry: Registry) -> None:
    found = loaded(TEXT, folder, registry)
    said = forecast(found, registry)
    assert (said.wells, said.fields, said.frames, said.controls) == (3, 12, 12, 1)
    assert said.disk_bytes == 12 * 512 * 512 * 2
    assert said.light_s == pytest.approx(0.12)
    assert any("the budget holds 6 of the 12 fields" in note for note in said.notes)
    assert any("control" in note for note in said.notes), "what can be called with these controls"
    cost = found.plan.cost
    # Three visits of two neighbouring fields each, and the moves between them.
    exposures = 2 * (20 + 80 + 20 + 100 + 20 + 40.5) / 1000
    hops = sum(cost.move_s(*step) for step in _steps(found))
    assert said.seconds == pytest.approx(exposures + 12 * (cost.channel_s + cost.readout_s) + hops + 0.3)


def _steps(found: Loaded) -> list[tuple[float, float]]:
    route = [
        well.fields[index] for well in found.plan.wells for index in sorted(well.choice[: found.setup.fields_per_visit])
    ]
    return [(b.x_um - a.x_um, b.y_um - a.y_um) for a, b in itertools.pairwise(route)]


def test_forecast_of_a_run_that_time_ends(folder: Path, registry: Registry) -> None:
    said = forecast(loaded(TEXT.replace("duration: 1 h", "duration: 1 s"), folder, registry), registry)
    assert said.seconds == 1.0
    assert any("limits.duration" in note for note in said.notes)


def test_what_was_loaded_is_plain(folder: Path, registry: Registry) -> None:
    found = loaded(TEXT, folder, registry)
    plain = json.loads(Resolved.of(found, "").to_json())
    assert plain["policy"]["parameters"] == dict(found.policy_parameters)
    assert plain["plan_hash"] == plan_hash(found)
    assert set(plain["sources"]) == set(found.sources)
    assert len(found.sources) == 4
    assert dataclasses.is_dataclass(found)
