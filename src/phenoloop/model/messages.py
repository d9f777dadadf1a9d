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
from phenoloop.model.visits import FrameAddress, Target, Visit, Why


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


# -- the record of a decision -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRecord:
    """One proposal and what became of it.

    Attributes
    ----------
    fields : tuple of str
        The fields it was resolved to; when denied, those it asked for by name.
    verdict : str
        ``"accepted"``, or the sentence with which a guard denied it.
    visit : int
        Number of the visit it became; -1 when denied.
    targets : tuple of Target
        The places of their own that were granted; all that were asked for when denied.
    """

    well: str
    profile: str
    fields: tuple[str, ...]
    score: float
    why: Why
    verdict: str
    visit: int
    targets: tuple[Target, ...] = ()
    not_before_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRecord:
    """What a policy in the shadow answered: nothing of it was done, and it was told only of what the fallback did.

    Attributes
    ----------
    policy, parameters : str, mapping
        As of `Decided`.
    proposals : tuple of ProposalRecord
        With the verdict that the guards would have given; `visit` is always -1.
    stop, error : str
        As of `Decided`.
    """

    policy: str
    parameters: Mapping[str, Any]
    proposals: tuple[ProposalRecord, ...] = ()
    stop: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Message):
    """The record of one ask.

    Attributes
    ----------
    decision : int
        Dense from 1.
    at_s : float
        Run clock of the input that led to it.
    policy : str
        Kind of the policy that decided (the fallback's when it had to take over).
    parameters : mapping
        Its parameters, so that a decision can be read by itself.
    asked : int
        Visits asked for.
    told : int
        Visits whose results were known.
    proposals : tuple of ProposalRecord
        In the order of the policy; the visits' numbers show the order of the router.
    stop : str
        The policy's reason to stop; empty otherwise.
    error : str
        Why the policy could not be used; empty otherwise.
    shadow : ShadowRecord or None
        What the policy would have done; with ``autonomy: shadow`` only, where the fallback acts.
    """

    decision: int
    at_s: float
    policy: str
    parameters: Mapping[str, Any]
    asked: int
    told: int = 0
    proposals: tuple[ProposalRecord, ...] = ()
    stop: str = ""
    error: str = ""
    shadow: ShadowRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Message):
    """The record of a field that is not used because of what other fields of the run look like.

    It stands before the `Decided` that could have used the field. From here on the field's status is ``qc_fail``.

    Attributes
    ----------
    at_s : float
        Run clock of the input that led to it.
    visit : int
        The visit that was told, or an earlier one: a fall of counts is known only after some wells.
    field : str
        Its name.
    reason : str
        In words and numbers.
    numbers : mapping of str to float
        The same numbers by name.
    """

    at_s: float
    visit: int
    field: str
    reason: str
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)


# -- commands ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire(Command):
    """Go to a well and take these frames; not before `at_s`, nor before the time that the visit names."""

    visit: Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Command):
    """Analyse one field of a visit."""

    visit: int
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter(Command):
    """Find the exposures of every channel that asks for it, at the first field of these wells."""

    wells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Command):
    """Ask a person about a batch.

    Attributes
    ----------
    proposed : Decided
        The decision as it will stand if the answer is go.
    about : tuple of int
        Numbers of the visits that are asked about; the others go whatever the answer.
    within_s : float or None
        Wall-clock seconds until `otherwise` counts as the answer; None: no end.
    otherwise : str or None
        ``"skip"``, ``"go"`` or ``"stop"``.
    """

    proposed: Decided
    about: tuple[int, ...]
    within_s: float | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Command):
    """Close everything and end. `exit`: completed, budget, stopped or failed."""

    exit: str
    reason: str
