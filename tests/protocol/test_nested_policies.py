"""Policies inside policies, and modules beside the protocol: every mistake at its line and column."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phenoloop import protocol
from phenoloop.api.resolved import Resolved
from phenoloop.errors import ProtocolError
from phenoloop.plugins import Registry, look_beside
from phenoloop.protocol import Loaded, load_text

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "protocols" / "find_hits.yaml").read_text(encoding="utf-8")
LAB = """
from phenoloop.policies.rank import RankPolicy

class Mine(RankPolicy):
    marker = "{marker}"
    def scores(self, wells):
        return wells.mean("{readout}")
"""


@pytest.fixture(autouse=True)
def imports_as_before() -> Iterator[None]:
    """Forget the folders of these tests."""
    yield
    look_beside(ROOT / "protocols")


def load(policy: str, base: Path = ROOT / "protocols") -> Loaded:
    """The shipped protocol with another policy; the policy begins at line 1."""
    rest = re.sub(r"^policy:.*\n", "", TEXT, flags=re.MULTILINE).replace("map: maps/", f"map: {ROOT}/protocols/maps/")
    return load_text(policy + rest, Registry(discover=False), base=base, name="p.yaml")


def refused(policy: str, base: Path = ROOT / "protocols") -> list[tuple[int | None, int | None, str]]:
    with pytest.raises(ProtocolError) as found:
        load(policy, base)
    return [(one.line, one.column, one.message) for one in found.value.problems]


RULES = """policy:
  kind: rules
  ranges: {vesicles: [0, 50]}
  rules:
    - {name: new, when: n_fields < 1, do: {image: {}}, because: new}
    - name: more
      when: "CONDITION"
      do: {image: {fields: 2}}
      because: "BECAUSE"
