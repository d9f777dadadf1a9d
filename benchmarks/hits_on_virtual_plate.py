"""`hits` against `sweep` on the shipped protocol, through the whole stack: virtual plate, real core, real segmentation.

For each seed the plate is swept once through the real stack. A field's picture is a pure function of its address, so
the policies then meet exactly the readouts that they would have measured themselves (for the first seed this is checked
by a real run of `hits`), and only the core is run again.

Usage: ``python benchmarks/hits_on_virtual_plate.py [--seeds 20] [--out curve.png]``
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hits_vs_sweep import draw_curve, f1, mean_and_half
from phenoloop import api
from phenoloop.api.resolved import Resolved
from phenoloop.microscope.virtual.synthetic import Synthetic
from phenoloop.model import Acquire, FieldReadout, Measured, MeasurementFailed
from phenoloop.plugins import Registry
from phenoloop.protocol import load_text, shared_folder
from phenoloop.storage.journal import read
from phenoloop.studies.response import KnownFields
from phenoloop.studies.simulator import Spent, simulate

Field = tuple[str, str]
LOOK_EVERY = 16


PROTOCOL = shared_folder("protocols") / "find_hits.yaml"


def variant(seed: int, policy: str) -> str:
    """Return the protocol with another seed and policy, and without a frame limit."""
    lines = []
    for line in PROTOCOL.read_text(encoding="utf-8").splitlines():
        if line.startswith("seed:"):
            line = f"seed: {seed}"
        elif line.startswith("policy:") and policy == "sweep":
            line = line.replace("kind: hits", "kind: sweep")
        elif line.startswith("limits:"):
            line = ""
        lines.append(line)
    return "\n".join(lines)


def resolve(seed: int, policy: str, frames: int | None = None) -> Resolved:
    """Return a protocol as understood, with a limit of frames."""
    loaded = load_text(variant(seed, policy), Registry(), base=PROTOCOL.parent)
    resolved = Resolved.of(loaded, "")
    limits = dataclasses.replace(resolved.plan.limits, frames=frames)
    return dataclasses.replace(resolved, plan=dataclasses.replace(resolved.plan, limits=limits))


def sweep_for_real(seed: int, folder: Path, policy: str = "sweep") -> tuple[dict[Field, Measured], api.RunResult]:
    """Run through the whole stack; return what each field measured."""
    protocol = folder / f"{policy}.yaml"
    protocol.write_text(variant(seed, policy).replace("maps/", f"{PROTOCOL.parent}/maps/"), encoding="utf-8")
    result = api.run(protocol, out=folder / f"run-{policy}")
    messages = read(result.folder.journal).messages
    wells = {m.visit.number: m.visit.well for m in messages if isinstance(m, Acquire)}
    assert not any(isinstance(m, MeasurementFailed) for m in messages)
    return {(wells[m.visit], m.field): m for m in messages if isinstance(m, Measured)}, result


def looks_at(resolved: Resolved, readouts: Mapping[Field, Measured]) -> list[tuple[int, list[FieldReadout]]]:
    """Run the core over measured fields; return (frames, accepted fields) after every few visits and at the end."""
    looks: list[tuple[int, list[FieldReadout]]] = []

    def look(spent: Spent, fields: Sequence[FieldReadout]) -> None:
        looks.append((spent.frames, list(fields)))

    simulate(resolved.plan, resolved.decider(), KnownFields(readouts), look_every=LOOK_EVERY, look=look)
    return looks


def called(resolved: Resolved, accepted: list[FieldReadout]) -> set[str]:
    """Return the wells that the question calls."""
    question = resolved.build_question()
    assert question is not None
    return {well for well, answer in question.answer(accepted).wells.items() if answer.call == "hit"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("hits_on_virtual_plate.png"))
    options = parser.parse_args()
    rows, controls_called, used = [], 0, []
    curves: dict[str, list[list[float]]] = {"hits": [], "sweep": []}
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            readouts, result = sweep_for_real(seed, Path(folder))
            full = resolve(seed, "sweep")
            everything = sum(len(well.fields) for well in full.plan.wells) * 2
            assert result.report["frames"] == everything
            assert full.simulation is not None
            specimen = Synthetic(full.simulation.parameters, full.plan)
            true = specimen.true_hits(full.setup.smallest) - set(full.setup.controls)
            half = resolve(seed, "hits", everything // 2)
            looks = {"hits": looks_at(half, readouts)}
            frames = looks["hits"][-1][0]
            looks["sweep"] = looks_at(full, readouts)
            cut = looks_at(resolve(seed, "sweep", frames), readouts)[-1][1]
            if seed == 1:
                _, real = sweep_for_real(seed, Path(folder), "hits")
                freely = looks_at(resolve(seed, "hits"), readouts)[-1][1]  # as the real run: without a limit
                assert [well["call"] == "hit" for well in real.report["wells"]] == [
                    well.name in called(half, freely) for well in half.plan.wells
                ], "the core over measured fields must agree with the real run"
        calls = {name: [(n, called(half, fields)) for n, fields in looks[name]] for name in looks}
        controls_called += sum(len(c & set(half.setup.controls)) for name in calls for _, c in calls[name])
        score = {name: _f1(calls[name][-1][1], true, half) for name in calls}
        cut_score = _f1(called(half, cut), true, half)
        rows.append((score["hits"], score["sweep"], cut_score))
        used.append(frames)
        grid = list(range(0, everything + 1, 32))
        for name in curves:
            curves[name].append([_at(calls[name], n, true, half) for n in grid])
        print(
            f"seed {seed:2}: {len(true)} true hits; hits {score['hits']:.3f} with {frames} of {everything} frames; "
            f"sweep {score['sweep']:.3f}; sweep cut there {cut_score:.3f}",
            flush=True,
        )
    table = np.array(rows)
    (against_full, a), (against_cut, b) = (
        mean_and_half(table[:, 0] - table[:, 1]),
        mean_and_half(table[:, 0] - table[:, 2]),
    )
    means = table.mean(axis=0)
    print(
        f"\nmean F1 over {options.seeds} seeds: hits {means[0]:.3f} with {np.mean(used):.0f} frames "
        f"(at most {max(used)} of {everything}), full sweep {means[1]:.3f}, sweep cut {means[2]:.3f}"
    )
    print(f"hits minus full sweep {against_full:+.3f} ± {a:.3f}; minus cut sweep {against_cut:+.3f} ± {b:.3f} (95 %)")
    print(f"controls called, over all looks of both: {controls_called}")
    title = f"{PROTOCOL.name}: {len(half.plan.wells)} wells, {len(half.setup.controls)} controls, {options.seeds} seeds"
    draw_curve(grid, {name: np.array(values) for name, values in curves.items()}, used, options.out, title, everything)


def _f1(calls: set[str], true: set[str], resolved: Resolved) -> float:
    names = [well.name for well in resolved.plan.wells]
    return f1(np.array([name in calls for name in names]), np.array([name in true for name in names]))


def _at(calls: list[tuple[int, set[str]]], frames: int, true: set[str], resolved: Resolved) -> float:
    before = [found for n, found in calls if n <= frames]
    return _f1(before[-1] if before else set(), true, resolved)


if __name__ == "__main__":
    main()
