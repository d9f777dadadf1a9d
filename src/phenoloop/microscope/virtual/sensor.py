"""How light becomes counts: shot noise, read noise, gain, offset and saturation, from a key that names the frame.

Shot and read noise are drawn as one number per pixel. A Cornish-Fisher expansion [1]_ turns a normal draw into one with
the mean, the variance and the skewness of "Poisson plus normal". It stands for the sum where the read noise blurs the
steps of the Poisson (one photoelectron or more) or where there are many photons. Elsewhere both are really drawn.

References
----------
.. [1] E. A. Cornish and R. A. Fisher, "Moments and cumulants in the specification of distributions", Revue de
   l'Institut International de Statistique 5, 307-320 (1938).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from phenoloop.ports import View

MANY_PHOTONS: Final = 24.0
"""From this mean on the expansion stands for the Poisson, whatever the read noise."""
SMOOTH_READ_NOISE: Final = 1.0
"""From this read noise on (photoelectrons) the expansion holds at any mean: the steps of the Poisson are blurred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A camera chip.

    Attributes
    ----------
    gain : float
        Counts per photoelectron.
    read_noise : float
        Standard deviation in photoelectrons.
    offset : float
        Counts of a pixel without light.
    top : int
        Largest count; brighter pixels saturate.
    """

    gain: float
    read_noise: float
    offset: float
    top: int = 65_535

    def expose(self, photons: NDArray[np.float32], key: tuple[int, ...]) -> NDArray[np.uint16]:
        """Return the frame that so much light leaves.

        Parameters
        ----------
        photons : ndarray of float32, shape (y, x)
            Expected photoelectrons, not negative.
        key : tuple of int
            Names the frame; the same key and light give the same counts.

        Returns
        -------
        ndarray of uint16, shape (y, x)
            Counts, rounded, between 0 and `top`.
        """
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))
        electrons = rng.standard_normal(photons.shape, dtype=np.float32)
        variance = photons + np.float32(max(self.read_noise**2, 1e-6))
        skew = photons / variance  # third cumulant over variance: 1 for a pure Poisson, 0 for pure read noise
        bend = skew * np.float32(1 / 6)
        spread = variance
        spread -= skew * bend * np.float32(1 / 3)  # what the quadratic term adds to the variance is taken out here
        np.sqrt(spread, out=spread)
        spread += bend * electrons
        electrons *= spread
        electrons -= bend
        electrons += photons
        if self.read_noise < SMOOTH_READ_NOISE:
            few = photons < MANY_PHOTONS
            mean = photons[few]
            electrons[few] = rng.poisson(mean) + self.read_noise * rng.standard_normal(mean.size)
        electrons *= np.float32(self.gain)
        electrons += np.float32(self.offset + 0.5)  # the cast below cuts; half a count makes it round
        np.clip(electrons, 0, self.top, out=electrons)
        return electrons.astype(np.uint16)


def noise_key(seed: int, view: View) -> tuple[int, ...]:
    """Return what the noise of a view depends on: the address of its frame, or the salt of a look that is no frame.

    The number of the visit is left out on purpose: it depends on the order of the visits, the picture must not.
    """
    address = view.address
    if address is None:
        name = f"look\0{view.config}\0{view.salt}"
    else:
        parts = (address.profile, address.well, address.field, address.channel, str(address.t), str(address.z))
        name = "\0".join(("frame", *parts))
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return (abs(seed), int(seed < 0), int.from_bytes(digest, "little"))