"""


@pytest.mark.parametrize(
    ("policy", "line", "column", "said"),
    [
        pytest.param(
            RULES.replace("CONDITION", "n_fields >= 1 and mean_vesicle > 3").replace("BECAUSE", "x"),
            7,
            32,
            "did you mean 'mean_vesicles'?",
            id="a name in a condition",
        ),
        pytest.param(
            RULES.replace("CONDITION", "n_fields >= 1").replace("BECAUSE", "after {n_field}"),
            9,
            24,
            "did you mean 'n_fields'?",
            id="a name in a reason",
        ),
        pytest.param(
            RULES.replace("CONDITION", "mean_vesicles > 50").replace("BECAUSE", "x"),
            7,
            13,
            "this is never true (mean_vesicles is 0 to 50)",
            id="never true",
        ),
        pytest.param(
            RULES.replace("CONDITION", "n_fields < 2").replace("BECAUSE", "x"),
            7,
            13,
            "'new' and 'more' can be on for the same well (where n_fields is 0)",
            id="at odds",
        ),
        pytest.param(RULES.replace("when: n", "wen: n"), 5, 19, "did you mean 'when'?", id="a misspelt key of a rule"),
        pytest.param(
            "policy:\n  kind: mix\n  of:\n    - {kind: hits, weight: 90 %, explor: 5 %}\n",
            4,
            34,
            "did you mean 'explore'?",
            id="a key of a part",
        ),
        pytest.param(
            "policy:\n  kind: mix\n  of:\n    - {kind: hits, weight: 90}\n",
            4,
            28,
            "write '90 %'",
            id="a weight without unit",
        ),
        pytest.param(
            "policy:\n  kind: mix\n  of:\n    - {kind: hitss, weight: 90 %}\n",
            4,
            14,
            "did you mean 'hits'?",
            id="a kind inside",
        ),
        pytest.param(
            "policy:\n  kind: mix\n  of:\n    - {weight: 90 %}\n", 4, 7, "the key 'kind' is needed", id="no kind inside"
        ),
        pytest.param(
            "policy:\n  kind: priority\n  of:\n    - kind: sequence\n      of:\n"
            "        - {kind: precise, half_width: 0}\n",
            6,
            39,
            "above 0",
            id="two deep",
        ),
        pytest.param(
            "policy:\n  kind: quota\n  of:\n    - {kind: hits, share: 60 %}\n    - {kind: sweep, share: 50 %}\n",
            1,
            1,
            "the shares make 110% of the budget",
            id="more than everything",
        ),
        pytest.param(
            "policy:\n  kind: mix\n  of:\n    - kind: shadow\n      weight: 1 %\n      acts: {kind: sweep}\n"
            "      shadow: {kind: hits}\n",
            4,
            13,
            "put `kind: shadow` outermost",
            id="a shadow inside",
        ),
        pytest.param(
            "policy:\n  kind: shadow\n  acts: {kind: sweep}\n  shadow: {kind: hits, explre: 5 %}\n",
            4,
            24,
            "did you mean 'explore'?",
            id="a key of the one that is watched",
        ),
        pytest.param(
            "policy:\n  kind: priority\n  of:\n    - {kind: rare}\n",
            4,
            14,
            "a question about objects",
            id="refused by a part",
        ),
    ],
)
def test_mistakes_are_told_at_their_place(policy: str, line: int, column: int, said: str) -> None:
    found = refused(policy)
    assert [(one[0], one[1]) for one in found] == [(line, column)], found
    assert said in found[0][2]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    policy = (
        "policy:\n  kind: mix\n  of:\n    - {kind: hits, explor: 5 %}\n"
        "    - {kind: sweep, weight: 5, order: plat}\n    - {kind: sweeep, weight: 5 %}\n"
    )
    assert [one[0] for one in refused(policy)] == [4, 4, 5, 5, 6]


def test_quantities_inside_are_in_base_units_and_build_again() -> None:
    loaded = load(
        "policy:\n  kind: mix\n  fields_per_visit: 3\n  of:\n    - {kind: hits, weight: 80 %, explore: 5 %}\n"
        "    - {kind: sweep, weight: 20 %, fields_per_visit: 1, name: base}\n"
    )
    hits, sweep = loaded.policy_parameters["of"]
    assert (hits["kind"], hits["weight"], hits["explore"], hits["fields_per_visit"]) == ("hits", 0.8, 0.05, 3)
    assert (sweep["name"], sweep["fields_per_visit"]) == ("base", 1)
    again = Resolved.from_json(Resolved.of(loaded, "").to_json(), "resolved.json")
    assert list(again.decider().report()["parts"]) == ["hits", "base"]


def test_a_part_must_go_by_time_in_a_time_lapse() -> None:
    events = (ROOT / "protocols" / "events.yaml").read_text(encoding="utf-8")
    text = re.sub(r"^policy:\n(  .*\n)*", "POLICY\n", events, flags=re.MULTILINE)

    def with_policy(policy: str) -> Loaded:
        return load_text(text.replace("POLICY", policy), Registry(discover=False), base=ROOT / "protocols")

    assert with_policy("policy: {kind: priority, of: [{kind: precise, half_width: 1}, {kind: sweep}]}")
    with pytest.raises(ProtocolError, match="there would be no time-lapse"):
        with_policy("policy: {kind: priority, of: [{kind: precise, half_width: 1}]}")


# -- a module beside the protocol -----------------------------------------------------------------------------------


def lab(folder: Path, *, marker: str = "one", readout: str = "vesicles") -> Path:
    folder.mkdir()
    (folder / "our_lab.py").write_text(LAB.format(marker=marker, readout=readout), encoding="utf-8")
    return folder


MINE = 'policy: {kind: "our_lab:Mine", most_fields: 2}\n'


def test_a_file_beside_the_protocol_is_found_and_recorded(tmp_path: Path) -> None:
    loaded = load(MINE, lab(tmp_path / "a"))
    assert loaded.policy_target == "our_lab:Mine"
    assert len(loaded.sources["our_lab.py"]) == 64


def test_a_part_may_come_from_beside_the_protocol(tmp_path: Path) -> None:
    loaded = load('policy: {kind: priority, of: [{kind: "our_lab:Mine"}, {kind: sweep}]}\n', lab(tmp_path / "a"))
    assert "our_lab.py" in loaded.sources


def test_the_file_of_another_protocol_is_not_taken_for_it(tmp_path: Path) -> None:
    for marker in ("one", "two"):
        load(MINE, lab(tmp_path / marker, marker=marker))
        assert sys.modules["our_lab"].Mine.marker == marker
    with pytest.raises(ProtocolError, match="cannot be loaded"):
        load(MINE)


def test_a_resumed_run_looks_beside_its_protocol(tmp_path: Path) -> None:
    loaded = load_text(
        (MINE + re.sub(r"^policy:.*\n", "", TEXT, flags=re.MULTILINE)).replace("maps/", f"{ROOT}/protocols/maps/"),
        Registry(discover=False),
        base=(folder := lab(tmp_path / "a")),
        path=folder / "p.yaml",
    )
    stored = Resolved.of(loaded, "").to_json()
    look_beside(ROOT / "protocols")
    assert "our_lab" not in sys.modules
    assert "wells" in Resolved.from_json(stored, "resolved.json").decider().report()


def test_a_score_that_fails_is_found_at_load(tmp_path: Path) -> None:
    ((line, column, said),) = refused(MINE, lab(tmp_path / "a", readout="vesicle"))
    assert (line, column) == (1, 16)
    assert "there is no readout 'vesicle'; there are vesicles, cells" in said


# -- the schema -----------------------------------------------------------------------------------------------------


def choices(block: Any) -> dict[str, Any]:
    return {one["title"]: one for one in block["oneOf"]}


def test_the_schema_knows_policies_inside_policies() -> None:
    definitions = protocol.json_schema(Registry(discover=False))["$defs"]
    mix = choices(definitions["policies"])["mix"]
    block = definitions[mix["properties"]["of"]["items"]["$ref"].removeprefix("#/$defs/")]
    inside = choices(definitions[block["$ref"].removeprefix("#/$defs/")])
    assert {"weight", "explore", "name"} <= inside["hits"]["properties"].keys()
    assert "of" in inside["sequence"]["properties"]
    assert block["required"] == ["kind", "weight"]
    assert block["not"] == {"anyOf": [{"required": ["share"]}]}
    assert "weight" not in choices(definitions["policies"])["hits"]["properties"]
