"""Events of the synthetic specimen: when each cell flares up, as a pure function of seed, place and time.

Time is cut into bins; in each bin each cell has one chance to begin. So the state of a cell at any moment follows from
the few bins before it, whichever was looked at first, and replay and resume see the same events.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from phenoloop.microscope.virtual.cells import Array
from phenoloop.protocol.base import StrictModel
from phenoloop.protocol.quantities import Duration


class FlareParams(StrictModel):
    """Keys of ``events:``: now and then the nucleus of a cell condenses and shines, as in a division.

    Attributes
    ----------
    per_cell_and_hour : float
        Rate at which events begin.
    lasts : float
        Seconds from its beginning to its end.
    precursor : float
        Seconds before the beginning during which the stain brightens already, evenly up to halfway.
    brighter : float
        Nuclear stain during the event, relative to before.
    """

    per_cell_and_hour: float = Field(ge=0, le=60, allow_inf_nan=False, description="rate at which events begin")
    lasts: Duration = Field(default=300.0, gt=0, description="from the beginning of an event to its end")
    precursor: Duration = Field(default=60.0, description="time before it during which the stain brightens already")
    brighter: float = Field(default=3.0, ge=1, le=50, description="nuclear stain during the event, relative to before")

    @property
    def bin_s(self) -> float:
        """Width of a time bin, in which a cell has at most one event."""
        return self.precursor + self.lasts


def onsets(flares: FlareParams, uniforms: Array, bin_number: int) -> Array:
    """Return when the event of each cell begins in a bin, in seconds; NaN where it has none.

    Parameters
    ----------
    flares : FlareParams
        Rate and lengths.
    uniforms : ndarray of float64, shape (n, 2)
        Chance of each cell in this bin.
    bin_number : int
        From 0 at the beginning of the run clock; may be negative.
    """
    chance = -math.expm1(-flares.per_cell_and_hour * flares.bin_s / 3600)
    begins = (bin_number + uniforms[:, 1]) * flares.bin_s
    return np.where(uniforms[:, 0] < chance, begins, np.nan)


def brightness(flares: FlareParams, begins: Array, at_s: float) -> Array:
    """Return the factor by which each cell's stain is brighter at a time, given when its event begins.

    Parameters
    ----------
    flares : FlareParams
        Lengths and height.
    begins : ndarray of float64, shape (n,)
        Seconds; NaN is no event.
    at_s : float
        Run clock.
    """
    since = at_s - begins
    going_on = (since >= 0) & (since < flares.lasts)
    height = flares.brighter - 1
    rise = np.zeros_like(begins)
    if flares.precursor > 0:
        rise = np.where((since < 0) & (since >= -flares.precursor), 0.5 * (1 + since / flares.precursor), 0.0)
    return 1 + height * np.where(going_on, 1.0, rise)
