"""``analysis: features`` and the names of the further families: what they resolve to, and how a slip is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from phenoloop.errors import ProtocolError
from phenoloop.model.features import FAMILIES
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text
from tests.protocol.test_broken_protocols import GOOD, MAP


def families(tmp_path: Path, line: str, readout: str = "mean(vesicles.count)") -> tuple[str, ...]:
    (tmp_path / "map.csv").write_text(MAP, encoding="utf-8")
    text = GOOD.replace("    vesicles: mean(vesicles.count)", f"    vesicles: {readout}")
    text = text.replace("  readouts:\n", f"{line}  readouts:\n")
    return load_text(text, Registry(discover=False), base=tmp_path).analysis.families


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("", (), id="none"),
        pytest.param("  features: texture\n", ("texture",), id="one"),
        pytest.param("  features: [radial, texture]\n", ("radial", "texture"), id="some"),
        pytest.param("  features: all\n", FAMILIES, id="all"),
        pytest.param("  features: [texture, all]\n", ("texture", *(f for f in FAMILIES if f != "texture")), id="both"),
    ],
)
def test_families_that_a_protocol_lists(tmp_path: Path, line: str, expected: tuple[str, ...]) -> None:
    assert families(tmp_path, line) == expected


@pytest.mark.parametrize(
    "readout",
    ["mean(vesicles.clustering)", "median(GFP.entropy_1)", "mean(GFP.pearson_DNA)", "mean(solidity, spacing < 1)"],
)
def test_features_of_further_families_can_be_named(tmp_path: Path, readout: str) -> None:
    assert families(tmp_path, "", readout) == ()


@pytest.mark.parametrize(
    ("line", "readout", "said"),
    [
        pytest.param("  features: [textur]\n", "count()", "did you mean 'texture'", id="misspelt family"),
        pytest.param("  features: everything\n", "count()", "families: all, cellprofiler, shape", id="no family"),
        pytest.param("", "mean(vesicles.clustring)", "did you mean 'clustering'", id="misspelt feature"),
        pytest.param("", "mean(GFP.medain)", "did you mean 'median'", id="misspelt feature of a channel"),
        pytest.param("", "mean(GFP.xyz)", "more, see docs/features.md", id="not all names are listed"),
        pytest.param("", "mean(GFP.pearson_GFP)", "has no feature 'pearson_GFP'", id="a channel with itself"),
    ],
)
def test_a_slip_is_told(tmp_path: Path, line: str, readout: str, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        families(tmp_path, line, readout)
    assert said in str(caught.value)


def test_cell_profiler_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "cp_measure" else real(name, package)

    monkeypatch.setattr("phenoloop.protocol.resolve_analysis.find_spec", without)
    with pytest.raises(ProtocolError, match=r"pip install 'phenoloop\[profile\]'"):
        families(tmp_path, "  features: cellprofiler\n")
    monkeypatch.setattr("phenoloop.protocol.resolve_analysis.find_spec", lambda name: name)
    assert families(tmp_path, "  features: cellprofiler\n") == ("cellprofiler",)
