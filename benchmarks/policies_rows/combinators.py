"""Rows of the policies that are written in the protocol: rules, and policies made of policies. How long an ask takes.

    python benchmarks/policies.py --rows combinators

Each plays one plate of 1,536 wells (seed 5000) in batches of 16, one of them under way, until 2.2 images per well are
spent; the parts are those that ship, `hits` among them, since it is the one that computes most. An ask is timed in
processor time, and by its p99 over the run; what a policy does when it is told is told beside it, without a bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from benchmarks.policies_rows import Row
from benchmarks.policies_rows._screens import READOUT, Screen, draw, setup_of
from benchmarks.policies_rows._stopwatch import K, Timed, asking_rows, timing
from phenoloop import testing
from phenoloop.model import (
    ChannelPlan,
    Context,
    FieldResult,
    Limits,
    ProfilePlan,
    Proposal,
    Setup,
    Stop,
    Visit,
    VisitResult,
)
from phenoloop.plugins import Registry
from phenoloop.policies.shadow import Shadow
from phenoloop.ports import Policy

BATCH: Final = K
PER_WELL: Final = 2.2
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
        said = f"{name}, 1536 wells x 12 fields, batches of {BATCH}, {PER_WELL} images per well"
        yield from asking_rows(play(screen, block), said)


class Overseen:
    """A policy that acts, with one that is watched: the machine asks and tells both."""

    def __init__(self, acts: Shadow) -> None:
        self._acts, self._watched = acts, acts.shadow.policy

    def ask(self, k: int, context: Context) -> Sequence[Proposal] | Stop:
        """Ask both, return what the first one proposes."""
        answer = self._acts.ask(k, context)
        self._watched.ask(k, replace(context, pending=tuple(replace(one, by="") for one in context.pending)))
        return answer

    def tell(self, visit: Visit, result: VisitResult) -> None:
        """Tell both."""
        self._acts.tell(visit, result)
        self._watched.tell(replace(visit, by=""), result)

    def report(self) -> Mapping[str, Any]:
        """Return the report of the one that acts."""
        return self._acts.report()


def play(screen: Screen, block: Mapping[str, Any], setup: Setup | None = None) -> Timed:
    """Let a policy choose until it stops or the images are spent; a policy that is watched is asked and told too."""
    setup = setup or plate(screen)
    given = dict(block)
    plugin = Registry(discover=False).load("policies", str(given.pop("kind")))
    policy: Policy = plugin(plugin.Params(wells_per_batch=BATCH, **given), setup)
    place = {well: i for i, well in enumerate(screen.wells)}

    def look(visit: Visit) -> list[FieldResult]:
        """Return what a visit sees; a closer look sees the same number."""
        i = place[visit.well]
        return [
            FieldResult(field=one.field, status="ok", readouts={READOUT: screen.value(i, int(one.field), 0)})
            for one in visit.fields
        ]

    with timing(Overseen(policy) if isinstance(policy, Shadow) else policy) as timed:
        testing.play(timed, setup, look, seed=screen.seed, seconds=lambda visit, before: 1.0)
    return timed


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
