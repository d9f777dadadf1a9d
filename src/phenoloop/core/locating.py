"""Where an object of a frame lies on the stage, from where its frames were really taken.

A position is counted as the stage counts under an objective without offset, so it means the same under every profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from phenoloop.model import Candidate, ProfilePlan, StoredFrame


def locate(candidate: Candidate, frames: Sequence[StoredFrame], profile: ProfilePlan) -> Candidate:
    """Return a candidate with its stage position.

    Parameters
    ----------
    candidate : Candidate
        With its place in the frame.
    frames : sequence of StoredFrame
        Of its field, of one visit; at least one. The first says where the stage stood, all of them how high the focus.
    profile : ProfilePlan
        Under which they were taken: pixel size, offset of the objective, how the picture lies on the stage.
    """
    taken = frames[0]
    dx, dy, dz = profile.offset_um
    a, b, c, d = profile.image_axes
    right, down = candidate.x_px * profile.pixel_size_um, candidate.y_px * profile.pixel_size_um
    heights = [frame.z_um for frame in frames if frame.z_um is not None]
    focused = bool(profile.z_offsets_um) or profile.autofocus is not None
    return replace(
        candidate,
        # Rounded to the nanometre: what is proposed must not depend on the last bit of a sum.
        x_um=round(taken.x_um - dx + a * right + b * down, 3),
        y_um=round(taken.y_um - dy + c * right + d * down, 3),
        z_um=round((min(heights) + max(heights)) / 2 - dz, 3) if focused and heights else None,
    )
