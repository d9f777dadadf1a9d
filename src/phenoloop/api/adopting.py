"""What becomes of a visit that was under way when the process died: what is on disk is kept, no light again."""

from __future__ import annotations

from collections.abc import Mapping

from phenoloop.model import MissingFrame, Plan, StoredFrame, Visit, VisitEnded
from phenoloop.storage.images import RunImages


def adopt(visit: Visit, plan: Plan, images: RunImages, at_s: float, light_s: Mapping[str, float]) -> VisitEnded:
    """End an interrupted visit from what is on disk.

    Parameters
    ----------
    visit : Visit
        Dispatched, never ended.
    plan : Plan
        Where its fields are. The strict engine delivers no frame at another state, so the planned state is the state
        of a frame that was written; ``attempts`` is 0 to say that it was not read back.
    images : RunImages
        The store.
    at_s : float
        Run clock.
    light_s : mapping of str to float
        The light by field that it can have given: better too much than too little.

    Returns
    -------
    VisitEnded
    """
    well, profile = plan.well(visit.well), plan.profiles[visit.profile]
    places = {visited.field: profile.placed(plan.place(well.name, visited)) for visited in visit.fields}
    exposures = {channel.name: channel.exposure_in(well.name) for channel in profile.channels}
    kept, gone = [], []
    for address in visit.frames():
        if not images.stored(address):
            gone.append(MissingFrame(address=address, reason="interrupted before it was stored"))
            continue
        place = places[address.field]
        kept.append(
            StoredFrame(
                address=address,
                exposure_ms=exposures[address.channel],
                x_um=place.x_um,
                y_um=place.y_um,
                z_um=place.z_um,
                at_s=at_s,
                attempts=0,
            )
        )
    for missing in gone:
        images.ensure_field(missing.address)
    return VisitEnded(
        at_s=at_s,
        visit=visit.number,
        frames=tuple(kept),
        missing=tuple(gone),
        exposures=len(kept) + len(gone),
        light_s=dict(light_s),
    )
