"""The state that an event asks for: brought to its place in the order in which the steps disturb each other.

It is asked for anew after every refusal of the camera, since nobody knows where a controller stands that fell over.
"""

from __future__ import annotations

from dataclasses import dataclass

from useq import MDAEvent

from phenoloop.errors import FrameError
from phenoloop.microscope.events import field_and_channel, known, outside
from phenoloop.microscope.gate import Gate
from phenoloop.microscope.optics import Optics
from phenoloop.microscope.steps import Steps
from phenoloop.microscope.tally import Tally
from phenoloop.model import Plan


@dataclass(frozen=True, slots=True)
class State:
    """Where everything stands, as read back."""

    x_um: float
    y_um: float
    z_um: float | None
    exposure_ms: float


class Placer:
    """Brings stage, focus, light path and camera to where an event wants them.

    Parameters
    ----------
    plan : Plan
        Stage limits and profiles.
    steps, optics : Steps, Optics
        The pieces of state.
    gate : Gate
        Says when nothing is to be moved any more.
    """

    def __init__(self, plan: Plan, steps: Steps, optics: Optics, gate: Gate) -> None:
        self._plan = plan
        self._steps = steps
        self._optics = optics
        self._gate = gate
        self._given_up: dict[str, str] = {}
        self._tally: Tally
        self.state = State(0.0, 0.0, None, 0.0)
        """As it was read back last."""

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    def begin(self, tally: Tally) -> None:
        """Start to work for a visit; nothing that was proven before is trusted."""
        self._tally = tally
        self._given_up = {}
        self.forget()

    def forget(self) -> None:
        """Trust nothing any more."""
        self._steps.forget()
        self._optics.forget()

    def stepped(self) -> None:
        """Note that the hardware went through a sequence by itself; objective and camera stayed as they were proven."""
        self._steps.forget()

    def give_up(self, field: str, reason: str) -> None:
        """Refuse every further event of a field in this visit; the first reason stays."""
        self._given_up.setdefault(field, reason)

    def try_again(self, field: str) -> None:
        """Take back `give_up`."""
        self._given_up.pop(field, None)

    def reach(self, event: MDAEvent) -> None:
        """Bring everything to where the event wants it.

        Raises
        ------
        FrameError
            If something does not go there, or is not to.
        """
        if self._gate.halted():
            raise FrameError(self._gate.reason)
        if refusal := outside(event, self._plan.stage):
            raise FrameError(refusal)
        field, channel = field_and_channel(event)
        if reason := self._given_up.get(field):
            raise FrameError(reason)
        report = self._tally.reporter(field, channel)
        self._optics.enter(self._plan.profiles[self._tally.command.visit.profile], report)
        assert event.channel is not None
        try:
            x, y = self._steps.xy(known(event.x_pos), known(event.y_pos), report)
        except FrameError as error:
            if not self._gate.halted():
                self.give_up(field, str(error))  # the other channels would only ask the same stage again
            raise
        z = self._steps.read_z(report) if event.z_pos is None else self._steps.z(event.z_pos, report)
        self._steps.config(event.channel.group, event.channel.config, report)
        exposure_ms = self._steps.exposure(known(event.exposure), report)
        self._steps.wake(report)
        self.state = State(x, y, z, exposure_ms)

    def reach_anew(self, event: MDAEvent) -> None:
        """Bring everything there again, and prove it again; as `reach`."""
        self.forget()
        self.reach(event)
