"""The table of a comparison: nothing of it is cut off, however narrow the terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from phenoloop.api import CompareResult
from phenoloop.cli import comparing
from phenoloop.studies.quality import Calls
from phenoloop.studies.simulator import Spent
from phenoloop.studies.study import Look, Record
from phenoloop.studies.summary import plain, row

CALLS = Calls(frozenset(), frozenset())


def record(frames: int, score: float, *, truth: bool = True) -> Record:
    spent = Spent(frames=frames, seconds=frames * 0.61, light_s=frames * 0.013)
    beside = {"top-k recall": score} if truth else {}
    return Record(seed=1, looks=(Look(spent=spent, score=score, beside=beside),), exit="", reason="enough")


def result(*, enough: int | None = 2, interrupted: bool = False, seeds: int = 20) -> dict[str, Any]:
    policy = plain(row("dose_response:{precision: 0.1}", "policy", [record(175, 0.71), record(283, 0.93)], CALLS))
    less = {axis: {"mean": 1.61, "low": 0.9, "high": 2.1} for axis in ("frames", "minutes", "light_s")}
    grid = {"grid": f"{enough} fields of every well", "grid_fields_per_well": enough, "times_less": less}
    grids = [plain(row(str(n), "grid", [record(96 * n, 0.8)] * 2, CALLS, n)) for n in (1, 2)]
    return {
        "title": "t",
        "interrupted": interrupted,
        "seeds": seeds,
        "quality": {"title": "F1 of the calls"},
        "rows": [policy if enough is None else {**policy, **grid}, *grids],
        "grids": grids,
        "baseline": {"curve": "grids", "enough": "the smallest grid that answers as well takes"},
    }


@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_is_cut_off(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    console.print(comparing._table(result(), console))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    words = set(text.split())
    assert {"frames", "minutes", "(s)"} <= words
    for number in ("0.82", "229", "2.33", "2.98"):
        assert number in words, number
    if width == 160:
        assert "229 [0, 915]" in text


@pytest.mark.parametrize(
    ("enough", "said"),
    [
        pytest.param(
            1, r"The least that was tried, 1 fields of every well, answers as well here", id="nothing to save"
        ),
        pytest.param(2, r"takes 2 fields of every well, 1.61 \[0.9, 2.1\] times its frames", id="a larger grid"),
        pytest.param(None, r"no grid answers as well. Ended because enough", id="no grid"),
    ],
)
def test_what_the_table_comes_to_is_said(
    enough: int | None, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    comparing.tell_comparison(CompareResult(result=result(enough=enough), folder=tmp_path))
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(said, text), text
    assert ("nothing for a policy to save" in text) == (enough == 1)


@pytest.mark.parametrize(
    ("seeds", "scores", "truth", "said"),
    [
        pytest.param(20, (0.7, 0.9), True, "", id="enough plates that differ"),
        pytest.param(1, (0.7,), True, "One plate shows little of what chance does", id="one plate"),
        pytest.param(3, (1.0, 1.0, 1.0), True, "3 plates show little of what chance does", id="three plates"),
        pytest.param(20, (1.0, 1.0), True, "no proof that it always is", id="the same on every plate"),
        pytest.param(20, (0.0, 1.0), False, "F1 says only whether anything was called", id="nothing to find"),
    ],
)
def test_bands_that_claim_nothing_say_so(seeds: int, scores: tuple[float, ...], truth: bool, said: str) -> None:
    rows = [plain(row("hits", "policy", [record(96, score, truth=truth) for score in scores], CALLS))]
    text = comparing._bands({"rows": rows, "seeds": seeds, "quality": {"title": CALLS.title}})
    tail = text.removeprefix(
        "Means over plates with their 95 % intervals. Minutes follow from the cost model of the microscope."
    )
    assert (said in tail) if said else tail == ""
