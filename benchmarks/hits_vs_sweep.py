"""F1 of the calls against frames: the policy `hits` and the plain `sweep`, on plates whose truth is known.

Readouts are drawn, not measured (a field is a number), but everything that decides is what ships: the loop's machine,
both policies, ``question: hits``. Each plate has 60 wells with 9 fields: 10 controls, 32 wells of two agonists (8
doses, 2 wells each; the full effects are 6 and 3.5 field SDs, so that depth matters), 18 inactive wells. Wells differ
by 0.3 field SDs. A true hit has an effect of at least 1 field SD, the `smallest` of the question. Images that only
measure the effect of a well already called (``confirm``) are left out: they change no call.

    python benchmarks/hits_vs_sweep.py --seeds 20 --empty 100 --out hits_vs_sweep.png

The second table is about plates without any effect, on which every call is false: looked at after every batch, by the
policy that chooses what to image on what it saw.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from phenoloop.core.deciding import Decider, NamedPolicy
from phenoloop.model import ChannelPlan, FieldPlace, FieldReadout, Limits, Measured, Plan, ProfilePlan, Setup, WellPlan
from phenoloop.policies.hits import Hits
from phenoloop.policies.sweep import Sweep
from phenoloop.questions.hits import HitsQuestion
from phenoloop.studies.simulator import Spent, simulate

ROWS, COLUMNS, FIELDS = 5, 12, 9
WELLS = tuple(f"{row}{column}" for row in "ABCDE" for column in range(1, COLUMNS + 1))
CONTROLS = WELLS[2::6]
SMALLEST = 1.0
WELL_SD = 0.3
FULL_EFFECTS = (6.0, 3.5)
READOUT = "signal"
ALL_FRAMES = len(WELLS) * FIELDS
LOOK_EVERY = 8

Effects = NDArray[np.float64]
Called = NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """What the question called after some frames."""

    frames: int
    called: Called


@dataclass(frozen=True)
class Outcome:
    """A run: the looks at it, and why it ended."""

    looks: list[Look]
    reason: str

    def at(self, frames: int) -> Called:
        """Return the calls at the last look within a number of frames; none before the first look."""
        called = np.zeros(len(WELLS), dtype=bool)
        for look in self.looks:
            if look.frames <= frames:
                called = look.called
        return called


def true_effects(seed: int, full: Sequence[float] = FULL_EFFECTS) -> Effects:
    """Return the effect of each well, in field SDs; compounds are laid out at random."""
    doses = np.geomspace(0.03, 30, 8)
    effects = [top * dose**1.2 / (1 + dose**1.2) for top in full for dose in doses for _ in range(2)]
    treated = np.zeros(len(WELLS) - len(CONTROLS))
    treated[: len(effects)] = effects
    np.random.default_rng([77, seed]).shuffle(treated)
    plate = np.zeros(len(WELLS))
    plate[[i for i, well in enumerate(WELLS) if well not in CONTROLS]] = treated
    return plate


def draw_fields(seed: int, effects: Effects, noise: str = "normal", well_sd: float = WELL_SD) -> NDArray[np.float64]:
    """Return the readout of every field, shape (wells, fields), with a field SD of 1.

    `noise`: ``"normal"``, or ``"heavy"`` for Student's t with 5 degrees of freedom between wells and between fields.
    """
    rng = np.random.default_rng([5, seed])

    def draw(shape: tuple[int, ...]) -> NDArray[np.float64]:
        return rng.normal(size=shape) if noise == "normal" else rng.standard_t(5, size=shape) / math.sqrt(5 / 3)

    return effects[:, None] + well_sd * draw((len(WELLS), 1)) + draw((len(WELLS), FIELDS))


def make_plan(seed: int, batch: int, frames: int | None) -> Plan:
    """Return a plan of one channel: a field is a frame."""
    channel = ChannelPlan(name="GFP", group="Channel", config="FITC", exposure_ms=20)
    wells = tuple(
        WellPlan(
            name=name,
            row=i // COLUMNS,
            column=i % COLUMNS,
            x_um=9000.0 * (i % COLUMNS),
            y_um=9000.0 * (i // COLUMNS),
            fields=tuple(
                FieldPlace(name=str(f), x_um=9000.0 * (i % COLUMNS) + 300 * f, y_um=9000.0 * (i // COLUMNS))
                for f in range(FIELDS)
            ),
            choice=tuple(range(FIELDS)),
        )
        for i, name in enumerate(WELLS)
    )
    return Plan(
        name="hits-vs-sweep",
        seed=seed,
        plate_rows=8,
        plate_columns=12,
        wells=wells,
        profiles={"main": ProfilePlan(name="main", channels=(channel,), pixel_size_um=0.65)},
        limits=Limits(frames=frames),
        batch=batch,
        in_flight=2 * batch,
        readouts=(READOUT,),
    )


class Plate:
    """Fields that are numbers (a `FieldSource`)."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values

    def measured(self, well: str, field: str) -> Measured:
        """Return what a field measures."""
        value = float(self._values[WELLS.index(well), int(field)])
        return Measured(at_s=0.0, visit=0, field=field, readouts={READOUT: value})


