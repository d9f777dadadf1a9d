from __future__ import annotations

import numpy as np
import pytest

from phenoloop.training.scoring import OVERLAPS, agreement, auroc, overlaps, total

Rows = list[str]


def labels(rows: Rows) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array([[int(c) for c in row] for row in rows], dtype=np.int32)


TRUTH = ["1100220", "1100220", "0000000"]


@pytest.mark.parametrize(
    ("found", "precision_at_half", "precision_at_nine"),
    [
        pytest.param(TRUTH, 1.0, 1.0, id="equal"),
        pytest.param(["9900550", "9900550", "0000000"], 1.0, 1.0, id="numbers-do-not-matter"),
        pytest.param(["0000000"] * 3, 0.0, 0.0, id="nothing-found"),
        pytest.param(["1100000", "1100000", "0000000"], 0.5, 0.5, id="one-missed"),
        pytest.param(["1100220", "1100220", "0330000"], 2 / 3, 2 / 3, id="one-invented"),
        pytest.param(["1100220", "1000220", "0000000"], 1.0, 1 / 3, id="three-quarters"),
        pytest.param(["1111110", "1111110", "0000000"], 0.0, 0.0, id="merged"),
        pytest.param(["1200330", "1200330", "0000000"], 2 / 3, 1 / 4, id="halves-match-once"),
    ],
)
def test_precision(found: Rows, precision_at_half: float, precision_at_nine: float) -> None:
    precision = agreement(labels(TRUTH), labels(found)).precision()
    assert precision[0] == pytest.approx(precision_at_half)
    assert precision[-1] == pytest.approx(precision_at_nine)


def test_nothing_in_nothing_is_right() -> None:
    empty = labels(["000", "000"])
    assert agreement(empty, empty).precision().tolist() == [1.0] * len(OVERLAPS)
    assert agreement(empty, empty).f1().tolist() == [1.0] * len(OVERLAPS)


def test_counts_add_up() -> None:
    one, other = agreement(labels(TRUTH), labels(TRUTH)), agreement(labels(TRUTH), labels(["0000000"] * 3))
    whole = total([one, other])
    assert (whole.true, whole.found) == (4, 2)
    assert whole.precision()[0] == pytest.approx(0.5)
    assert whole.f1()[0] == pytest.approx(2 * 2 / 6)


def test_overlaps_are_by_label() -> None:
    found = overlaps(labels(["1130"]), labels(["2220"]))
    assert found.tolist() == [[pytest.approx(2 / 3)], [pytest.approx(1 / 3)]]


@pytest.mark.parametrize(
    ("scores", "right", "area"),
    [
        pytest.param([0.9, 0.8, 0.2], [1, 1, 0], 1.0, id="sorted"),
        pytest.param([0.1, 0.2, 0.8], [1, 1, 0], 0.0, id="reversed"),
        pytest.param([0.5, 0.5], [1, 0], 0.5, id="tie"),
        pytest.param([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0], 0.875, id="half-a-tie"),
        pytest.param([0.9, 0.8], [1, 1], None, id="one-kind"),
    ],
)
def test_auroc(scores: list[float], right: list[int], area: float | None) -> None:
    assert auroc(np.array(scores), np.array(right, dtype=bool)) == area
