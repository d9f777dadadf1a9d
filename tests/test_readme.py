"""What the README shows is run: its protocol is loaded, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from phenoloop.cli.app import app
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROTOCOLS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
VERBS = sorted(set(re.findall(r"(?:`|&& )phenoloop ([a-z]+)\b", README, re.MULTILINE)))


def test_there_is_something_to_test() -> None:
    assert PROTOCOLS
    assert {"run", "check", "replay", "resume", "doctor"} <= set(VERBS)


@pytest.mark.parametrize("text", PROTOCOLS, ids=lambda text: text.splitlines()[0])
def test_the_protocol_loads(text: str) -> None:
    loaded = load_text(text, Registry(discover=False), base=ROOT / "protocols", name="README.md")
    assert loaded.setup.controls


@pytest.mark.parametrize("verb", VERBS)
def test_the_command_exists(verb: str) -> None:
    assert verb in get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_the_link_leads_somewhere(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()
