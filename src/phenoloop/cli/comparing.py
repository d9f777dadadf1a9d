"""`compare` in the terminal: how far it is, and the table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from phenoloop import api
from phenoloop.api import CompareResult
from phenoloop.studies.quality import Calls
from phenoloop.watch.verdict import number

_WIDTH: Final = 160
"""Columns where the output is no terminal."""
FEW: Final = 5
"""Plates below which an interval over them is too wide, or by luck too narrow, to go by."""
_ENDLESS: Final = 10_000
"""More columns than any table takes."""


def carry_out_comparison(
    subject: Path, *, policies: Sequence[str], seeds: int | None, whole: bool, out: Path | None
) -> CompareResult:
    """Compare, with a bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def on_step(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return api.compare(subject, policies=policies, seeds=seeds, whole=whole, out=out, on_step=on_step)


def tell_comparison(result: CompareResult) -> None:
    """Print the table, what it says in a sentence per policy, and where the figure is."""
    found = result.result
    terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if terminal else _WIDTH, highlight=False)
    console.print(f"{found['title']}.")
    console.print(_table(found, console))
    for row in found["rows"]:
        if row["kind"] == "policy":
            console.print(_sentence(row, found))
    policies = [row for row in found["rows"] if row["kind"] == "policy"]
    least = min((one["fields_per_well"] for one in found["grids"]), default=0)
    if len(found["grids"]) > 1 and all(row["grid_fields_per_well"] == least for row in policies):
        console.print(
            f"The least that was tried, {policies[0]['grid']}, answers as well here, so there is nothing for a policy "
            "to save: its further images went into being sure, which this number does not see."
        )
    console.print(_bands(found))
    for name in ("compare.png", "compare.svg", "compare.json"):
        console.print(str(result.folder / name), soft_wrap=True)


def _bands(found: Mapping[str, Any]) -> str:
    """Say what the bands claim, and where they claim nothing."""
    said = "Means over plates with their 95 % intervals. Minutes follow from the cost model of the microscope."
    scores = [row["score"] for row in found["rows"] if row["score"] is not None]
    if found["seeds"] < FEW:
        few = "One plate shows" if found["seeds"] == 1 else f"{found['seeds']} plates show"
        said += f" {few} little of what chance does: a difference may be luck; --seeds 20 tells."
    elif any(band["low"] == band["high"] for band in scores):
        said += " A score without an interval was the same on every plate; that is no proof that it always is."
    if found["quality"]["title"] == Calls.title and not any(row["beside"] for row in found["rows"]):
        said += " No plate held a well with an effect worth calling, so F1 says only whether anything was called."
    return said


def _table(found: Mapping[str, Any], console: Console) -> Table:
    """Return the table in one line a row, or where that is too wide, with the intervals below the means."""
    table = _lines(found, " ")
    if console.measure(table, options=console.options.update_width(_ENDLESS)).maximum <= console.width:
        return table
    return _lines(found, "\n", widest=12)


def _lines(found: Mapping[str, Any], between: str, widest: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False)
    beside = list(dict.fromkeys(name for row in found["rows"] for name in row["beside"]))
    table.add_column("policy", overflow="fold", min_width=None if widest else 32)
    for name in (found["quality"]["title"], *beside, "frames", "minutes", "light (s)"):
        table.add_column(name, justify="right", overflow="fold", max_width=widest)
    for row in found["rows"]:
        cells = [_band(row["score"], between), *(_band(row["beside"].get(name), between) for name in beside)]
        cells += [_band(row["cost"][axis], between) for axis in ("frames", "minutes", "light_s")]
        table.add_row(row["name"], *cells)
    return table


def _band(band: Mapping[str, float | None] | None, between: str = " ") -> str:
    if band is None:
        return "–"
    ends = {number(end) for end in (band["low"], band["high"]) if end is not None}
    if ends <= {number(band["mean"])}:  # no second plate, or no difference between them that could be read
        return number(band["mean"])
    return f"{number(band['mean'])}{between}[{number(band['low'])}, {number(band['high'])}]".replace("[", "\\[")


def _sentence(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    name = row["name"].replace("[", "\\[")
    first, *others = row["reasons"]
    ended = first + (f" (in other words on {len(others)} more)" if others else "")
    if row["score"] is None:
        return f"{name}: some plates were left without an answer. Ended because {ended}."
    if row["times_less"] is None:
        grids = "there are no grids to hold it against" if not found["grids"] else "no grid answers as well"
        return f"{name}: {grids}. Ended because {ended}."
    less = {axis: row["times_less"][axis] for axis in ("frames", "minutes", "light_s")}
    return (
        f"{name}: {found['baseline']['enough']} {row['grid']}, "
        f"{_band(less['frames'])} times its frames, {_band(less['minutes'])} times its minutes and "
        f"{_band(less['light_s'])} times its light. Ended because {ended}."
    )
