"""Profiles in a protocol: what they inherit, what they change, and each way to get one wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import ObjectSearch, PickPlan
from phenoloop.plugins import Registry
from phenoloop.protocol import Loaded, load_text
from phenoloop.protocol.microscope_models import CameraBlock

GOOD = """protocol: 1
name: search
microscope:
  config: demo
  objectives:
    10x: {preset: 10X}
    60x: {preset: 60X, offset: {x: 12 um, y: -4 um, z: 2 um}, safe_height: -50 um}
  stage: {z: [-100 um, 100 um]}
simulation: {kind: synthetic}
plate: {format: 96-well, wells: [A1:A3]}
imaging:
  objective: 10x
  channels:
    - {name: DNA, config: DAPI, exposure: 20 ms}
    - {name: RFP, config: Rhodamine, exposure: 50 ms}
  autofocus: {kind: software, channel: DNA, range: 20 um}
analysis:
  segment: {kind: threshold, channel: DNA, name: nuclei}
  readouts: {cells: count(), red: mean(RFP.mean)}
  quality: {min_objects: 3}
profiles:
  closeup:
    objective: 60x
    channels: [DNA, {name: GFP, config: FITC, exposure: 80 ms}]
    z: {range: 8 um, step: 2 um}
    analysis:
      spots: {name: foci, channel: GFP}
      readouts: {foci: mean(foci.count)}
      quality: {min_objects: 1}
question:
  kind: objects
  found_by: {profile: main, where: z(DNA.mean) > 4, best_first: z(DNA.mean)}
  confirmed_by: {profile: closeup, where: foci.count >= 5}
  target: 7
policy: {kind: rare}
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(discover=False)


def loaded(text: str, registry: Registry) -> Loaded:
    return load_text(text, registry, base=Path.cwd(), name="p.yaml")


def test_a_profile_starts_from_imaging_and_changes_what_it_names(registry: Registry) -> None:
    found = loaded(GOOD, registry)
    main, closeup = found.plan.profiles["main"], found.plan.profiles["closeup"]
    assert list(found.plan.profiles) == ["main", "closeup"]
    assert (main.pixel_size_um, closeup.pixel_size_um) == pytest.approx((1.0, 0.166667))
    assert closeup.objective_config == "60X"
    assert closeup.offset_um == (12.0, -4.0, 2.0)
    assert closeup.safe_z_um == -50.0
    assert closeup.channels[0] == main.channels[0]
    assert [channel.config for channel in closeup.channels] == ["DAPI", "FITC"]
    assert closeup.z_offsets_um == (-4.0, -2.0, 0.0, 2.0, 4.0)
    assert closeup.autofocus == main.autofocus
    assert main.z_offsets_um == ()


def test_its_analysis_starts_from_analysis_too(registry: Registry) -> None:
    found = loaded(GOOD, registry)
    closeup = found.analyses["closeup"]
    assert closeup.segment == found.analysis.segment
    assert [spots.name for spots in closeup.spots] == ["foci"]
    assert closeup.readouts == {"foci": "mean(foci.count)"}
    assert closeup.quality.min_objects == 1
    assert found.analysis.quality.min_objects == 3
    assert closeup.channels == ("DNA", "GFP")
    assert closeup.pixel_size_um == found.plan.profiles["closeup"].pixel_size_um


def test_the_question_says_which_objects_are_told(registry: Registry) -> None:
    found = loaded(GOOD, registry)
    assert found.analysis.pick == PickPlan(where="z(DNA.mean) > 4", best_first="z(DNA.mean)")
    assert found.analyses["closeup"].pick == PickPlan(where="foci.count >= 5")
    assert found.setup.objects == ObjectSearch(found_by="main", confirmed_by="closeup", target=7)
    assert found.setup.places[0][0].name == "0"


def test_what_is_not_wanted_can_be_switched_off(registry: Registry) -> None:
    text = GOOD.replace("    z: {range: 8 um, step: 2 um}\n", "    autofocus: off\n")
    closeup = loaded(text, registry).plan.profiles["closeup"]
    assert closeup.autofocus is None
    assert closeup.z_offsets_um == ()


