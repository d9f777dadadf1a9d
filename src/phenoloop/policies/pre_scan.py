"""The coarse look at a plate for candidates: what was imaged, what came of it, and which fields come next."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import Context, Pending, Proposal, Setup, Visit, VisitResult, Why
from phenoloop.policies.abundance import Abundance, Scan
from phenoloop.policies.object_search import Array, ObjectsTold
from phenoloop.policies.told import MAX_FAILED, MAX_VETOED


class PreScan:
    """What was searched for candidates. Only `tell` changes it.

    Parameters
    ----------
    setup : Setup
        Wells and places.
    profile : str
        Which way of imaging searches.
    lattice : int
        A well is first looked at in every n-th field of both directions.
    fields_per_visit, in_flight : int
        Fields of one trip, and trips under way while nothing is known of the plate.
    """

    def __init__(self, setup: Setup, profile: str, lattice: int, fields_per_visit: int, in_flight: int) -> None:
        self._wells = setup.wells
        self._index = {well: i for i, well in enumerate(setup.wells)}
        self._profile = profile
        self._fields_per_visit, self._in_flight = fields_per_visit, in_flight
        self._map = Abundance(setup.places, lattice)
        self._failed = np.zeros(len(setup.wells), dtype=np.int64)
        self._vetoed = np.zeros(len(setup.wells), dtype=np.int64)
        self._cells = array("q")
        """Where each object was found, in the order of `ObjectsTold.objects`."""

    @property
    def fields(self) -> int:
        """Fields that were searched."""
        return self._map.fields

    def tell(self, visit: Visit, result: VisitResult, objects: ObjectsTold) -> bool:
        """Take in a look for candidates; those that are new go to `objects`.

        Returns
        -------
        bool
            Whether anything was imaged; not when a guard refused the visit.
        """
        i = self._index[visit.well]
        if all(field.status == "vetoed" for field in result.fields):
            self._vetoed[i] += 1
            return False
        self._vetoed[i] = 0
        for field in result.fields:
            seen = field.status == "ok"
            self._failed[i] = 0 if seen else self._failed[i] + 1
            self._map.tried(i, field.field, seen=seen)
            if seen and (new := objects.scanned(visit, field)):
                self._cells.extend([self._map.cell(i, field.field)] * new)
        return True

    def pending(self, context: Context) -> list[Pending]:
        """Return its visits that are under way."""
        return [visit for visit in context.pending if visit.profile == self._profile]

    def scans(self, objects: ObjectsTold, chances: Array, context: Context, most: int) -> tuple[list[Scan], float]:
        """Return up to `most` possible visits, best first, and the wanted objects per field over the plate."""
        away = [(self._index[visit.well], name) for visit in self.pending(context) for name in visit.names]
        usable: NDArray[np.bool_] = (self._failed < MAX_FAILED) & (self._vetoed < MAX_VETOED)
        return self._map.scans(self._cells, objects.worth(chances), away, usable, self._fields_per_visit, most)

    def room(self, k: int, context: Context) -> int:
        """Return how many visits may be proposed: few in all before anything is known."""
        return k if self.fields else max(0, min(k, self._in_flight - len(self.pending(context))))

    def proposals(
        self, scans: Sequence[Scan], density: float, lack: float, room: int, context: Context
    ) -> list[Proposal]:
        """Propose as much of the pre-scan as the objects that are still lacking will probably take."""
        lack -= density * sum(visit.fields for visit in self.pending(context))
        chosen = []
        for scan in scans[:room]:
            if lack <= 0 and self.fields:
                break
            lack -= scan.expected * len(scan.fields)
            chosen.append(scan)
        instead = self._wells[scans[len(chosen)].well] if len(scans) > len(chosen) else None
        return [self._look(scan, density, instead) for scan in chosen]

    def _look(self, scan: Scan, density: float, instead: str | None) -> Proposal:
        if scan.seen:
            rule = "where they are dense"
            text = (
                f"about {scan.expected:.2g} wanted objects per field are expected here, after {scan.found:.2g} in "
                f"{scan.seen:g} fields; {density:.2g} over the plate"
            )
        else:
            rule, text = "pre-scan", "nothing is known of it yet"
        numbers = {"expected": scan.expected, "fields": scan.seen, "found": scan.found, "plate": density}
        return Proposal(
            well=self._wells[scan.well],
            fields=scan.fields,
            profile=self._profile,
            score=scan.expected,
            why=Why(rule=rule, text=text, numbers=numbers, instead=instead),
        )
