"""Who plays where: a policy, or grids of all depths, on one plate of a world, to a record that can be compared."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from phenoloop.api.contestants import Contestant
from phenoloop.api.resolved import Built, Resolved
from phenoloop.api.worlds import Recording, World, with_seed
from phenoloop.studies.baselines import Baseline, FieldGrids, depths_of, grid
from phenoloop.studies.quality import Measure
from phenoloop.studies.study import LOOKS, Game, Record, play


class Ground(Protocol):
    """Plates on which policies and grids can be played, one per seed."""

    @property
    def words(self) -> str:
        """What it is, in a sentence."""
        ...

    @property
    def resolved(self) -> Resolved:
        """The protocol."""
        ...

    @property
    def quality(self) -> Measure:
        """How what was done is judged."""
        ...

    @property
    def baseline(self) -> Baseline:
        """What the grids are called."""
        ...

    def play(self, contestant: Contestant, seed: int) -> Record:
        """Let a policy run under the limits of the protocol."""
        ...

    def grids(self, seed: int) -> dict[int, Record]:
        """Run grids, by a number that grows with what they take."""
        ...


class Numbers:
    """A ground whose fields are known numbers (a `Ground`)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.words = world.words
        self.resolved = world.resolved
        self.quality = world.quality
        self.recorded = isinstance(world, Recording)
        self.baseline = FieldGrids()

    def play(self, contestant: Contestant, seed: int) -> Record:
        """Let a policy run under the limits of the protocol."""
        return play_numbers(contestant.apply(with_seed(self.resolved, seed)), self._world, seed, LOOKS)

    def grids(self, seed: int) -> dict[int, Record]:
        """Run grids of all depths."""
        plate = with_seed(self.resolved, seed)
        return {depth: play_grid(plate, self._world, depth, seed) for depth in depths_of(plate.plan)}


def play_numbers(resolved: Resolved, world: World, seed: int, looks: int) -> Record:
    """Let the policy of a protocol run over the fields of a world; 0 looks: one at the end only."""
    question = resolved.build_question()
    assert question is not None
    game = Game(
        plan=resolved.plan,
        decider=resolved.decider(),
        question=question,
        source=world.source(resolved),
        quality=world.quality,
    )
    return play(game, seed, looks=looks)


def play_grid(resolved: Resolved, world: World, depth: int, seed: int) -> Record:
    """Run a grid over the fields of a world."""
    return play_numbers(as_grid(resolved, depth), world, seed, 0)


def as_grid(resolved: Resolved, depth: int) -> Resolved:
    """Return a protocol whose policy takes the first `depth` fields of each well in one visit, well by well."""
    plan, setup = grid(resolved.plan, resolved.setup, depth)
    sweep = Built(
        kind="sweep",
        target="phenoloop.policies.sweep:Sweep",
        parameters={"fields_per_visit": depth, "wells_per_batch": plan.batch, "passes": "wells"},
    )
    setup = dataclasses.replace(setup, fields_per_visit=depth)
    return dataclasses.replace(resolved, plan=plan, setup=setup, policy=sweep)
