"""The diagram in ``docs/loop.md`` is the table in the code. Run this file to write it anew."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from phenoloop.core import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "loop.md"
BEGIN, END = "<!-- phases -->\n", "<!-- /phases -->"


def drawn() -> str:
    """The table as Markdown: one row per phase, its inputs in the order of the table."""
    rows: dict[str, list[str]] = defaultdict(list)
    for phase, happened in TRANSITIONS:
        rows[phase.value].append(f"`{happened.__name__}`")
    lines = ["| phase | may hear |", "| --- | --- |"]
    return "\n".join(lines + [f"| {phase} | {', '.join(inputs)} |" for phase, inputs in rows.items()]) + "\n"


def test_the_diagram_is_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0] == drawn()


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    PAGE.write_text(head + BEGIN + drawn() + END + rest.split(END)[1], encoding="utf-8")
