"""The virtual camera's noise has the moments and, where it matters, the distribution of photons and read noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from phenoloop.microscope.virtual.sensor import Sensor


def exposed(mean: float, *, gain: float = 1.0, read_noise: float = 3.0, key: int = 1) -> np.ndarray:
    sensor = Sensor(gain=gain, read_noise=read_noise, offset=1000)
    photons = np.full((400, 500), mean, np.float32)
    return sensor.expose(photons, (key,)).astype(np.float64) - 1000


@pytest.mark.parametrize("read_noise", [0.0, 0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("mean", [0.0, 0.3, 2.0, 9.0, 23.0, 25.0, 400.0, 20_000.0])
def test_mean_variance_and_skewness(mean: float, read_noise: float) -> None:
    electrons = exposed(mean, read_noise=read_noise)
    n, variance = electrons.size, mean + read_noise**2
    rounded = variance + (1 / 12 if read_noise > 0 or mean > 24 else 0)  # counts are whole numbers
    assert electrons.mean() == pytest.approx(mean, abs=5 * np.sqrt(rounded / n) + 0.01)
    assert electrons.var() == pytest.approx(rounded, rel=0.03, abs=0.01)
    if variance > 2:
        assert stats.skew(electrons, axis=None) == pytest.approx(mean / variance**1.5, abs=0.04)


@pytest.mark.parametrize(
    ("mean", "read_noise"),
    [
        pytest.param(0.2, 0.0, id="hardly any light, perfect camera"),
        pytest.param(3.0, 0.4, id="single photons are counted"),
        pytest.param(0.5, 1.0, id="few photons, read noise of one electron"),
        pytest.param(5.0, 1.6, id="few photons, a scientific camera"),
        pytest.param(30.0, 0.0, id="many photons"),
    ],
)
def test_distribution_is_that_of_photons_and_read_noise(mean: float, read_noise: float) -> None:
    rng = np.random.default_rng(7)
    real = np.rint(rng.poisson(mean, 200_000) + read_noise * rng.standard_normal(200_000))
    assert stats.ks_2samp(exposed(mean, read_noise=read_noise).ravel(), real).statistic < 0.012


def test_gain_is_the_slope_of_variance_against_mean() -> None:
    means = np.array([20.0, 100.0, 500.0, 2000.0])
    frames = [exposed(mean, gain=2.5) for mean in means]
    slope, at_zero = np.polyfit([frame.mean() for frame in frames], [frame.var() for frame in frames], 1)
    assert slope == pytest.approx(2.5, rel=0.02)
    assert at_zero == pytest.approx((2.5 * 3) ** 2, abs=40)


def test_pixels_are_independent() -> None:
    noise = exposed(100.0) - 100
    for shifted in (noise[:, 1:] * noise[:, :-1], noise[1:] * noise[:-1]):
        assert abs(shifted.mean()) < 5 * noise.var() / np.sqrt(noise.size)
    assert abs(np.corrcoef(exposed(100.0, key=1).ravel(), exposed(100.0, key=2).ravel())[0, 1]) < 0.02


def test_counts_saturate_and_never_wrap() -> None:
    sensor = Sensor(gain=1.0, read_noise=5.0, offset=3)
    photons = np.zeros((50, 100), np.float32)
    photons[:, 50:] = 1e6
    frame = sensor.expose(photons, (1,))
    assert frame.dtype == np.uint16
    assert (frame[:, 50:] == 65_535).all()
    assert frame[:, :50].max() < 60
    assert (frame[:, :50] == 0).any()
