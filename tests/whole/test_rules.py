"""Rules, combinations and a lab's own policy through the whole stack: what is imaged, what is told, replayed alike."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.core.decision import WOULD
from phenoloop.model import Acquire, Decided
from phenoloop.protocol import shared_folder
from phenoloop.storage.journal import read
from tests.whole.plates import write_protocol

pytestmark = [pytest.mark.mm, pytest.mark.slow]

MIX = """
  kind: mix
  random: 20 %
  wells_per_batch: 4
  of:
    - {kind: hits, weight: 50 %}
    - kind: priority
      name: ours
      weight: 30 %
      of:
        - {kind: "lab_of_ours:Crowded"}
        - kind: rules
          rules: [{name: dim, when: mean_vesicles < 0.5, do: {image: {}}, because: "{mean_vesicles:.2f}"}]
"""
CROWDED = """
from phenoloop.policies.rank import RankPolicy

class Crowded(RankPolicy):
    def scores(self, wells):
        return wells.mean("cells") / wells.n
"""
SHADOW = """
  kind: shadow
  wells_per_batch: 4
  acts: {kind: sweep}
  shadow: {kind: rules, rules: [{name: new, when: n_fields < 1, do: {image: {fields: 2}}, because: "{well} is new"}]}
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> api.RunResult:
    result = api.run(shared_folder("protocols") / "rules.yaml", out=tmp_path_factory.mktemp("rules") / "run")
    assert result.exit_code == 0
    return result


def visits(result: api.RunResult) -> list[Acquire]:
    return [message for message in read(result.folder.journal).messages if isinstance(message, Acquire)]


def test_every_rule_does_what_it_says(ruled: api.RunResult) -> None:
    by_rule: dict[str, list[Acquire]] = {}
    for message in visits(ruled):
        by_rule.setdefault(message.visit.by, []).append(message)
    first = by_rule["first look"]
    assert Counter(one.visit.well for one in first).most_common(1)[0][1] <= 2
    assert {one.visit.well for one in first} == {well["well"] for well in ruled.report["wells"]}
    assert {one.visit.profile for one in by_rule["close look"]} == {"closeup"}
    assert len(by_rule["close look"]) <= 12
    again = Counter(one.visit.well for one in by_rule["until sure"])
    assert again
    assert max(again.values()) <= 3


def test_the_reasons_are_told_with_their_numbers(ruled: api.RunResult) -> None:
    page = Path(ruled.folder.report_html).read_text(encoding="utf-8")
    assert "until sure" in page
    assert "its mean is uncertain by" in page
    decided = [message for message in read(ruled.folder.journal).messages if isinstance(message, Decided)]
    sure = [made for message in decided for made in message.proposals if made.why.rule == "until sure"]
    for made in sure:
        assert made.why.numbers["half_width_vesicles"] > 0.5 * abs(made.why.numbers["effect_vesicles"])
    assert decided[-1].stop.startswith(("no rule asks for another image", "120 fields", "12"))


def test_a_run_by_rules_replays(ruled: api.RunResult) -> None:
    assert api.replay(ruled.folder.path).equal


def test_a_mixture_with_a_policy_of_the_labs_own(tmp_path: Path) -> None:
    (tmp_path / "lab_of_ours.py").write_text(CROWDED, encoding="utf-8")
    result = api.run(write_protocol(tmp_path, policy=MIX, frames=80), out=tmp_path / "run")
    assert result.exit_code == 0
    shares = Counter(message.visit.by.partition("/")[0] for message in visits(result))
    # Places that a part does not want go to the others, so shares of so few visits are not exact.
    assert shares.keys() == {"hits", "ours", "random"}
    assert all(abs(shares[name] - wanted) <= 2 for name, wanted in (("hits", 20), ("ours", 12), ("random", 8)))
    assert {message.visit.by for message in visits(result)} >= {"ours/Crowded"}
    assert json.loads(result.folder.resolved.read_text(encoding="utf-8"))["sources"]["lab_of_ours.py"]
    assert "ours/Crowded: first look" in Path(result.folder.report_html).read_text(encoding="utf-8")
    assert api.replay(result.folder.path).equal


def test_a_shadow_is_recorded_and_changes_nothing(tmp_path: Path) -> None:
    result = api.run(write_protocol(tmp_path / "a", policy=SHADOW, frames=48), out=tmp_path / "shadow")
    alone = api.run(
        write_protocol(tmp_path / "b", policy="{kind: sweep, wells_per_batch: 4}", frames=48), out=tmp_path / "alone"
    )

    def seen(run: api.RunResult) -> list[tuple[str, str]]:
        return [(one.visit.well, field.field) for one in visits(run) for field in one.visit.fields]

    assert seen(result) == seen(alone)
    decided = [message for message in read(result.folder.journal).messages if isinstance(message, Decided)]
    said = [message.shadow for message in decided if message.shadow is not None]
    assert said
    assert said[0].policy == "rules"
    wishes = [made for shadow in said for made in shadow.proposals]
    assert {made.why.rule for made in wishes} == {"new"}
    assert {made.verdict for made in wishes} == {WOULD}
    assert wishes[0].why.text == f"{wishes[0].well} is new"
    assert said[-1].proposals == ()  # by then every well was seen
    assert "rules would have" in Path(result.folder.report_html).read_text(encoding="utf-8")
    assert api.replay(result.folder.path).equal