def drive(
    kind: type[Hits] | type[Sweep],
    values: NDArray[np.float64],
    seed: int,
    *,
    params: Hits.Params | Sweep.Params | None = None,
    frames: int | None = None,
    look_every: int = LOOK_EVERY,
) -> Outcome:
    """Run one policy to its end over one plate, and ask the question every few fields."""
    chosen = params or kind.Params()
    batch = chosen.wells_per_batch
    setup = Setup(
        wells=WELLS,
        fields=(FIELDS,) * len(WELLS),
        controls=CONTROLS,
        readout=READOUT,
        smallest=SMALLEST,
        fields_per_visit=chosen.fields_per_visit,
        batch=batch,
        seed=seed,
    )
    question = HitsQuestion(
        HitsQuestion.Params(readout=READOUT, controls="treatment == 'vehicle'", smallest=SMALLEST), setup
    )
    policy = NamedPolicy(kind=kind.kind, parameters={}, policy=kind(chosen, setup))  # type: ignore[arg-type]
    fallback = NamedPolicy(kind="sweep", parameters={}, policy=Sweep(Sweep.Params(), setup))
    plan = make_plan(seed, batch, frames)
    looks: list[Look] = []

    def look(spent: Spent, fields: Sequence[FieldReadout]) -> None:
        answer = question.answer(fields)
        looks.append(Look(spent.frames, np.array([answer.wells[well].call == "hit" for well in WELLS])))

    course = simulate(plan, Decider(policy, fallback, plan), Plate(values), look_every=look_every, look=look)
    return Outcome(looks, course.reason)


def f1(called: Called, true: Called) -> float:
    """Return the harmonic mean of precision and recall; 1 where there is nothing to find and nothing was called."""
    total = int(called.sum() + true.sum())
    return 2 * int((called & true).sum()) / total if total else 1.0


