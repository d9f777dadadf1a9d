"""What speaks for an object of Cellpose, on flows whose truth is known; no network is needed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from phenoloop.segmentation.cellpose import Cellpose
from phenoloop.segmentation.cellpose_trust import TRAITS, traits, trust
from phenoloop.segmentation.distance import towards_middle

Labels = NDArray[np.int32]


def disks(*centres: tuple[int, int], radius: float = 9.0) -> Labels:
    y, x = np.mgrid[:64, :96]
    labels = np.zeros((64, 96), np.int32)
    for number, (cy, cx) in enumerate(centres, start=1):
        labels[np.hypot(y - cy, x - cx) <= radius] = number
    return labels


def flows(labels: Labels, logit: float = 8.0) -> NDArray[np.float32]:
    """What a network that is sure would say of these objects."""
    way = towards_middle(labels)
    length = np.maximum(np.hypot(*way), 1e-6)
    return np.concatenate((5 * way / length, np.where(labels > 0, logit, -logit)[None])).astype(np.float32)


def column(found: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    return found[:, TRAITS.index(name)]


def test_a_sure_network_and_its_own_outlines() -> None:
    truth = disks((20, 20), (40, 60))
    found = traits(truth, flows(truth), np.array([0.0, 0.3]))
    assert found.shape == (2, len(TRAITS))
    assert column(found, "misfit").tolist() == [0.0, 0.3]
    assert column(found, "peak").tolist() == [8.0, 8.0]
    assert np.all(column(found, "outline") > 0.99)
    assert np.all(column(found, "sharpness") > 0.99)
    assert np.all(column(found, "pace") < 0.01)
    assert np.all(column(found, "roundness") < 0.02)
    first, second = trust(found, None)
    assert first == pytest.approx(1.0, abs=0.01)
    assert second == pytest.approx(1 / 1.3, abs=0.01)


@pytest.mark.parametrize(
    ("drawn", "logit", "trait"),
    [
        pytest.param(disks((30, 30), radius=6), 8.0, "outline", id="drawn-too-small"),
        pytest.param(disks((30, 30), radius=13), 8.0, "outline", id="drawn-too-large"),
        pytest.param(disks((30, 30)), 0.4, "sharpness", id="a-network-in-doubt"),
        pytest.param(disks((30, 30)), 0.4, "peak", id="nowhere-sure"),
    ],
)
def test_what_is_wrong_shows(drawn: Labels, logit: float, trait: str) -> None:
    truth = disks((30, 30))
    error = np.array([0.1])
    good = column(traits(truth, flows(truth), error), trait)[0]
    bad = column(traits(drawn, flows(truth, logit), error), trait)[0]
    assert bad < good
    assert trust(traits(drawn, flows(truth, logit), error), None) < trust(traits(truth, flows(truth), error), None)


def test_two_objects_in_one_outline_are_not_round() -> None:
    apart = disks((30, 20), (30, 70))
    joined = (apart > 0).astype(np.int32)
    alone = column(traits(apart, flows(apart), np.zeros(2)), "roundness")
    assert column(traits(joined, flows(apart), np.zeros(1)), "roundness")[0] > 5 * alone.max()


def test_a_near_neighbour_takes_nothing_from_an_object() -> None:
    touching = disks((30, 30), (30, 49))
    alone = disks((30, 30))
    both = traits(touching, flows(touching), np.zeros(2))[0]
    assert both == pytest.approx(traits(alone, flows(alone), np.zeros(1))[0], abs=0.01)


def test_fitted_weights_give_a_probability() -> None:
    truth = disks((20, 20), (40, 60))
    found = traits(truth, flows(truth), np.array([0.0, 0.3]))
    likely, unlikely = trust(found, (1.0, -10.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert likely == pytest.approx(1 / (1 + np.exp(-1)))
    assert unlikely == pytest.approx(1 / (1 + np.exp(2)))


def test_nothing_found_is_nothing_to_trust() -> None:
    nothing = np.zeros((64, 96), np.int32)
    found = traits(nothing, flows(nothing), np.zeros(0))
    assert found.shape == (0, len(TRAITS))
    assert trust(found, None).shape == (0,)


def test_weights_of_another_number_are_refused() -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Cellpose.Params(confidence=(0.0, 1.0))
