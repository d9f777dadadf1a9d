"""`report --story` in the terminal."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from phenoloop.watch.story import Story
from phenoloop.watch.story_text import story_lines

_STYLES: Final = {"title": "bold", "head": "bold cyan", "text": "", "denied": "yellow"}


def tell_story(story: Story) -> None:
    """Print a story; plain lines, unwrapped, where the output is no terminal."""
    terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, highlight=False)
    for line in story_lines(story):
        if line.kind == "head":
            console.print()
        text = Text(line.text, style=_STYLES[line.kind])
        if terminal:
            console.print(Padding(text, (0, 0, 0, 2 * line.indent)))
        else:
            console.print(" " * (2 * line.indent), text, sep="", soft_wrap=True)