def mean_and_half(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % t interval over plates."""
    data = np.array(values)
    n = len(data)
    return float(data.mean()), float(stdtrit(n - 1, 0.975) * data.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf


def compare(
    seeds: int, look_every: int = LOOK_EVERY
) -> tuple[list[int], dict[str, NDArray[np.float64]], list[int], int]:
    """Run both policies over plates.

    Returns
    -------
    frames : list of int
        Points of the curve.
    scores : dict of str to ndarray, shape (seeds, points)
        F1 by policy.
    used : list of int
        Frames at which `hits` stopped by itself, by plate.
    controls_called : int
        Controls among all calls of all looks of both; must be 0.
    """
    frames = [round(share * ALL_FRAMES) for share in np.linspace(0.1, 1.0, 19)]
    scores = {"hits": np.zeros((seeds, len(frames))), "sweep": np.zeros((seeds, len(frames)))}
    used, controls_called = [], 0
    is_control = np.array([well in CONTROLS for well in WELLS])
    for seed in range(seeds):
        effects = true_effects(seed)
        values, true = draw_fields(seed, effects), effects >= SMALLEST
        for name, kind in (("hits", Hits), ("sweep", Sweep)):
            params = Hits.Params(confirm=0) if kind is Hits else None
            outcome = drive(kind, values, seed, params=params, look_every=look_every)
            scores[name][seed] = [f1(outcome.at(n), true) for n in frames]
            controls_called += sum(int((look.called & is_control).sum()) for look in outcome.looks)
            if name == "hits":
                used.append(outcome.looks[-1].frames)
    return frames, scores, used, controls_called


def false_calls(plates: int, noise: str, well_sd: float) -> int:
    """Return how many plates without effect show a hit at any look, with `hits` choosing."""
    empty = np.zeros(len(WELLS))
    return sum(
        any(look.called.any() for look in drive(Hits, draw_fields(seed, empty, noise, well_sd), seed).looks)
        for seed in range(1000, 1000 + plates)
    )


def draw_curve(
    frames: Sequence[int],
    scores: dict[str, NDArray[np.float64]],
    used: Sequence[int],
    path: Path,
    title: str,
    all_frames: int,
) -> None:
    """Draw F1 against frames with 95 % bands over plates; a dotted line marks half of all frames."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name, colour in (("hits", "#0072B2"), ("sweep", "#D55E00")):
        middle, half = np.array([mean_and_half(column) for column in scores[name].T]).T
        axes.plot(frames, middle, color=colour, label=f"policy: {name}")
        axes.fill_between(frames, middle - half, middle + half, color=colour, alpha=0.2, linewidth=0)
    axes.axvline(all_frames / 2, color="0.6", linewidth=0.8, linestyle=":")
    axes.axvline(float(np.mean(used)), color="#0072B2", linewidth=0.8, linestyle="--")
    axes.text(float(np.mean(used)) - 4, 0.02, "hits stops (mean)", rotation=90, ha="right", color="#0072B2", size=8)
    axes.set(xlabel="frames", ylabel="F1 of the calls", xlim=(frames[0], frames[-1]), ylim=(0, 1))
    axes.set_title(f"{title}; bands: 95 % of the mean", size=9)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="plates with effects")
    parser.add_argument("--empty", type=int, default=100, help="plates without, for each kind of noise")
    parser.add_argument("--out", type=Path, default=Path("hits_vs_sweep.png"), help="where the curve is drawn")
    options = parser.parse_args()

    frames, scores, used, controls_called = compare(options.seeds)
    print(f"F1 of the calls, mean ± 95 % over {options.seeds} plates of {ALL_FRAMES} frames")
    print(f"{'frames':>8} {'share':>6}   {'hits':>14} {'sweep':>14}")
    for j, n in enumerate(frames):
        (a, b), (c, d) = mean_and_half(scores["hits"][:, j]), mean_and_half(scores["sweep"][:, j])
        print(f"{n:>8} {n / ALL_FRAMES:>6.0%}   {a:>6.3f} ± {b:.3f} {c:>6.3f} ± {d:.3f}")
    half = next(j for j, n in enumerate(frames) if n >= ALL_FRAMES / 2)
    full, cut = (mean_and_half(scores["hits"][:, half] - scores["sweep"][:, j]) for j in (-1, half))
    print(
        f"hits at {frames[half] / ALL_FRAMES:.0%} of the frames minus full sweep:       {full[0]:+.3f} ± {full[1]:.3f}"
    )
    print(f"hits at {frames[half] / ALL_FRAMES:.0%} minus sweep cut at the same frames:   {cut[0]:+.3f} ± {cut[1]:.3f}")
    print(f"hits stopped by itself after {np.mean(used):.0f} frames (from {min(used)} to {max(used)})")
    print(f"controls called, over all looks of both: {controls_called}")
    draw_curve(frames, scores, used, options.out, f"60 wells, 10 controls, {options.seeds} plates", ALL_FRAMES)
    print(f"curve: {options.out}")

    if options.empty:
        print(f"\nplates without effect, `hits` choosing, looked at after every {LOOK_EVERY} fields")
        for noise, well_sd in (("normal", 0.3), ("normal", 1.0), ("heavy", 0.3), ("heavy", 1.0)):
            wrong = false_calls(options.empty, noise, well_sd)
            print(f"  {noise:>6} noise, well SD {well_sd}: {wrong} of {options.empty} with any false hit")


if __name__ == "__main__":
    main()
