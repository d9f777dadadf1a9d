"""One analysis service per way of imaging, behind one door: each field goes to the one of its profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from phenoloop.model import Measure
from phenoloop.runner.analyst import Analyst


class Analysts:
    """The analysis services of a run. Each has workers and a model of its own; those of a profile at rest cost nothing.

    Parameters
    ----------
    services : mapping of str to Analyst
        By profile.
    profile_of : callable
        Takes the number of a visit and returns its profile.
    """

    def __init__(self, services: Mapping[str, Analyst], profile_of: Callable[[int], str]) -> None:
        self._services = dict(services)
        self._profile_of = profile_of

    def warm_up(self, blanks: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, Mapping[str, Any]]:
        """Have every worker of every profile measure a blank field; return what each segmenter says of itself.

        Raises
        ------
        Exception
            As `Analyst.warm_up`.
        """
        return {name: service.warm_up(blanks[name]) for name, service in self._services.items()}

    def submit(self, command: Measure, frames: Mapping[str, NDArray[Any]]) -> None:
        """Begin to measure a field."""
        self._services[self._profile_of(command.visit)].submit(command, frames)

    def next_deadline(self) -> float | None:
        """Return the wall clock at which the oldest field is given up; None without fields."""
        known = [at for service in self._services.values() if (at := service.next_deadline()) is not None]
        return min(known, default=None)

    def give_up_overdue(self) -> None:
        """Post a failure for every field whose time is up."""
        for service in self._services.values():
            service.give_up_overdue()

    def stop(self) -> None:
        """End quickly: fields that are not begun are left for later."""
        for service in self._services.values():
            service.stop()

    def close(self) -> None:
        """Write what is derived and let the workers go."""
        for service in self._services.values():
            service.close()
