"""What a run may spend, and how far it may go without a person: the numbers behind guards, budgets and autonomy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Budgets of a run; None is unlimited.

    Light is counted in seconds of exposure at full power: an exposure times the `power` of its channel, where the
    protocol gives one. Planes of autofocus, repeated attempts and the metering of exposures are light like any other.

    Attributes
    ----------
    frames : int or None
        Frames that may be planned.
    duration_s : float or None
        Run clock at which no new visit is begun.
    disk_bytes : int or None
        Uncompressed bytes of images.
    light_per_field_s : float or None
        Light that one field may get, over all its visits and profiles.
    light_per_object_s : float or None
        Light that any place of the sample may get, from every frame that shows it: fields may overlap.
    revisits_per_field : int or None
        Visits of one field beyond the first, over all profiles.
    revisit_interval_s : float or None
        Run clock between two visits of one field.
    objective_changes_per_hour : int or None
        Changes of objective in any hour of the run clock.
    share_per_well : float or None
        Share (0..1) of `frames` that one well may take.
    controls_every_s : float or None
        Run clock after which a control is imaged again.
    controls_every_visits : int or None
        Visits after which a control is imaged again.
    """

    frames: int | None = None
    duration_s: float | None = None
    disk_bytes: int | None = None
    light_per_field_s: float | None = None
    light_per_object_s: float | None = None
    revisits_per_field: int | None = None
    revisit_interval_s: float | None = None
    objective_changes_per_hour: int | None = None
    share_per_well: float | None = None
    controls_every_s: float | None = None
    controls_every_visits: int | None = None

    @property
    def frames_per_well(self) -> int | None:
        """Frames that one well may take; None is unlimited."""
        if self.frames is None or self.share_per_well is None:
            return None
        # A share like 0.29 of 100 is 28.999... in binary: it means 29.
        return int(self.frames * self.share_per_well + 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Autonomy:
    """How far a run goes without a person.

    Attributes
    ----------
    level : str
        ``"unattended"``: the policy acts. ``"confirm"``: a batch waits until a person says go. ``"veto"``: a batch goes
        on unless a person vetoes it in time. ``"shadow"``: the policy is asked and recorded, the fallback acts.
    acts : tuple of str
        What a person is asked about: ``"objective"`` (visits under another objective than the one in place),
        ``"profile"`` (visits under another profile than ``main``), ``"revisit"`` (fields that were imaged before).
        Empty: every visit.
    within_s : float or None
        Wall-clock seconds a person has; None: the run waits.
    otherwise : str or None
        What counts as the answer when that time is over: ``"skip"``, ``"go"`` or ``"stop"``.
    """

    level: str = "unattended"
    acts: tuple[str, ...] = ()
    within_s: float | None = None
    otherwise: str | None = None

    @property
    def asks(self) -> bool:
        """Whether a person is asked at all."""
        return self.level in ("confirm", "veto")
