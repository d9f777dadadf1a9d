"""All private names of pymmcore-plus that we rely on; it is pinned to ``>=0.18.1,<0.19`` because of this page.

`EventCombiner` and `SequencedEvent` are how pymmcore-plus itself merges events into hardware sequences; the public
door to them (`MDAEngine.event_iterator`) looks one event ahead, which a closed loop cannot afford.
"""

from __future__ import annotations

from typing import Final

from pymmcore_plus.core._sequencing import EventCombiner, SequencedEvent

PRIVATE_NAMES: Final[tuple[tuple[str, str], ...]] = (
    ("pymmcore_plus.core._sequencing:EventCombiner", "feed_event"),
    ("pymmcore_plus.core._sequencing:EventCombiner", "flush"),
    ("pymmcore_plus.core._sequencing:SequencedEvent", "events"),
    ("pymmcore_plus.core._sequencing:SequencedEvent", "exposure_sequence"),
    ("pymmcore_plus.core._sequencing:SequencedEvent", "x_sequence"),
    ("pymmcore_plus.core._sequencing:SequencedEvent", "y_sequence"),
    ("pymmcore_plus.core._sequencing:SequencedEvent", "z_sequence"),
    ("pymmcore_plus.core._sequencing:SequencedEvent", "property_sequences"),
)
"""Class and attribute; a test asserts that each still exists."""

__all__ = ["PRIVATE_NAMES", "EventCombiner", "SequencedEvent"]
