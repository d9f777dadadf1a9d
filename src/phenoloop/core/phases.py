"""The legal moves of a run: in which phase an input may come, and which method of the machine takes it.

The diagram in ``docs/loop.md`` is drawn from this table; what is not in it cannot happen.
"""

from __future__ import annotations

import enum
from typing import Final

from phenoloop.model import (
    Answered,
    ExposuresSet,
    Input,
    Measured,
    MeasurementFailed,
    MeteringFailed,
    MicroscopeFailed,
    Paused,
    PolicyTooSlow,
    Resumed,
    RunEnded,
    RunResumed,
    RunStarted,
    StopRequested,
    VisitEnded,
)


class Phase(enum.Enum):
    """Where a run is."""

    READY = "ready"
    """Nothing was asked of the microscope."""
    METERING = "metering"
    """Exposures are found; nothing is chosen yet."""
    RUNNING = "running"
    """Visits are chosen, taken, measured."""
    PAUSED = "paused"
    """A person holds the loop; results wait."""
    DRAINING = "draining"
    """Nothing more is chosen; what is under way is finished."""
    STOPPING = "stopping"
    """What is under way is cut short."""
    CLOSING = "closing"
    """Everything is decided; data is being closed."""
    ENDED = "ended"
    """Data is closed."""


class IllegalInput(Exception):
    """An input that cannot happen now: a fault of the shell, not of the user."""


TRANSITIONS: Final[dict[tuple[Phase, type[Input]], str]] = {
    (Phase.READY, RunStarted): "_start",
    (Phase.READY, StopRequested): "_stop",
    (Phase.METERING, ExposuresSet): "_metered",
    (Phase.METERING, MeteringFailed): "_metered",
    (Phase.METERING, Paused): "_pause",
    (Phase.METERING, StopRequested): "_stop",
    (Phase.METERING, MicroscopeFailed): "_microscope_failed",
    (Phase.RUNNING, VisitEnded): "_visit_ended",
    (Phase.RUNNING, Measured): "_result",
    (Phase.RUNNING, MeasurementFailed): "_result",
    (Phase.RUNNING, PolicyTooSlow): "_too_slow",
    (Phase.RUNNING, Answered): "_answered",
    (Phase.RUNNING, Paused): "_pause",
    (Phase.RUNNING, StopRequested): "_stop",
    (Phase.RUNNING, MicroscopeFailed): "_microscope_failed",
    (Phase.PAUSED, VisitEnded): "_visit_ended",
    (Phase.PAUSED, Measured): "_result",
    (Phase.PAUSED, MeasurementFailed): "_result",
    (Phase.PAUSED, PolicyTooSlow): "_too_slow",
    (Phase.PAUSED, Answered): "_answered",
    (Phase.PAUSED, ExposuresSet): "_metered",
    (Phase.PAUSED, MeteringFailed): "_metered",
    (Phase.PAUSED, Resumed): "_resume",
    (Phase.PAUSED, StopRequested): "_stop",
    (Phase.PAUSED, MicroscopeFailed): "_microscope_failed",
    (Phase.DRAINING, VisitEnded): "_visit_ended",
    (Phase.DRAINING, Measured): "_result",
    (Phase.DRAINING, MeasurementFailed): "_result",
    (Phase.DRAINING, PolicyTooSlow): "_too_slow",
    (Phase.DRAINING, Paused): "_pause",
    (Phase.DRAINING, StopRequested): "_stop",
    (Phase.DRAINING, MicroscopeFailed): "_microscope_failed",
    (Phase.STOPPING, VisitEnded): "_visit_ended",
    (Phase.STOPPING, Measured): "_result",
    (Phase.STOPPING, MeasurementFailed): "_result",
    (Phase.STOPPING, PolicyTooSlow): "_note",
    (Phase.STOPPING, Answered): "_answered",
    (Phase.STOPPING, ExposuresSet): "_metered",
    (Phase.STOPPING, MeteringFailed): "_metered",
    (Phase.STOPPING, StopRequested): "_note",
    (Phase.STOPPING, MicroscopeFailed): "_microscope_failed",
    (Phase.CLOSING, Measured): "_result",
    (Phase.CLOSING, MeasurementFailed): "_result",
    (Phase.CLOSING, PolicyTooSlow): "_note",
    (Phase.CLOSING, StopRequested): "_note",
    (Phase.CLOSING, MicroscopeFailed): "_note",
    (Phase.CLOSING, RunEnded): "_end",
    (Phase.ENDED, RunResumed): "_take_up",
    (Phase.READY, RunResumed): "_take_up",
    (Phase.METERING, RunResumed): "_take_up",
    (Phase.RUNNING, RunResumed): "_take_up",
    (Phase.PAUSED, RunResumed): "_take_up",
    (Phase.DRAINING, RunResumed): "_take_up",
    (Phase.STOPPING, RunResumed): "_take_up",
    (Phase.CLOSING, RunResumed): "_take_up",
}
