"""`report --story`: why each image of a well was taken, from the run folder's journal."""

from __future__ import annotations

from pathlib import Path

from phenoloop.api.resolved import Resolved
from phenoloop.errors import UsageError
from phenoloop.protocol.names import nearest
from phenoloop.storage.journal import read
from phenoloop.storage.run_folder import RunFolder
from phenoloop.watch.story import Story
from phenoloop.watch.storyteller import tell_story


def story(run: Path, well: str) -> Story:
    """Return the story of a well of a run, finished or not; no image is read.

    Parameters
    ----------
    run : Path
        A run folder.
    well : str
        Its name; ``b3`` is ``B3``.

    Raises
    ------
    UsageError
        If it is no run folder, or the run has no such well.
    JournalError
        If its journal cannot be trusted.
    """
    folder = RunFolder.open(run)
    resolved = Resolved.from_json(folder.resolved.read_bytes(), str(folder.resolved))
    wells = [one.name for one in resolved.plan.wells]
    name = well.strip().upper()
    if name not in wells:
        raise UsageError(
            f"{folder.path} has no well {well!r}{nearest(name, wells)}: its {len(wells)} wells lie between {wells[0]} "
            f"and {wells[-1]}."
        )
    return tell_story(
        folder.name,
        name,
        read(folder.journal).messages,
        resolved.plan,
        resolved.setup,
        resolved.decider(),
        resolved.build_question(),
    )
