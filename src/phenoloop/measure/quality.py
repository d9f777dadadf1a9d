"""Whether a field may be used at all. Looks at the image and the number of objects, never at a readout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import QualityPlan

Quality = dict[str, float | None]


def saturated_share(image: NDArray[Any], bit_depth: int | None) -> float | None:
    """Return the share (0..1) of pixels at or above the largest value the camera can give.

    Parameters
    ----------
    image : ndarray
        A frame.
    bit_depth : int or None
        Of the camera; a 12-bit camera saturates at 4095 in a 16-bit frame. None: the whole range of the dtype.

    Returns
    -------
    float or None
        None where no largest value is known: floats without a bit depth.
    """
    if bit_depth is not None:
        limit = 2**bit_depth - 1
    elif image.dtype.kind in "ui":
        limit = int(np.iinfo(image.dtype).max)
    else:
        return None
    return float(np.count_nonzero(image >= limit)) / image.size


def gate(
    plan: QualityPlan,
    *,
    objects: int | None,
    saturated: Mapping[str, float | None],
    focus: float | None,
    confidence: float | None = None,
) -> str:
    """Return why a field is rejected, empty if it is accepted; what is unknown rejects nothing.

    Parameters
    ----------
    plan : QualityPlan
        Gates; None switches one off.
    objects : int or None
        Number of objects, None without a segmentation.
    saturated : mapping of str to float or None
        Share of saturated pixels per channel.
    focus : float or None
        Score of the segmentation channel.
    confidence : float or None
        Mean of the segmenter's confidence in its objects; None where it says nothing, or found none.
    """
    reasons = []
    if plan.min_objects is not None and objects is not None and objects < plan.min_objects:
        reasons.append(f"{objects} objects, at least {plan.min_objects} are asked for")
    for channel, share in saturated.items():
        if plan.max_saturated is not None and share is not None and share > plan.max_saturated:
            reasons.append(f"{share:.2%} of {channel} is saturated, at most {plan.max_saturated:.2%} is allowed")
    if plan.min_focus is not None and focus is not None and focus < plan.min_focus:
        reasons.append(f"focus score {focus:.3f}, at least {plan.min_focus:.3f} is asked for")
    if plan.min_confidence is not None and confidence is not None and confidence < plan.min_confidence:
        reasons.append(f"mean confidence {confidence:.2f}, at least {plan.min_confidence:.2f} is asked for")
    return "; ".join(reasons)
