"""The numbers by which a frame is judged: what each means, which direction is bad, and which readouts it would echo."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SHAPE: Final = frozenset({"shape", "outline", "moments", "zernike"})
LIGHT: Final = frozenset({"intensity", "quantiles", "compartments", "colocalisation"})
TEXTURE: Final = frozenset({"texture", "granularity", "radial", "zernike_light"})
SEGMENTATION: Final = frozenset({"segmentation"})

AUTO_DISTANCE: Final = 1.5
"""What ``out_of_distribution: auto`` allows. Measured by ``benchmarks/trust.py`` (docs/trust.md)."""
AUTO_COUNT_DROP: Final = 0.7
"""What ``count_drop: auto`` allows: fewer than three in ten of the expected objects, in three wells in succession."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of `Measured.quality` that fields are compared with controls by.

    Attributes
    ----------
    name : str
        Its key.
    text : str
        What it is.
    bad : str
        Which deviation from the controls counts: ``"low"``, ``"high"`` or ``"both"``.
    floor : float
        Smallest standard deviation among controls that is believed, after the logarithm. For what treatments change
        (size, brightness) it is wide: twice the size is another objective, a third more is a phenotype.
    offset : float or None
        The number is compared as log2(number + offset); None: as it is.
    echoes : frozenset of str
        Families of object features that this number would follow: where the question's readout is made of one of
        them, the metric is left out, or the gate would select on the answer.
    """

    name: str
    text: str
    bad: str
    floor: float
    offset: float | None = None
    echoes: frozenset[str] = frozenset()

    def scaled(self, value: float | None) -> float | None:
        """Return the number as it is compared; None where it is unknown."""
        if value is None or self.offset is None:
            return value
        return math.log2(max(value, 0.0) + self.offset)


METRICS: Final[tuple[Metric, ...]] = (
    Metric(name="focus", text="fine over coarse detail, freed from noise", bad="low", floor=0.02, echoes=TEXTURE),
    Metric(
        name="plateau",
        text="share of pixels at the frame's own maximum",
        bad="high",
        floor=0.5,
        offset=1e-3,
        echoes=LIGHT,
    ),
    Metric(name="range", text="(99.5 % quantile - median) / noise", bad="low", floor=0.5, offset=0.5, echoes=LIGHT),
    Metric(
        name="contrast", text="(median object - background) / noise", bad="low", floor=0.5, offset=0.5, echoes=LIGHT
    ),
    Metric(name="uneven", text="spread of the background over blocks / contrast", bad="high", floor=0.3, offset=0.03),
    Metric(name="unexplained", text="bright pixels outside of objects / theirs", bad="high", floor=0.25, offset=0.03),
    Metric(
        name="sharpness",
        text="slope of the outlines / contrast, 1/px",
        bad="low",
        floor=0.1,
        offset=0.01,
        echoes=TEXTURE,
    ),
    Metric(
        name="sharpness_low",
        text="the same of the softest fifth, 1/px",
        bad="low",
        floor=0.1,
        offset=0.01,
        echoes=TEXTURE,
    ),
    Metric(name="edge", text="sharpness times diameter", bad="low", floor=0.15, offset=0.3, echoes=TEXTURE | SHAPE),
    Metric(name="roughness", text="squared outline / area", bad="high", floor=0.1, offset=1.0, echoes=SHAPE),
    Metric(name="size", text="median diameter of the objects, px", bad="both", floor=0.25, offset=1.0, echoes=SHAPE),
    Metric(name="spread", text="spread of log2 of the areas", bad="high", floor=0.2, echoes=SHAPE),
    Metric(
        name="confidence",
        text="mean confidence of the segmenter in its objects",
        bad="low",
        floor=0.03,
        echoes=SEGMENTATION,
    ),
)
"""In the order in which they are shown."""


def compared(families: Iterable[str], *, same_channel: bool) -> tuple[str, ...]:
    """Return the names of the metrics that do not echo a readout.

    Parameters
    ----------
    families : iterable of str
        Families of the features that the readout names.
    same_channel : bool
        Whether it looks at the light of the channel that is segmented, which is the one the metrics look at.
    """
    asked = frozenset(families)
    if not same_channel:
        asked -= LIGHT | TEXTURE
    return tuple(metric.name for metric in METRICS if not metric.echoes & asked)
