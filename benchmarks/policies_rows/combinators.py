"""Rows of the policies that are written in the protocol: rules, and policies made of policies. How long an ask takes.

    python benchmarks/policies.py --rows combinators

Each plays one plate of 1,536 wells (seed 5000) in batches of 16, one of them under way, until 2.2 images per well are
spent; the parts are those that ship, `hits` among them, since it is the one that computes most. An ask is timed in
processor time, and by its p99 over the run; what a policy does when it is told is told beside it, without a bar.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from benchmarks.policies_rows import Row
from benchmarks.policies_rows._screens import READOUT, Screen, draw, setup_of
from phenoloop.model import (
    ChannelPlan,
    Context,
    FieldResult,
    FieldVisit,
    Limits,
    Pending,
    ProfilePlan,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.plugins import Registry
from phenoloop.policies.shadow import Shadow
from phenoloop.ports import Policy

BATCH: Final = 16
PER_WELL: Final = 2.2
BAR_MS: Final = 5.0
_HITS: Final = {"kind": "hits", "control_fields": 8}
_ONCE: Final = {"name": "first look", "when": "n_fields < 1", "do": {"image": {"fields": 1}}, "because": "not seen yet"}
_UNSURE: Final = {
    "name": "until sure",
    "when": f"n_fields >= 1 and abs(z_{READOUT}) > 1 and not (half_width_{READOUT} < 0.5 * abs(effect_{READOUT}))",
    "do": {"image": {"fields": 1}},
    "because": f"{{effect_{READOUT}:.2g}} from the controls",
    "limits": {"per_well": 6},
}
_CLOSE: Final = {
    "name": "close look",
    "level": "field",
    "when": f"{READOUT} > control_mean_{READOUT} + 2 and n_looks < 2",
    "do": {"image": {"profile": "closeup"}},
    "because": f"{{{READOUT}:.2g}} in field {{field}}",
    "limits": {"per_field": 1, "fields": 900},
}
_LEAVE: Final = {"name": "leave", "when": "n_tried >= 3 and rejected_share > 0.5", "do": {"leave": "well"}}
POLICIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "hits alone, to compare": _HITS,
    "rules, 3 about wells": {"kind": "rules", "rules": [_ONCE, _UNSURE, _LEAVE]},
    "rules, one of 4 about fields": {"kind": "rules", "rules": [_CLOSE, _ONCE, _UNSURE, _LEAVE]},
    "mix of hits, sweep and chance": {
        "kind": "mix",
        "random": 0.1,
        "of": [{**_HITS, "weight": 0.75}, {"kind": "sweep", "order": "random", "weight": 0.15}],
    },
    "priority of rules over hits": {
        "kind": "priority",
        "of": [{"kind": "rules", "rules": [_ONCE]}, _HITS],
    },
    "sequence of rules, then hits": {
        "kind": "sequence",
        "of": [{"kind": "rules", "rules": [_ONCE]}, _HITS],
    },
    "quota of hits and sweep": {
        "kind": "quota",
        "of": [{**_HITS, "share": 0.8}, {"kind": "sweep", "share": 0.2}],
    },
    "shadow: sweep acts, hits is watched": {"kind": "shadow", "acts": {"kind": "sweep"}, "shadow": _HITS},
}


def rows(seeds: int) -> Iterator[Row]:
    """Yield the p99 of each policy; one plate each, whatever `seeds` is."""
    screen = draw(5000, wells=1536, controls=64, fields=12)
    for name, block in POLICIES.items():
        clock = play(screen, block)
        figure = float(np.quantile(clock.asks, 0.99))
        world = f"{name}, 1536 wells x 12 fields, batches of {BATCH}, {PER_WELL} images per well, n = {len(clock.asks)}"
        said = f"ask of {BATCH}, p99, ms of processor time [median, largest]"
        yield Row(said, world, figure, _middle(clock.asks), max(clock.asks), BAR_MS, figure <= BAR_MS)
        figure = float(np.quantile(clock.tells, 0.99))
        world = f"{name}, n = {len(clock.tells)}"
        yield Row(
            "tell, p99, ms of processor time [median, largest]",
            world,
            figure,
            _middle(clock.tells),
            max(clock.tells),
            None,
            None,
        )


@dataclass
class Clock:
    """Processor time of every ask and every tell of a run, ms."""

    asks: list[float] = field(default_factory=list)
    tells: list[float] = field(default_factory=list)


def play(screen: Screen, block: Mapping[str, Any], setup: Setup | None = None) -> Clock:
    """Let a policy choose until it stops or the images are spent; a policy that is watched is asked and told too."""
    setup = setup or plate(screen)
    given = dict(block)
    plugin = Registry(discover=False).load("policies", str(given.pop("kind")))
    policy: Policy = plugin(plugin.Params(wells_per_batch=BATCH, **given), setup)
    watched = policy.shadow.policy if isinstance(policy, Shadow) else None
    place = {well: i for i, well in enumerate(screen.wells)}
    used = np.zeros(len(screen.wells), dtype=np.int64)
    pending: deque[Visit] = deque()
    clock = Clock()
    left, number, decision = setup.limits.frames or 0, 0, 0
    while True:
        while left > 0 and len(pending) <= BATCH:
            decision += 1
            context = Context(
                decision=decision,
                at_s=float(number),
                pending=tuple(
                    Pending(
                        visit=one.number,
                        well=one.well,
                        fields=len(one.fields),
                        names=tuple(seen.field for seen in one.fields),
                        profile=one.profile,
                        by=one.by,
                    )
                    for one in pending
                ),
                fields_left=dict(zip(screen.wells, (screen.noise.shape[1] - used).tolist(), strict=True)),
                frames_left=left,
                last_well=None,
                rng=np.random.default_rng([screen.seed, decision]),
            )
            begun = time.process_time()
            answer = policy.ask(BATCH, context)
            if watched is not None:
                watched.ask(BATCH, replace(context, pending=tuple(replace(one, by="") for one in context.pending)))
            clock.asks.append(1000 * (time.process_time() - begun))
            if isinstance(answer, Stop) or not answer:
                break
            for wish in answer:
                i = place[wish.well]
                names = wish.fields
                if isinstance(names, int):
                    names = tuple(str(used[i] + one) for one in range(min(names, left)))
                    used[i] += len(names)
                if names:
                    left -= len(names)
                    number += 1
                    seen = tuple(FieldVisit(field=name, t=0, image=0) for name in names)
                    visit = Visit(
                        number=number,
                        decision=decision,
                        well=wish.well,
                        profile=wish.profile,
                        fields=seen,
                        channels=("GFP",),
                        by=wish.why.by,
                    )
                    pending.append(visit)
        if not pending:
            return clock
        visit = pending.popleft()
        result = seen_by(screen, visit, place[visit.well])
        begun = time.process_time()
        policy.tell(visit, result)
        if watched is not None:
            watched.tell(replace(visit, by=""), result)
        clock.tells.append(1000 * (time.process_time() - begun))


def plate(screen: Screen) -> Setup:
    """Return what the policies are told of the plate: two ways of imaging, and a budget of frames."""
    channel = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=100)
    ways = {name: ProfilePlan(name=name, channels=(channel,), pixel_size_um=0.65) for name in ("main", "closeup")}
    frames = round(PER_WELL * len(screen.wells))
    names = tuple(str(one) for one in range(screen.noise.shape[1]))
    return replace(
        setup_of(screen, batch=BATCH),
        readouts=(READOUT,),
        profiles=ways,
        limits=Limits(frames=frames),
        field_names=(names,) * len(screen.wells),
    )


def seen_by(screen: Screen, visit: Visit, i: int) -> VisitResult:
    """Return what a visit sees; a closer look sees the same number."""
    fields = tuple(
        FieldResult(field=one.field, status="ok", readouts={READOUT: screen.value(i, int(one.field), 0)})
        for one in visit.fields
    )
    return VisitResult(
        visit=visit.number, well=visit.well, profile=visit.profile, fields=fields, at_s=float(visit.number)
    )


def _middle(taken: list[float]) -> float:
    return float(np.median(taken))
