"""Retrieval of replicates: average precision by its definition, and a test that calls nothing out of nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from phenoloop.numerics.replicates import average_precision, replication, retrieval, similarities


@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        pytest.param([1, 1, 0, 0], 1.0, id="all-first"),
        pytest.param([0, 0, 1, 1], (1 / 3 + 2 / 4) / 2, id="all-last"),
        pytest.param([1, 0, 1, 0, 0, 1], (1 + 2 / 3 + 3 / 6) / 3, id="spread"),
        pytest.param([0, 0, 0], 0.0, id="none"),
    ],
)
def test_average_precision_by_hand(ranking: list[int], expected: float) -> None:
    assert average_precision([ranking])[0] == pytest.approx(expected)


def test_similarity_is_the_cosine() -> None:
    rows = np.random.default_rng(41).normal(size=(5, 7))
    found = similarities(rows)
    for i, j in itertools.product(range(5), repeat=2):
        expected = rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
        assert found[i, j] == pytest.approx(expected, abs=1e-8)
    assert not similarities(np.zeros((2, 3))).any()


def by_loops(rows: np.ndarray, own: tuple[int, ...], pool: range) -> float:
    found = []
    for query in own:
        others = [k for k in pool if k != query]
        cosine = {k: rows[query] @ rows[k] / np.linalg.norm(rows[query]) / np.linalg.norm(rows[k]) for k in others}
        order = sorted(others, key=lambda k: -cosine[k])
        ranks = [place for place, k in enumerate(order, 1) if k in own]
        found.append(np.mean([(i + 1) / rank for i, rank in enumerate(ranks)]))
    return float(np.mean(found))


def test_retrieval_and_its_test_by_loops_over_all_groups() -> None:
    rows = np.random.default_rng(42).normal(size=(8, 5))
    rows[6:] += 1.5
    found = retrieval(rows, {"drug": [6, 7], "alone": [3]}, range(6), np.random.default_rng(0))
    assert list(found) == ["drug"]
    every = [by_loops(rows, own, range(8)) for own in itertools.combinations(range(8), 2)]
    assert found["drug"].precision == pytest.approx(by_loops(rows, (6, 7), range(8)))
    assert found["drug"].by_chance == pytest.approx(np.mean(every))
    assert found["drug"].p == pytest.approx(np.mean([value >= every[-1] - 1e-12 for value in every]))


def world(seed: int, effect: float, treatments: int = 8, wells: int = 4, controls: int = 24) -> tuple[np.ndarray, dict]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(controls + treatments * wells, 50))
    groups = {}
    for t in range(treatments):
        groups[f"drug {t}"] = list(range(controls + t * wells, controls + (t + 1) * wells))
        rows[groups[f"drug {t}"]] += effect * rng.normal(size=50)
    return rows, groups


def test_strong_treatments_are_found_again() -> None:
    rows, groups = world(43, effect=1.0)
    found = retrieval(rows, groups, range(24), np.random.default_rng(1))
    assert all(each.called and each.precision > 0.8 and each.p < 0.001 for each in found.values())
    assert all(each.by_chance == pytest.approx(0.21, abs=0.05) for each in found.values())
    percent = replication(rows, groups, np.random.default_rng(1))
    assert percent is not None
    assert (percent.share, percent.treatments) == (1.0, 8)


def test_nothing_is_called_out_of_nothing() -> None:
    """p under 5 % in 5 % of the treatments that do nothing; percent replicating about 5 %."""
    p, share = [], []
    for seed in range(100, 130):
        rows, groups = world(seed, effect=0.0)
        found = retrieval(rows, groups, range(24), np.random.default_rng(seed), draws=400)
        p += [each.p for each in found.values()]
        percent = replication(rows, groups, np.random.default_rng(seed), draws=300)
        assert percent is not None
        share.append(percent.share)
    under = np.mean(np.array(p) <= 0.05)
    assert 0.015 < under < 0.095  # 240 tests: 99 % of what 5 % gives
    assert 0.015 < np.mean(share) < 0.095


def test_the_same_chance_gives_the_same_answer() -> None:
    rows, groups = world(44, effect=0.3)
    found = [retrieval(rows, groups, range(24), np.random.default_rng(3)) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("groups", "controls"),
    [
        pytest.param({"a": [4], "b": [5]}, range(4), id="single-wells"),
        pytest.param({"a": [4, 5]}, [], id="no-controls"),
        pytest.param({}, range(4), id="no-treatments"),
    ],
)
def test_nothing_to_compare(groups: dict[str, list[int]], controls: list[int]) -> None:
    rows = np.random.default_rng(45).normal(size=(6, 3))
    assert retrieval(rows, groups, controls, np.random.default_rng(0)) == {}
    assert replication(rows, groups, np.random.default_rng(0)) is None
