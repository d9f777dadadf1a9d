"""How many fields one trip to a well should bring: more where getting there takes long beside an image."""

from __future__ import annotations

import itertools
import math
from typing import Final

from phenoloop.model import Setup

MOST: Final = 4
"""Fields of one trip at most: beyond, images are spent on wells that one of them would have settled."""
_PRICE: Final = 0.2
"""Share of images by which each further field of a trip makes the answer dearer (simulated, 96 and 384 wells)."""
_TYPICAL_JUMP_WELLS: Final = 3.0
"""Wells between two stops of a routed batch, roughly (a batch of 16 on 384 wells)."""


def trip_and_field_s(setup: Setup) -> tuple[float, float]:
    """Return the seconds that a trip adds to those of its fields, and those that each field takes.

    From the costs of the hardware and the profile ``main``: stage, settling, autofocus; exposures, readout, channel
    changes and the step from the field before. The first field of a trip needs no such step, so the trip adds less.
    """
    profile = setup.profiles["main"]
    cost = setup.cost
    pitch = math.inf
    corners = [(places[0].x_um, places[0].y_um) for places in setup.places if places]
    for a, b in itertools.pairwise(corners):
        pitch = min(pitch, max(abs(a[0] - b[0]), abs(a[1] - b[1])) or math.inf)
    jump_s = cost.move_s(_TYPICAL_JUMP_WELLS * pitch, 0.0) if math.isfinite(pitch) else 0.0
    places = next(iter(setup.places))
    step_s = min((cost.move_s(a.x_um - b.x_um, a.y_um - b.y_um) for a, b in itertools.pairwise(places)), default=0.0)
    trip_s = max(0.0, jump_s - step_s)
    exposures_s = sum(channel.exposure_ms for channel in profile.channels) / 1000
    frames_s = profile.frames_per_field * cost.readout_s + len(profile.channels) * cost.channel_s
    field_s = step_s + exposures_s * profile.planes + frames_s
    focus = profile.autofocus
    if focus is None:
        return trip_s, field_s
    looks = [channel.exposure_ms / 1000 for channel in profile.channels if channel.name == focus.channel]
    sweep_s = focus.planes * (sum(looks) + cost.readout_s + cost.z_s)
    return (trip_s, field_s + sweep_s) if focus.when == "each_field" else (trip_s + sweep_s, field_s)


def fields_of_a_visit(setup: Setup) -> int:
    """Return how many fields a trip should bring; 1 where costs are not known.

    With ``m`` fields a trip the answer takes ``1 + p (m - 1)`` times the images, and each image ``trip / m + field``
    seconds; the product is least at ``m = sqrt((1 - p) / p * trip / field)``.
    """
    if "main" not in setup.profiles or not setup.places:
        return 1
    trip_s, field_s = trip_and_field_s(setup)
    if field_s <= 0:
        return 1
    return max(1, min(MOST, round(math.sqrt((1 - _PRICE) / _PRICE * trip_s / field_s))))
