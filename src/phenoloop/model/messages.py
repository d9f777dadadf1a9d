"""The messages of the loop. An `Input` (past tense) is what happened; a `Command` (imperative) is what to do about it.

Every command ends in exactly one terminal input:

========= =========================================
command   ends in
========= =========================================
Acquire   VisitEnded
Measure   Measured, or MeasurementFailed
Meter     ExposuresSet, or MeteringFailed
Confirm   Answered
Finish    RunEnded
========= =========================================

`Decided` stands between them: it is the record of an ask, written before the commands that follow from it. `Judged` is
the record of a field that was rejected against the other fields of the run.
`wall` holds wall-clock values (timings in ms, time of day). They are for people: nothing decides on them, and two
journals are equal when they agree in everything else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phenoloop.model.results import Candidate
from phenoloop.model.visits import FrameAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Anything the journal holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(Message):
    """Something that happened, at `at_s` seconds of the run clock."""

    at_s: float
    wall: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Message):
    """Something to do, decided at `at_s` seconds of the run clock."""

    at_s: float


# -- what a visit brings home -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFrame:
    """A frame that is on disk, with the state it was really taken at.

    Attributes
    ----------
    address : FrameAddress
        Where it belongs.
    exposure_ms : float
        As read back from the camera.
    x_um, y_um : float
        As read back from the stage.
    z_um : float or None
        As read back from the focus drive; None where there is none.
    at_s : float
        Run clock at the end of its exposure.
    attempts : int
        1, or more when the hardware had to be asked again.
    """

    address: FrameAddress
    exposure_ms: float
    x_um: float
    y_um: float
    z_um: float | None
    at_s: float
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFrame:
    """A frame that was planned and is not on disk. `exposed`: light fell on the sample all the same."""

    address: FrameAddress
    reason: str
    exposed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One refusal of the hardware: which call, what it said, which attempt (from 1), for which field and channel."""

    call: str
    message: str
    attempt: int
    field: str = ""
    channel: str = ""


# -- inputs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Input):
    """The microscope is ready and the plan is fixed."""

    plan_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitEnded(Input):
    """A visit is over: each planned frame is either stored or missing, with a reason.

    Attributes
    ----------
    exposures : int
        Light events, autofocus and repeated exposures too.
    light_s : mapping of str to float
        Light by field: seconds of exposure, times the power of the channel where it is known.
    """

    visit: int
    frames: tuple[StoredFrame, ...] = ()
    missing: tuple[MissingFrame, ...] = ()
    faults: tuple[Fault, ...] = ()
    exposures: int = 0
    light_s: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Input):
    """A field was analysed.

    Attributes
    ----------
    status : str
        ``"ok"`` or ``"qc_fail"``.
    readouts : mapping of str to float or None
        One number per readout; None is unknown.
    quality : mapping of str to float or None
        What the gates looked at.
    reason : str
        Why it was rejected; empty for ``ok``.
    objects : int
        Objects found.
    profile : tuple of float or None
        Its morphological profile, one number per name of `Setup.profile_features`; empty where none is asked for.
    candidates : tuple of Candidate
        Objects that passed the expression of the plan (`AnalysisPlan.pick`), best first; their stage position is None:
        it follows from the frame's.
    """

    visit: int
    field: str
    status: str = "ok"
    readouts: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    quality: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    reason: str = ""
    objects: int = 0
    profile: tuple[float | None, ...] = ()
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFailed(Input):
    """A field could not be analysed. `kind` is ``"failed"``, ``"late"`` or ``"stopped"``."""

    visit: int
    field: str
    reason: str
    kind: str = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredChannel:
    """An exposure that was metered.

    Attributes
    ----------
    profile, channel : str
        Whose it is.
    exposure_ms : float
        From here on.
    level : float
        Share (0..1) of the camera's range that the bright pixels reach with it; below the target where `max` forbids
        a longer exposure.
    looks : int
        Exposures it took.
    """

    profile: str
    channel: str
    exposure_ms: float
    level: float
    looks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposuresSet(Input):
    """The exposures of a run were metered; they hold from here on, also when it is resumed or replayed.

    Attributes
    ----------
    channels : tuple of MeteredChannel
        Every channel with an automatic exposure.
    light_s : mapping of str to mapping of str to float
        Light by well and field: exposure in seconds times power.
    exposures : int
        Light events.
    """

    channels: tuple[MeteredChannel, ...]
    light_s: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    exposures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteringFailed(Input):
    """No exposure could be found, so nothing can be imaged; `light_s` and `exposures` as of `ExposuresSet`."""

    reason: str
    light_s: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    exposures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Input):
    """A batch that waited for a person has its answer.

    Attributes
    ----------
    decision : int
        Number of the decision that waited.
    answer : str
        ``"go"``, ``"skip"`` or ``"stop"``.
    by : str
        Who: ``"a person at the terminal"``, ``"time-out after 300 s"`` ...
    judged : bool
        A person looked at it: wells that are skipped are then not imaged again under that profile in this run.
    """

    decision: int
    answer: str
    by: str
    judged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Input):
    """A person asked the loop to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Input):
    """A person let it go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Input):
    """The run is to end now: asked by a person, or forced (`exit` says which: ``stopped`` or ``failed``)."""

    reason: str
    exit: str = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroscopeFailed(Input):
    """The microscope can no longer be used."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTooSlow(Input):
    """The policy took longer than the protocol allows; the fallback decides from here on."""

    decision: int
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Input):
    """The run was taken up again from its journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Input):
    """Everything is on disk and closed."""

    exit: str
    reason: str = ""
