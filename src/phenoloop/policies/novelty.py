"""The next image goes to what looks least like anything that is known: the plate's phenotypes with few images.

Controls first, because they are the scale; then one field of every well; then k-centre greedy [1]_: the well whose
profile lies furthest from all that were looked at closely, until none lies further than control wells lie from one
another. One odd field is no phenotype: a second field of the well must show it too, or debris would be hunted first.

References
----------
.. [1] T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38
   (1985) 293-306, doi 10.1016/0304-3975(85)90224-5.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from phenoloop.errors import Problem, ProtocolError
from phenoloop.model import Context, Proposal, Setup, Stop, Visit, VisitResult
from phenoloop.numerics.feature_blocks import block_of
from phenoloop.numerics.phenotype_fit import phenotype_space
from phenoloop.policies.coverage import Coverage
from phenoloop.policies.furthest import furthest
from phenoloop.policies.novelty_looks import MAIN, Looks, first_looks
from phenoloop.policies.told import MAX_FAILED, MAX_VETOED
from phenoloop.protocol.base import PolicyParams
from phenoloop.protocol.quantities import Percent

Counts = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FAR_TOLD: Final = 50


class Novelty:
    """Covers the phenotypes of a plate.

    Parameters
    ----------
    params : Novelty.Params
        As in the protocol.
    setup : Setup
        Wells, controls, features of the profile, ways of imaging.

    Raises
    ------
    ProtocolError
        If there are no controls, or `follow_up` names no way of imaging but ``main``.
    """

    kind: ClassVar[str] = "novelty"
    needs: ClassVar[tuple[str, ...]] = ("profile",)

    class Params(PolicyParams):
        """Keys of ``policy: {kind: novelty}``."""

        fields_per_visit: int = Field(
            default=1, ge=1, description="fields of a further look; a first look is one field"
        )
        follow_up: str | None = Field(
            default=None,
            description="profile under which each phenotype is looked at closely; without it a further field of the "
            "well stands for that",
        )
        follow_up_fields: int = Field(default=1, ge=1, description="fields of one close look, those already seen")
        follow_up_controls: int = Field(
            default=2, ge=0, description="control wells that are looked at closely, to compare with"
        )
        control_fields: int = Field(default=3, ge=1, description="fields that each control gets first")
        alike: Annotated[Percent, Field(gt=0, lt=1)] = Field(
            default=0.95, description="share of control wells that lie within the distance taken for no difference"
        )
        strength: float = Field(
            default=2.0,
            ge=1,
            le=10,
            description="the same change up to so many times stronger or weaker is the same phenotype; 1: another one",
        )
        explore: Annotated[Percent, Field(lt=1)] = Field(
            default=0.1, description="share of the later looks that go to wells drawn by chance"
        )

    def __init__(self, params: Params, setup: Setup) -> None:
        if not setup.controls:
            message = "the policy novelty compares with controls: add `question: {kind: novelty, controls: ...}`"
            raise ProtocolError(Problem(where="policy.kind", message=message))
        others = [name for name in setup.profiles if name != MAIN]
        if params.follow_up is not None and params.follow_up not in others:
            near = difflib.get_close_matches(params.follow_up, others, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            message = (
                f"there is no profile {params.follow_up!r} to follow up with; {hint}"
                f"Profiles beside main: {', '.join(others) or 'none'}"
            )
            raise ProtocolError(Problem(where="policy.follow_up", message=message))
        self._params = params
        self._setup = setup
        self._index = {well: i for i, well in enumerate(setup.wells)}
        names = set(setup.controls)
        self._is_control = np.array([well in names for well in setup.wells], dtype=bool)
        self._fields = np.array(setup.fields, dtype=np.int64)
        self._first_target = np.where(self._is_control, np.minimum(params.control_fields, self._fields), 1)
        self._rows: list[tuple[int, str, tuple[float | None, ...]]] = []
        counts = np.zeros((6, len(setup.wells)), dtype=np.int64)
        self._seen, self._tried, self._failed, self._vetoed, self._missed, self._closely = counts
        self._coverage: Coverage | None = None

    # -- the policy -------------------------------------------------------------------------------------------------

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Propose up to `k` visits; see `phenoloop.ports.Policy`."""
        given = context.fields_left
        left = np.array([given.get(well, 0) for well in self._index], dtype=np.int64)
        left[self._left_alone()] = 0
        under_way = list(dict.fromkeys(self._index[visit.well] for visit in context.pending))
        coverage = self._coverage
        if coverage is None:
            free = left > 0
            free[under_way] = False
            first = first_looks(k, self._setup, self._is_control, self._seen, self._first_target, free)
            if first:
                return first
            if any(visit.profile == MAIN for visit in context.pending):
                return []  # the scale is that of the whole plate, so the last first looks are waited for
            # Some wells can no longer be imaged and were never told: what there is has to do.
            coverage = self._fitted()
            if coverage is None:
                return [] if context.pending else Stop(reason=self._no_scale())
        proposals = self._further(k, coverage, left, under_way, context)
        if proposals or context.pending:
            return proposals
        return Stop(reason=self._covered(coverage))

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Take in a result; see `phenoloop.ports.Policy`."""
        i = self._index.get(visit.well)
        if i is None or result.profile not in (MAIN, self._params.follow_up):
            return
        if result.profile == MAIN:
            self._told_main(i, result)
        else:
            self._told_follow_up(i, result)

    def report(self) -> Mapping[str, Any]:
        """Return what it believes now; distances steer, they are no claim."""
        wells, coverage = self._setup.wells, self._coverage
        said: dict[str, Any] = {
            "wells_seen": int((self._seen > 0).sum()),
            "left_alone": [wells[i] for i in np.flatnonzero(self._left_alone())],
        }
        if coverage is None:
            return said
        space, open_ = coverage.space, self._open(coverage)
        far = np.flatnonzero(open_ & (coverage.distance > (space.alike or 0.0)))
        return said | {
            "features": len(space.names),
            "blocks": list(dict.fromkeys(block_of(name) for name in space.names)),
            "alike": space.alike,
            "covering_radius": float(coverage.distance[open_].max(initial=0.0)),
            "looked_at_closely": [wells[i] for i in np.flatnonzero(self._known(coverage))],
            "still_far": [wells[i] for i in far[np.lexsort((far, -coverage.distance[far]))][:_FAR_TOLD]],
        }

    # -- what was told ----------------------------------------------------------------------------------------------

    def _told_main(self, i: int, result: VisitResult) -> None:
        if all(field.status == "vetoed" for field in result.fields):
            self._vetoed[i] += 1
        else:
            self._vetoed[i] = 0
            self._tried[i] += len(result.fields)
            for field in result.fields:
                usable = field.status == "ok" and any(value is not None for value in field.profile)
                if usable and self._coverage is not None:
                    usable = self._coverage.add(i, field.field, field.profile)
                elif usable:
                    self._rows.append((i, field.field, field.profile))
                self._seen[i] += usable
                self._failed[i] = 0 if usable else self._failed[i] + 1
        if self._coverage is None:
            complete = (self._seen >= self._first_target) | (self._tried >= self._fields) | self._left_alone()
            if complete.all():
                self._coverage = self._fitted()
        elif self._params.follow_up is None and not self._is_control[i] and self._coverage.agreed[i]:
            self._coverage.add_centre(i)

    def _told_follow_up(self, i: int, result: VisitResult) -> None:
        taken = sum(field.status == "ok" for field in result.fields)
        self._missed[i] = 0 if taken else self._missed[i] + 1
        self._closely[i] += taken
        if taken and self._coverage is not None and not self._is_control[i]:
            self._coverage.add_centre(i)

    def _fitted(self) -> Coverage | None:
        """Return the space that the first looks give, with all fields in it; None where there is no scale."""
        wells = [i for i, _, _ in self._rows]
        names = [name for _, name, _ in self._rows]
        shape = (len(self._rows), len(self._setup.profile_features))
        profiles = np.array([profile for _, _, profile in self._rows], dtype=np.float64).reshape(shape)
        try:
            space = phenotype_space(
                self._setup.profile_features,
                profiles,
                np.array(wells, dtype=np.int64),
                self._is_control,
                level=self._params.alike,
                strength=self._params.strength,
            )
        except ValueError:  # too few controls could be measured, or nothing varies: `_no_scale` says so
            return None
        coverage = Coverage(space, len(self._setup.wells))
        coverage.add_all(wells, names, profiles)
        return coverage

    # -- states of wells --------------------------------------------------------------------------------------------

    def _left_alone(self) -> Bools:
        return (self._failed >= MAX_FAILED) | (self._vetoed >= MAX_VETOED)

    def _known(self, coverage: Coverage) -> Bools:
        """Return which wells were looked at closely: under the profile for that, or in two fields that agree."""
        known = self._closely > 0 if self._params.follow_up is not None else coverage.agreed
        return np.asarray(known & ~self._is_control)

    def _open(self, coverage: Coverage) -> Bools:
        """Return which wells may yet turn out to be a phenotype of their own."""
        open_ = ~self._is_control & ~self._known(coverage) & (coverage.looks > 0) & (self._missed < MAX_VETOED)
        return np.asarray(open_)

    # -- what is wished for -----------------------------------------------------------------------------------------

    def _further(
        self, k: int, coverage: Coverage, left: Counts, under_way: Sequence[int], context: Context
    ) -> list[Proposal]:
        """Return looks at wells that lie far from all that is known, a few of them drawn by chance."""
        looks = Looks(self._params, self._setup, coverage, left)
        open_ = self._open(coverage)
        open_[list(under_way)] = False
        possible = open_ & (left > 0)
        if self._params.follow_up is not None:
            possible = open_ & ((left > 0) | ~coverage.undecided)
        chosen = looks.references(k, self._lacking_references(coverage, under_way))
        wanted = furthest(coverage, possible, under_way, k - len(chosen) + 1)
        room = max(0, min(k - len(chosen), len(wanted)))
        # Where there is a close look, further overview fields only prepare it: chance has its share of the close ones.
        close = sum(looks.is_close(far.well) for far in wanted[:room])
        draws = int((context.rng.random(close) < self._params.explore).sum())
        others = possible.copy()
        others[[far.well for far in wanted]] = False
        lot = context.rng.permutation(np.flatnonzero(others))[:draws].tolist()
        keep, following = wanted[: room - len(lot)], wanted[room - len(lot) :]
        instead = self._setup.wells[following[0].well] if following else None
        return chosen + [looks.at_far(far, instead) for far in keep] + [looks.by_chance(i, instead) for i in lot]

    def _lacking_references(self, coverage: Coverage, under_way: Sequence[int]) -> list[int]:
        """Return the controls that are to be looked at closely; none without a profile for that."""
        if self._params.follow_up is None:
            return []
        done = self._closely > 0
        done[list(under_way)] = True
        lack = self._params.follow_up_controls - int((done & self._is_control).sum())
        free = self._is_control & ~done & (self._missed < MAX_VETOED) & (coverage.looks > 0)
        return [int(i) for i in np.flatnonzero(free)[: max(0, lack)]]

    # -- the end ----------------------------------------------------------------------------------------------------

    def _no_scale(self) -> str:
        if not self._seen.any():
            return "no field could be measured"
        return "fewer than two control wells have profiles, so nothing can be compared with the controls"

    def _covered(self, coverage: Coverage) -> str:
        alike, count = coverage.space.alike, int(self._known(coverage).sum())
        if alike is None:
            return f"every well that can be imaged was looked at closely ({count}); too few controls to stop earlier"
        far = np.flatnonzero(self._open(coverage) & (coverage.distance > alike))
        said = (
            f"no other well lies further than {alike:.2g} from the controls or from one of the {count} wells that were "
            "looked at closely; control wells lie as far apart"
        )
        if not far.size:
            return said
        return f"{said} (but for {', '.join(self._setup.wells[i] for i in far[:6])}, which cannot be imaged again)"
