"""A study meets the decisions and the clock of a real run: the same machine, the same fields, no hardware."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.api.resolved import Resolved
from phenoloop.api.worlds import results_of
from phenoloop.errors import UsageError
from phenoloop.model import Message, RunEnded, RunStarted, VisitEnded
from phenoloop.storage.journal import read
from phenoloop.studies.response import KnownFields
from phenoloop.studies.simulator import Spent, simulate
from tests.whole.plates import HITS, SWEEP, write_protocol

pytestmark = pytest.mark.mm

AUTOFOCUS = "autofocus: {kind: software, channel: DNA, range: 8 um, step: 4 um, when: each_visit}"


def comparable(message: Message) -> Message:
    """Without what a simulation cannot read back: the height of the focus drive."""
    if not isinstance(message, VisitEnded):
        return message
    return dataclasses.replace(message, frames=tuple(dataclasses.replace(one, z_um=None) for one in message.frames))


@pytest.mark.parametrize(
    ("policy", "focus"),
    [
        pytest.param(HITS, False, id="hits"),
        pytest.param(SWEEP, True, id="sweep with autofocus"),
    ],
)
def test_a_simulated_run_is_the_real_one(policy: str, focus: bool, tmp_path: Path) -> None:
    protocol = write_protocol(tmp_path, policy=policy, frames=32)
    if focus:
        text = protocol.read_text(encoding="utf-8").replace("  objective: 20x\n", f"  objective: 20x\n  {AUTOFOCUS}\n")
        protocol.write_text(text, encoding="utf-8")
    run = api.run(protocol, out=tmp_path / "run").folder
    resolved = Resolved.from_json(run.resolved.read_bytes(), "resolved.json")
    journal = read(run.journal).messages
    course = simulate(resolved.plan, resolved.decider(), KnownFields(results_of(journal)))
    ends = (RunStarted, RunEnded)
    real = [comparable(message) for message in journal if not isinstance(message, ends)]
    assert [comparable(message) for message in course.messages if not isinstance(message, ends)] == real
    spent = Spent()
    for message in journal:
        if isinstance(message, VisitEnded):
            spent = spent.after(message)
    assert course.spent.frames == spent.frames == 32
    assert course.spent.light_s == pytest.approx(spent.light_s)
    assert course.exit == "budget"


def test_a_look_under_a_second_profile_is_refused(tmp_path: Path) -> None:
    """Only main was measured beforehand."""
    rules = "{kind: rules, rules: [{name: close, when: n_fields < 1, do: {image: {profile: close}}, because: why}]}"
    protocol = write_protocol(tmp_path, policy=rules, frames=32)
    text = protocol.read_text(encoding="utf-8") + "profiles: {close: {objective: 60x}}\n"
    protocol.write_text(text, encoding="utf-8")
    resolved = Resolved.of(api.check(protocol).loaded, "")
    with pytest.raises(UsageError, match="under the profile 'close', and only main was measured"):
        simulate(resolved.plan, resolved.decider(), KnownFields({}))
