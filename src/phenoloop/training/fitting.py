"""The training loop: what is minimised, in how many steps, and where the weights that are kept come from."""

from __future__ import annotations

import copy
import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from phenoloop.platform import give_back_memory
from phenoloop.training.crops import Crops
from phenoloop.training.network import build, torch_or_error

MAPS_OUT: Final = 4
"""Flow (y, x), foreground logit, normalised distance."""

_RATE: Final = 3e-3
_DECAY: Final = 1e-3
_WARM: Final = 100
"""Steps in which the learning rate rises."""
_MEMORY: Final = 0.998
"""The weights that are kept are a moving average over some 1 / (1 - this) steps."""
_AHEAD: Final = 4
_TOLD: Final = 100
"""Steps between two lines of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and from where.

    Attributes
    ----------
    steps : int
        Batches.
    seed : int
        Of the first weights (the crops have their own).
    threads : int
        Of PyTorch. Another number may round otherwise.
    """

    steps: int
    seed: int
    threads: int = 2


def fit(crops: Crops, schedule: Schedule, say: Callable[[str], None]) -> Any:
    """Return a trained network (the moving average of the weights).

    AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), cosine schedule, bfloat16 where it is safe. Cross-entropy of the
    foreground, squared error of distance and flows, all weighted up where objects touch.

    Parameters
    ----------
    crops : Crops
        The lessons.
    schedule : Schedule
        How long.
    say : callable
        Gets a line now and then.

    Raises
    ------
    UsageError
        Without PyTorch.
    """
    torch = torch_or_error()
    torch.set_num_threads(schedule.threads)
    torch.manual_seed(schedule.seed)
    network = build(MAPS_OUT).to(memory_format=torch.channels_last)
    kept = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    losses: list[Any] = []
    with _Supply(crops, schedule.steps) as supply:
        for step in range(schedule.steps):
            _set_rate(optimiser, step, schedule.steps)
            images, targets = (torch.from_numpy(array) for array in supply.next())
            with torch.autocast("cpu", dtype=torch.bfloat16):
                maps = network(images.to(memory_format=torch.channels_last))
            parts = _losses(torch, maps.float(), targets)
            optimiser.zero_grad()
            parts.sum().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            _average(torch, kept, network, min(_MEMORY, (step + 1) / (step + 10)))
            losses.append(parts.detach().numpy())
            if (step + 1) % _TOLD == 0 or step + 1 == schedule.steps:
                parts = ", ".join(f"{loss:.4f}" for loss in np.mean(losses[-_TOLD:], axis=0))
                say(f"step {step + 1} of {schedule.steps}: loss of foreground, distance, flows {parts}")
                give_back_memory()
    return kept


def _losses(torch: Any, maps: Any, targets: Any) -> Any:
    """Return the losses of foreground, distance and flows."""
    flows, foreground, distance, weight = targets[:, :2], targets[:, 2], targets[:, 3], targets[:, 4]
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(maps[:, 2], foreground, reduction="none")
    off = (maps[:, 3] - distance) ** 2
    astray = ((maps[:, :2] - flows) ** 2).sum(1)
    return torch.stack(
        (
            (entropy * weight).mean(),
            5 * (off * weight * (0.5 + 2 * foreground)).mean(),
            2 * (astray * weight * foreground).mean(),
        )
    )


def _set_rate(optimiser: Any, step: int, steps: int) -> None:
    part = step / steps
    rate = _RATE * min(1.0, (step + 1) / _WARM) * (0.5 + 0.5 * math.cos(math.pi * part)) + 1e-5
    for group in optimiser.param_groups:
        group["lr"] = rate


def _average(torch: Any, kept: Any, network: Any, memory: float) -> None:
    with torch.no_grad():
        for old, new in zip(kept.state_dict().values(), network.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - memory)
            else:
                old.copy_(new)


class _Supply:
    """Makes batches a few ahead in a thread of its own, in order, while the network computes."""

    def __init__(self, crops: Crops, steps: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(_AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._make, args=(crops, steps), name="phenoloop-crops", daemon=True)

    def __enter__(self) -> _Supply:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._over.set()
        while self._thread.is_alive():
            while not self._queue.empty():
                self._queue.get_nowait()
            self._thread.join(0.05)

    def next(self) -> Any:
        """Return the next batch, or raise what went wrong in making it."""
        made = self._queue.get()
        if isinstance(made, Exception):
            raise made
        return made

    def _make(self, crops: Crops, steps: int) -> None:
        for step in range(steps):
            if self._over.is_set():
                return
            try:
                made: Any = crops.batch(step)
            except Exception as error:  # told to the thread that waits for it
                made = error
            self._queue.put(made)
