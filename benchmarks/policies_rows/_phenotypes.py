"""Plates of phenotypes as numbers: what is really there, what each look at a well shows, what a policy is told of it.

1,536 wells; phenotypes in shares ~ 1 / rank, the most frequent one as the controls. A field SD is 1 in every feature,
wells differ by 0.3.

- ``isotropic``: each phenotype moves each feature by a normal number of SD 3. The world of the note behind the bar.
- ``hard``: ten mechanisms, each moving a few blocks of features, of which a phenotype has one to three (no two the
  same); wells of a phenotype differ in strength (log SD 0.35), so clusters are long and thin; noise is shared within
  blocks; 5 % of the fields show debris that no gate rejected, 5 % are rejected, 3 % of the numbers unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phenoloop.model import ChannelPlan, FieldResult, ProfilePlan, Setup, features
from phenoloop.numerics.feature_blocks import block_of

WELLS, CONTROLS, PHENOTYPES, FIELDS = 1536, 64, 40, 4
WELL_SD = 0.3
FAMILIES = ("shape", "outline", "intensity", "texture", "spots")
NAMES = features.of_phenotype(
    name for name, feature in features.catalogue(["DNA", "GFP"], ["vesicles"]).items() if feature.family in FAMILIES
)
BLOCKS = tuple(dict.fromkeys(block_of(name) for name in NAMES))
MEMBERS = {block: np.array([k for k, name in enumerate(NAMES) if block_of(name) == block]) for block in BLOCKS}
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """What profiles are like."""

    name: str
    hard: bool
    debris: float = 0.0
    rejected: float = 0.0
    unknown: float = 0.0
    controls: int = CONTROLS
    phenotypes: int = PHENOTYPES


ISOTROPIC = World("isotropic", hard=False)
HARD = World("hard", hard=True, debris=0.05, rejected=0.05, unknown=0.03)


class Plate:
    """What is really there, and what each look at a well shows."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        rng = self.rng = np.random.default_rng([31, seed])
        self.controls = np.sort(rng.permutation(WELLS)[: world.controls])
        shares = 1 / np.arange(1, world.phenotypes + 1)
        self.kind = rng.choice(world.phenotypes, WELLS, p=shares / shares.sum())
        self.kind[self.controls] = 0
        self.level = rng.normal(0, WELL_SD, (WELLS, len(NAMES)))
        centres = self._hard_centres(rng) if world.hard else rng.normal(0, 3, (world.phenotypes, len(NAMES)))
        centres[0] = 0.0
        strength = np.exp(rng.normal(0, 0.35, WELLS)) if world.hard else np.ones(WELLS)
        self.level += strength[:, None] * centres[self.kind]

    @staticmethod
    def _hard_centres(rng: np.random.Generator) -> Floats:
        mechanisms = np.zeros((10, len(NAMES)))
        for row in mechanisms:
            for block in rng.permutation(len(BLOCKS))[: rng.integers(2, 4)]:
                members = MEMBERS[BLOCKS[block]]
                row[members] = rng.normal(0, 1, len(members))
        centres = np.zeros((PHENOTYPES, len(NAMES)))
        known: set[frozenset[tuple[int, int]]] = set()
        for row in centres:
            # the same mechanisms in the same directions would be the same phenotype
            while (drawn := _mechanisms_of_one(rng)) in known:
                continue
            known.add(drawn)
            for mechanism, sign in sorted(drawn):
                row += sign * rng.uniform(5, 10) * mechanisms[mechanism]
        return centres

    def look(self, well: int) -> FieldResult:
        """Return one field of the overview; its name is given later."""
        rng, world = self.rng, self.world
        noise = shared_noise(rng) if world.hard else rng.normal(size=len(NAMES))
        values = 100 + self.level[well] + noise
        if rng.random() < world.rejected:
            return FieldResult(field="", status="qc_fail", reason="out of focus")
        if rng.random() < world.debris:
            for block in rng.permutation(len(BLOCKS))[: len(BLOCKS) // 2]:
                members = MEMBERS[BLOCKS[block]]
                values[members] += rng.normal(0, 12, len(members))
        known = rng.random(len(NAMES)) >= world.unknown
        profile = tuple(float(f"{v:.8e}") if k else None for v, k in zip(values.tolist(), known.tolist(), strict=True))
        return FieldResult(field="", status="ok", profile=profile)


def _mechanisms_of_one(rng: np.random.Generator) -> frozenset[tuple[int, int]]:
    chosen = rng.permutation(10)[: rng.integers(1, 4)]
    return frozenset((int(mechanism), int(rng.choice([-1, 1]))) for mechanism in chosen)


def shared_noise(rng: np.random.Generator) -> Floats:
    """Return the noise of one field, half of whose variance the features of a block share."""
    noise = rng.normal(size=len(NAMES))
    for members in MEMBERS.values():
        noise[members] = math.sqrt(0.5) * noise[members] + math.sqrt(0.5) * rng.normal()
    return noise


def setup(plate: Plate, *, closeup: bool) -> Setup:
    """Return what the policy is told of a plate."""
    names = tuple(f"{_row(i // 48)}{i % 48 + 1}" for i in range(WELLS))
    channel = ChannelPlan(name="DNA", group="Channel", config="DAPI", exposure_ms=20)
    ways = ("main", "closeup") if closeup else ("main",)
    return Setup(
        wells=names,
        fields=(FIELDS,) * WELLS,
        controls=tuple(names[i] for i in plate.controls),
        batch=16,
        seed=plate.seed,
        profile_features=NAMES,
        profiles={name: ProfilePlan(name=name, channels=(channel,), pixel_size_um=1.0) for name in ways},
    )


def _row(number: int) -> str:
    return chr(65 + number) if number < 26 else "A" + chr(39 + number)
