"""The plate in a terminal: a cell per well, its mean as a colour or a digit, its call as a sign, as wide as it fits."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.text import Text

from phenoloop.model import Setup
from phenoloop.watch.feed import Feed
from phenoloop.watch.plain import encodable
from phenoloop.watch.plate_map import colour, hex_colour, ink_on, row_name, shares
from phenoloop.watch.verdict import number
from phenoloop.watch.well_value import SIGNS


def draw_plate(console: Console, feed: Feed, setup: Setup | None) -> RenderableType | None:
    """Return the plate as far as the run knows it; None where the terminal is too narrow for it.

    Parameters
    ----------
    console : rich.console.Console
        Says how wide it is, which colours it has and which signs it can write.
    feed : Feed
        Its lock is held by the caller.
    setup : Setup or None
        Of the run: which wells are controls, and which readout the question is about.
    """
    plan = feed.tally.plan
    rows = sorted({well.row for well in plan.wells})
    columns = range(min(w.column for w in plan.wells), max(w.column for w in plan.wells) + 1)
    width = 3 if 3 * len(columns) + 4 <= console.width else 1
    if width * len(columns) + 4 > console.width:
        return None
    readout = plan.readouts[0] if plan.readouts else None
    if setup is not None and setup.readout in plan.readouts:
        readout = setup.readout
    means = {name: well.mean(readout) if readout else None for name, well in feed.tally.wells.items()}
    share, answer = shares(means), feed.answer()
    controls = () if setup is None else setup.controls
    places = {(well.row, well.column): well.name for well in plan.wells}
    lines = [_text(console, "   " + "".join(f"{column + 1:>{width}}"[-width:] for column in columns), "dim")]
    for row in rows:
        line = Text()
        line.append(f"{row_name(row):>2} ", "dim")
        for column in columns:
            name = places.get((row, column))
            if name is None:
                line.append(" " * width)
                continue
            seen = bool(feed.tally.wells[name].visits)
            call = answer.wells[name].call if answer is not None and share[name] is not None else None
            sign = "c" if name in controls else SIGNS[call]
            line.append_text(_well(console, sign, share[name], width, seen=seen))
        lines.append(line)
    known = [mean for mean in means.values() if mean is not None]
    if readout and known:
        span = f"{readout} {number(min(known))} to {number(max(known))}"
        lines.append(_text(console, f"   {span}{', c control' if controls else ''}", "dim"))
    return Group(*lines)


def _well(console: Console, sign: str, share: float | None, width: int, *, seen: bool) -> Text:
    if share is None:
        return _text(console, (sign or ("-" if seen else "·")).center(width), "dim")
    rgb = colour(share)
    style = Style(color=hex_colour(ink_on(rgb)), bgcolor=hex_colour(rgb), bold=True)
    # Without colour the share is told by a digit, from 0 (lowest mean) to 9.
    digit = str(min(9, int(share * 10))) if console.color_system is None else ""
    return _text(console, (sign or digit or " ").center(width), style)


def _text(console: Console, text: str, style: str | Style = "") -> Text:
    return Text(encodable(text, console.encoding), style=style)
