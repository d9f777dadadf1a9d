"""What the documents say of the command line and of the report is what the program does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from phenoloop.cli.app import app
from phenoloop.watch.report_json import STEPS, build_report
from tests.watch.builders import make_content

DOCS = Path(__file__).parents[2] / "docs"


def rows(document: str, heading: str) -> dict[str, str]:
    """The two columns of the first table below a heading."""
    text = (DOCS / document).read_text(encoding="utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    found = re.findall(r"^\| `?(.+?)`? \| (.+) \|$", section, flags=re.MULTILINE)
    return {first: second for first, second in found if not set(first) <= {"-"} and second != "---"}


def usage(name: str, command: Any) -> str:
    """The usage of a verb, as the table writes it."""
    parts = [name]
    for param in command.params:
        if param.param_type_name == "argument":
            text = param.metavar + ("..." if param.nargs == -1 else "")
            parts.append(text if param.required else f"[{text}]")
            continue
        text = param.opts[0] + (f" {param.metavar}" if not param.is_flag else "")
        parts.append(text if param.required else f"[{text}]" + ("..." if param.multiple else ""))
    return " ".join(parts)


def test_the_verb_table_is_the_program() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    live = {usage(name, command): command.help for name, command in commands.items()}
    table = rows("cli.md", "The command line")
    table.pop("verb")
    assert table == live


def test_no_help_text_holds_what_a_terminal_takes_for_markup() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    texts = {(name, param.name): param.help or "" for name, command in commands.items() for param in command.params}
    assert len(texts) > 40
    assert [where for where, text in texts.items() if "[" in text] == []


@pytest.mark.parametrize(
    ("heading", "named", "live"),
    [
        pytest.param("report.json", "field", build_report(make_content()), id="top"),
        pytest.param("wells", "field", build_report(make_content())["wells"][0], id="wells"),
        pytest.param("timing_ms", "step", dict.fromkeys(STEPS), id="timing"),
    ],
)
def test_the_report_tables_are_the_report(heading: str, named: str, live: dict[str, Any]) -> None:
    table = rows("report.md", heading)
    assert table.pop(named)
    assert list(table) == list(live)
