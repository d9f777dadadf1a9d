"""A microscope that only takes time: what a visit costs by the cost model, in the order in which the engine works.

It spends what the engine spends on the virtual clock (a test compares the two), so minutes of a study are minutes of
the virtual plate. Nothing ever fails here, and a sweep of autofocus finds the focus.
"""

from __future__ import annotations

from phenoloop.model import Acquire, ChannelPlan, FieldPlace, Plan, ProfilePlan, StoredFrame, Visit, VisitEnded


class TimedMicroscope:
    """Ends every visit in full.

    Parameters
    ----------
    plan : Plan
        Places, exposures and the cost model.

    Attributes
    ----------
    now_s : float
        Run clock at the end of the last visit.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.now_s = 0.0
        self._at = (0.0, 0.0)  # where the demo stage stands when it is switched on
        self._preset: dict[str, str] = {}
        self._objective: str | None = None
        self._opened = False

    def use(self, plan: Plan) -> None:
        """Go on with a plan whose exposures were metered."""
        self._plan = plan

    def acquire(self, command: Acquire) -> VisitEnded:
        """Return how a visit ends.

        Parameters
        ----------
        command : Acquire
            Visits are taken in the order of these calls.
        """
        visit = command.visit
        profile = self._plan.profiles[visit.profile]
        self.now_s = max(self.now_s, command.at_s, visit.not_before_s or 0.0)
        self._turn(profile)
        channels = {channel.name: channel for channel in profile.channels}
        light: dict[str, float] = {}
        frames: list[StoredFrame] = []
        exposures = 0
        last = ""
        for address in visit.frames():
            visited = next(one for one in visit.fields if one.field == address.field)
            place = profile.placed(self._plan.place(visit.well, visited))
            if address.field != last:
                exposures += self._focus(profile, visit, place, light, first=last == "")
                last = address.field
            channel = channels[address.channel]
            self._move(place)
            if profile.z_offsets_um:
                self.now_s += self._plan.cost.z_s
            self._expose(channel, visit.well, place.name, light)
            exposures += 1
            exposure_ms = channel.exposure_in(visit.well)
            frames.append(
                StoredFrame(
                    address=address,
                    exposure_ms=exposure_ms,
                    x_um=place.x_um,
                    y_um=place.y_um,
                    z_um=place.z_um,
                    at_s=self.now_s,
                )
            )
        if profile.z_offsets_um:
            self.now_s += self._plan.cost.z_s
        rounded = {field: round(seconds, 9) for field, seconds in light.items()}
        return VisitEnded(
            at_s=self.now_s, visit=visit.number, frames=tuple(frames), exposures=exposures, light_s=rounded
        )

    def _turn(self, profile: ProfilePlan) -> None:
        """Change the objective; the first one is put in place before the run clock starts."""
        wanted = profile.objective_config
        if profile.objective_group and wanted and wanted != self._objective:
            self.now_s += self._plan.cost.objective_s if self._opened else 0.0
            self._objective = wanted
        self._opened = True

    def _move(self, place: FieldPlace) -> None:
        x, y = self._at
        self.now_s += self._plan.cost.move_s(place.x_um - x, place.y_um - y)
        self._at = (place.x_um, place.y_um)

    def _focus(
        self, profile: ProfilePlan, visit: Visit, place: FieldPlace, light: dict[str, float], *, first: bool
    ) -> int:
        """Sweep the focus where it is due; return the exposures it took."""
        plan = profile.autofocus
        if plan is None or not (first or plan.when == "each_field"):
            return 0
        channel = next(one for one in profile.channels if one.name == plan.channel)
        self._move(place)
        for _ in range(plan.planes):
            self.now_s += self._plan.cost.z_s
            self._expose(channel, visit.well, place.name, light)
        self.now_s += self._plan.cost.z_s
        return plan.planes

    def _expose(self, channel: ChannelPlan, well: str, field: str, light: dict[str, float]) -> None:
        if self._preset.get(channel.group) != channel.config:
            self.now_s += self._plan.cost.channel_s
            self._preset[channel.group] = channel.config
        self.now_s += channel.exposure_in(well) / 1000
        self.now_s += self._plan.cost.readout_s
        light[field] = light.get(field, 0.0) + channel.light_ms(well) / 1000