BROKEN = [
    ("objective: 60x\n", "objective: 63x\n", "63x", "no objective '63x'; did you mean '60x'", "unknown objective"),
    ("    channels: [DNA,", "    chanels: [DNA,", "chanels", "did you mean 'channels'", "misspelt key"),
    ("[DNA, {name: GFP", "[DNAA, {name: GFP", "DNAA", "did you mean 'DNA'", "unknown channel of imaging"),
    ("config: FITC", "config: FITCH", "FITCH", "did you mean 'FITC'", "unknown preset"),
    ("step: 2 um}\n    analysis", "step: 2}\n    analysis", "2}", "has no unit", "no unit"),
    ("channel: GFP}", "channel: GFPP}", "GFPP", "did you mean 'GFP'", "spots of no channel"),
    ("mean(foci.count)", "mean(foci.cuont)", "foci.cuont", "has no feature 'cuont'", "readout of no feature"),
    ("profile: closeup,", "profile: closup,", "closup", "did you mean 'closeup'", "unknown profile"),
    ("foci.count >= 5", "fuci.count >= 5", "fuci.count >= 5", "did you mean 'foci'", "confirmed by no feature"),
    (
        "where: z(DNA.mean) > 4",
        "where: z(DNA.mean)",
        "z(DNA.mean),",
        "a condition per object is needed",
        "no condition",
    ),
    (
        "where: z(DNA.mean) > 4",
        "where: mean(DNA.mean) > 4",
        "mean(DNA.mean) > 4",
        "one per object",
        "one for the field",
    ),
    ("best_first: z(DNA.mean)", "best_first: z(DNA.mean) > 4", "z(DNA.mean) > 4}", "a number per object", "no number"),
    ("safe_height: -50 um", "safe_height: -500 um", "-500 um", "outside the limits of stage.z", "safe height too low"),
    ("offset: {x: 12 um", "offset: {u: 12 um", "u: 12", "unknown key 'u'", "offset of no axis"),
]


@pytest.mark.parametrize(("old", "new", "marker", "says"), [pytest.param(*row[:4], id=row[4]) for row in BROKEN])
def test_broken_profile(registry: Registry, old: str, new: str, marker: str, says: str) -> None:
    """The message names the mistake, its line, and the way out."""
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    with pytest.raises(ProtocolError) as caught:
        loaded(text, registry)
    problem = next(found for found in caught.value.problems if says in found.message)
    line = text[: text.index(new) + new.index(marker.rstrip(",}")[:3])].count("\n") + 1
    assert problem.line == line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("  closeup:\n", "  main:\n", "the name of the block imaging", id="called main"),
        pytest.param("profile: closeup,", "profile: main,", "name the profile of the second look", id="one profile"),
        pytest.param(
            "channels: [DNA, {name: GFP, config: FITC, exposure: 80 ms}]",
            "channels: [{name: GFP, config: FITC, exposure: 80 ms}]",
            "imaging focuses in DNA, which this profile does not image",
            id="focus channel is gone",
        ),
        pytest.param(
            "policy: {kind: rare}", "policy: {kind: rare, min_precision: 0 %}", "min_precision", id="no share"
        ),
        pytest.param(
            GOOD[GOOD.index("question:") : GOOD.index("policy:")],
            "",
            "needs a question about objects",
            id="no question",
        ),
    ],
)
def test_what_cannot_be(registry: Registry, old: str, new: str, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        loaded(GOOD.replace(old, new), registry)
    assert any(says in problem.message or says in problem.where for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("camera", "axes"),
    [
        pytest.param({}, (1, 0, 0, -1), id="straight"),
        pytest.param({"rotation": 90.0}, (0, 1, 1, 0), id="turned left: columns run up"),
        pytest.param({"rotation": 180.0}, (-1, 0, 0, 1), id="upside down"),
        pytest.param({"mirrored": True}, (-1, 0, 0, -1), id="mirrored"),
    ],
)
def test_how_a_camera_lies_on_the_stage(camera: dict[str, object], axes: tuple[float, ...]) -> None:
    block = CameraBlock.model_validate({"width": 10, "height": 10, **camera})
    assert block.image_axes() == axes
