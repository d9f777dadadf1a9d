"""A process that writes frames until it is killed or told to stop; it says which visits are durable.

Run as ``python -m tests.storage.writer_process FOLDER``. Each line on its standard input asks for one more visit; the
answer is the number of the visit, written when `settle` says that all its frames are kept.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from phenoloop.model import FrameAddress
from phenoloop.storage.plate import PlateStore
from tests.storage.builders import CHANNELS, address, frame, picture, plan


def visits() -> Iterator[list[FrameAddress]]:
    """Visits in an order that jumps between wells and comes back to some fields."""
    chance = random.Random(7)
    images: dict[str, list[str]] = {}
    counts: dict[tuple[str, str], int] = {}
    number = 0
    while True:
        number += 1
        well, field = chance.choice(plan().wells).name, str(chance.randrange(4))
        known = images.setdefault(well, [])
        if field not in known:
            known.append(field)
        t = counts[well, field] = counts.get((well, field), -1) + 1
        yield [address(well, field, visit=number, t=t, c=c, image=known.index(field)) for c in range(len(CHANNELS))]


def main(folder: Path) -> None:
    store = PlateStore(folder, plan(), "main", (16, 24), np.uint16)
    for _, frames in zip(sys.stdin, visits(), strict=False):
        for at in frames:
            store.write(frame(at), picture(at))
            if at.c == 0:
                store.write_labels("nuclei", at, np.ones((16, 24), np.int32))
        assert not store.settle(frames[0].visit)
        print(frames[0].visit, flush=True)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
