"""What docs/policies.md shows is loaded and run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phenoloop.plugins import Registry
from phenoloop.policies.rank import RankPolicy
from phenoloop.policies.rule_facts import vocabulary
from phenoloop.protocol import Loaded, load_text
from phenoloop.testing import assert_policy
from tests.decisions.plates import setup

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
HITS = (ROOT / "protocols" / "find_hits.yaml").read_text(encoding="utf-8")
MAP = (ROOT / "protocols" / "maps" / "agonist.csv").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of my sections."""
    mine = PAGE[PAGE.index("\n## rules\n") :]
    return re.findall(rf"```{language}\n(.*?)```", mine, re.DOTALL)


def load_with(policy: str, base: Path) -> Loaded:
    """The shipped protocol for hits with another policy."""
    text = re.sub(r"^policy:.*\n", lambda _: policy, HITS, flags=re.MULTILINE)
    return load_text(text, Registry(discover=False), base=base)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with the plate map and the lab's own module."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "agonist.csv").write_text(MAP, encoding="utf-8")
    (tmp_path / "my_lab.py").write_text(blocks("python")[0], encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.split("kind: ")[1].split("\n")[0][:20])
def test_the_policy_loads(block: str, lab: Path) -> None:
    loaded = load_with(block, lab)
    assert loaded.policy_kind in block


def test_the_labs_own_policy_keeps_the_contract_in_fifteen_lines(lab: Path) -> None:
    source = blocks("python")[0]
    assert len([line for line in source.splitlines() if line.strip()]) <= 15
    loaded = load_with('policy: {kind: "my_lab:FarAndUncertain"}\n', lab)
    assert "my_lab.py" in loaded.sources
    found: dict[str, type[RankPolicy]] = {}
    exec(compile(source.replace("vesicles", "signal"), "my_lab.py", "exec"), found | {"__name__": __name__}, found)
    plugin = found["FarAndUncertain"]
    plugin.__qualname__ = "FarAndUncertain"
    globals()["FarAndUncertain"] = plugin  # a policy is pickled by its name
    assert_policy(lambda plate: plugin(plugin.Params(), plate))


@pytest.mark.parametrize("level", ["well", "field"])
def test_the_table_of_names_is_the_vocabulary(level: str) -> None:
    section = PAGE[PAGE.index("| name | is | known from |") : PAGE.index("Expressions have")]
    told = {
        name
        for row in section.splitlines()
        for name in re.findall(r"`([\w]+)`", row.split("|")[1] if "|" in row else "")
    }
    found = vocabulary(setup(plateau=("A2",), properties=()), level, {})
    assert {name.replace("signal", "X") for name in found} <= told
    if level == "field":
        assert told == {name.replace("signal", "X") for name in found}
