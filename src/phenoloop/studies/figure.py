"""The figure of a study: quality of the answer against frames, minutes and light, with bands over plates."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from phenoloop.studies.summary import AXES

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of policies; distinguishable with any colour vision (Okabe and Ito, 2008)."""
LINES: Final = ("-", "--", "-.")
"""Of policies; told apart on a grey print too."""
GRID: Final = "#555555"


def draw(result: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Draw the figure into files, each in the format of its suffix.

    Parameters
    ----------
    result : mapping
        Content of ``compare.json``.
    paths : sequence of Path
        ``*.png``, ``*.svg``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # Text stays text, and nothing of the time or of chance: equal studies make equal files.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "phenoloop", "font.size": 9}):
        figure, panels = pyplot.subplots(1, len(AXES), figsize=(11, 4.2), sharey=True, layout="constrained")
        for panel, (axis, (title, _)) in zip(panels, AXES.items(), strict=True):
            _panel(panel, axis, result)
            panel.set_xlabel(title)
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_xlim(left=0)
        better = "higher is better" if result["quality"]["higher"] else "lower is better"
        panels[0].set_ylabel(textwrap.fill(f"{result['quality']['title']} ({better})", 44))
        if result["quality"]["higher"]:  # a share or a correlation; a band of a mean may reach beyond either end
            least = min((y for one in result["curves"].values() for y in one["frames"]["mean"]), default=0.0)
            panels[0].set_ylim(min(0.0, least) - 0.03, 1.03)
        panels[0].plot([], [], "o", color="black", markersize=6, label="where its runs end, on average")
        if any(one["frames"]["low"][:1] not in ([], [None]) for one in result["curves"].values()):
            panels[0].fill_between([], [], color="black", alpha=0.18, linewidth=0, label="95 % interval over plates")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
        figure.suptitle("\n".join(textwrap.wrap(result["title"], 130)), fontsize=9.5)
        for path in paths:
            figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def _panel(panel: Any, axis: str, result: Mapping[str, Any]) -> None:
    grids = [found for found in result["grids"] if found["score"] is not None]
    if grids:
        at = [found["cost"][axis]["mean"] for found in grids]
        panel.plot(
            at,
            [found["score"]["mean"] for found in grids],
            color=GRID,
            linestyle=":",
            marker="s",
            markersize=4,
            label=result["baseline"]["curve"],
        )
        if all(found["score"]["low"] is not None for found in grids):
            low, high = ([found["score"][end] for found in grids] for end in ("low", "high"))
            panel.fill_between(at, low, high, color=GRID, alpha=0.12, linewidth=0)
        for one in (grids[0], grids[-1]):
            panel.annotate(
                one["name"],
                (one["cost"][axis]["mean"], one["score"]["mean"]),
                textcoords="offset points",
                xytext=(0, 5 if result["quality"]["higher"] and one["score"]["mean"] < 0.1 else -12),
                ha="center",
                fontsize=8,
                color=GRID,
            )
    for number, (name, curves) in enumerate(result["curves"].items()):
        colour, found = COLOURS[number % len(COLOURS)], curves[axis]
        if not found["at"]:
            continue
        # An answer holds until the next one: steps, not slopes.
        panel.plot(
            found["at"],
            found["mean"],
            color=colour,
            label=name,
            linewidth=1.8,
            linestyle=LINES[number % len(LINES)],
            drawstyle="steps-post",
        )
        if found["low"][0] is not None:
            panel.fill_between(
                found["at"], found["low"], found["high"], color=colour, alpha=0.18, linewidth=0, step="post"
            )
        end = next(one for one in result["rows"] if one["name"] == name and one["kind"] == "policy")
        if end["score"] is not None:
            panel.plot(end["cost"][axis]["mean"], end["score"]["mean"], "o", color=colour, markersize=6)
