"""``analysis: profile``: what it resolves to, and how a policy or question that needs it is told that it is absent."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model import Answer, FieldReadout, Setup
from phenoloop.model.features import FAMILIES, catalogue, of_phenotype
from phenoloop.plugins import Registry
from phenoloop.policies.sweep import Sweep
from phenoloop.protocol import Loaded, load_text
from phenoloop.protocol.base import QuestionParams
from tests.protocol.test_broken_protocols import GOOD, MAP

HERE = "tests.protocol.test_profile_key"


class Needy(Sweep):
    """A policy that goes by profiles."""

    needs: ClassVar[tuple[str, ...]] = ("profile",)


class Confused(Sweep):
    """A policy whose author misspelt what it needs."""

    needs: ClassVar[tuple[str, ...]] = ("profil",)


class Made(Sweep):
    """A policy that knows what it needs only once it is built, as one made of others does."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What its parts need."""
        return ("profile",)


class NeedyQuestion:
    """A question that goes by profiles."""

    needs: ClassVar[tuple[str, ...]] = ("profile",)

    class Params(QuestionParams):
        """No keys of its own."""

    def __init__(self, params: Params, setup: Setup) -> None:
        self.setup = setup

    def answer(self, fields: Sequence[FieldReadout]) -> Answer:
        """Answer nothing."""
        return Answer(wells={}, summary={"fields": len(fields)}, notes=())


def loaded(tmp_path: Path, line: str = "", *changes: tuple[str, str]) -> Loaded:
    (tmp_path / "map.csv").write_text(MAP, encoding="utf-8")
    text = GOOD.replace("  readouts:\n", f"{line}  readouts:\n")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load_text(text, Registry(discover=False), base=tmp_path, name="p.yaml")


def test_without_it_there_is_no_profile(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.analysis.profile is None
    assert found.setup.profile_features == ()


@pytest.mark.parametrize("line", ["  profile: {}\n", "  profile: {families: all}\n", "  profile: {summary: median}\n"])
def test_by_default_all_own_families_make_it(tmp_path: Path, line: str) -> None:
    found = loaded(tmp_path, line)
    assert found.analysis.profile is not None
    assert found.analysis.profile.summary == "median"
    assert found.analysis.families == FAMILIES
    every = catalogue(["DNA", "GFP"], ["vesicles"])
    left_out = {"x", "y", "orientation", "edge", "confidence"}
    assert (
        found.setup.profile_features == found.analysis.profile.columns == tuple(n for n in every if n not in left_out)
    )
    assert len(found.setup.profile_features) > 200


def test_only_the_families_that_are_named_make_it(tmp_path: Path) -> None:
    line = "  features: radial\n  profile: {families: [shape, spots], summary: mean}\n"
    found = loaded(tmp_path, line)
    assert found.analysis.families == ("radial", "shape", "spots")
    assert found.analysis.profile is not None
    assert found.analysis.profile.summary == "mean"
    assert {name.partition(".")[0] for name in found.setup.profile_features if "." in name} == {"vesicles"}
    assert found.setup.profile_features[0] == "area"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("area", True), ("x", False), ("edge", False), ("confidence", False), ("GFP.max", True),
        ("AreaShape_Center_X", False), ("AreaShape_Orientation", False), ("AreaShape_BoundingBoxMinimum_X", False),
        ("AreaShape_BoundingBoxArea", True), ("AreaShape_CentralMoment_0_1", True),
        ("GFP.Location_MaxIntensity_X", False), ("label", False), ("visit", False),
    ],
)  # fmt: skip
def test_columns_that_may_stand_in_a_profile(name: str, kept: bool) -> None:
    assert of_phenotype([name]) == ((name,) if kept else ())


@pytest.mark.skipif(importlib.util.find_spec("cp_measure") is None, reason="needs the extra `profile`")
def test_cell_profilers_names_make_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, "  profile: {families: cellprofiler}\n").setup.profile_features
    assert {"AreaShape_Solidity", "GFP.Texture_Contrast_3_00_256", "DNA.Correlation_Pearson_GFP"} <= set(found)
    assert not any("Center_X" in name or "Location" in name for name in found)


@pytest.mark.parametrize(
    ("line", "changes", "said"),
    [
        pytest.param("  profile: {famlies: all}\n", (), "did you mean 'families'", id="misspelt-key"),
        pytest.param("  profile: {families: [textur]}\n", (), "did you mean 'texture'", id="misspelt-family"),
        pytest.param("  profile: {families: []}\n", (), "p.yaml:25", id="no-family"),
        pytest.param("  profile: {summary: mode}\n", (), "(one of median, mean)", id="summary"),
        pytest.param("  profile: {families: segmentation}\n", (), "no feature here that can stand", id="nothing-left"),
    ],
)
def test_a_slip_is_told(tmp_path: Path, line: str, changes: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        loaded(tmp_path, line, *changes)
    assert said in str(caught.value)


NEEDS = [
    pytest.param("policy: {kind: hits, ", f"policy: {{kind: '{HERE}:Needy', ", id="policy"),
    pytest.param("policy: {kind: hits, ", f"policy: {{kind: '{HERE}:Made', ", id="policy-made-of-others"),
    pytest.param("fallback: {kind: sweep}", f"fallback: {{kind: '{HERE}:Needy'}}", id="fallback"),
    pytest.param(
        "question:\n  kind: hits\n  readout: vesicles\n  controls: treatment == 'vehicle'\n  change: up\n"
        "  smallest: 1.0\n  false_hits: 5 %\npolicy: {kind: hits,",
        f"question: {{kind: '{HERE}:NeedyQuestion', readout: vesicles}}\npolicy: {{kind: sweep,",
        id="question",
    ),
]


@pytest.mark.parametrize(("old", "new"), NEEDS)
def test_who_needs_profiles_gets_them_or_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert loaded(tmp_path, "  profile: {}\n", (old, new)).setup.profile_features
    with pytest.raises(ProtocolError, match="goes by the profile of each field") as caught:
        loaded(tmp_path, "", (old, new))
    said = str(caught.value)
    assert "add `profile: {}` to analysis" in said
    line = next(k for k, text in enumerate(GOOD.replace(old, new).splitlines(), 1) if HERE in text)
    assert f"p.yaml:{line}:" in said


def test_a_need_that_does_not_exist_is_the_plug_ins_fault(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="needs 'profil', which is nothing a run can bring"):
        loaded(tmp_path, "  profile: {}\n", ("policy: {kind: hits, ", f"policy: {{kind: '{HERE}:Confused', "))
