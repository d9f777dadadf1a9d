"""`compare`: what other policies would have made of the same plate, against grids, in numbers and in a figure."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from phenoloop.api.contestants import Contestant, contestants
from phenoloop.api.filmed import FilmedPlates
from phenoloop.api.grounds import Ground, Numbers
from phenoloop.api.resolved import Resolved
from phenoloop.api.whole import WholePlates
from phenoloop.api.worlds import World, drawn, imaged, recorded
from phenoloop.errors import UsageError
from phenoloop.platform import write_atomically
from phenoloop.plugins import Registry
from phenoloop.protocol import load
from phenoloop.storage.run_folder import RunFolder
from phenoloop.studies.study import Record
from phenoloop.studies.summary import AXES, curve, plain, row, sized, times_less

SCHEMA: Final = "phenoloop.compare/1"
SEEDS: Final = 20
WHOLE_SEEDS: Final = 2

OnStep = Callable[[str, int, int], None]
"""Called with what is being done, how far it is, and of how much."""


@dataclass(frozen=True, kw_only=True)
class CompareResult:
    """A comparison.

    Attributes
    ----------
    result : mapping
        Content of ``compare.json``.
    folder : Path
        Where it lies, with ``compare.png`` and ``compare.svg``.
    """

    result: dict[str, Any]
    folder: Path


def compare(
    subject: Path,
    *,
    policies: Sequence[str] = (),
    seeds: int | None = None,
    whole: bool = False,
    out: Path | None = None,
    on_step: OnStep | None = None,
) -> CompareResult:
    """Let policies answer the same question on the same plates, and hold them against grids.

    Ctrl-C ends it with the plates that are complete by then; ``interrupted`` of the result says so.

    Parameters
    ----------
    subject : Path
        A protocol with a synthetic or a recorded specimen, a run folder, or a plate inside one.
    policies : sequence of str
        A kind, ``kind:{parameters}`` or a YAML file each; without any the protocol's own.
    seeds : int, optional
        Plates, or draws from the recorded plate.
    whole : bool
        Through the whole stack: the real core renders, segments and measures every field.
    out : Path, optional
        Folder for the result; otherwise one is made under ``comparisons/``.
    on_step : callable, optional
        Told how far it is.

    Raises
    ------
    ProtocolError, UsageError
        If the subject or a policy cannot be used, before anything is computed.
    KeyboardInterrupt
        If no plate was complete.
    """
    registry = Registry()
    folder, resolved, text = _open(subject, registry)
    if resolved.question is None:
        raise UsageError(f"{subject} asks no question, so there is no answer whose quality could be compared.")
    named = contestants(policies, resolved, registry)
    tell = on_step or (lambda what, done, total: None)
    count = seeds or (WHOLE_SEEDS if whole else SEEDS)
    if whole:
        _require_virtual(folder, resolved)
    with _folder(out, resolved.plan.name) as target:
        if whole:
            with tempfile.TemporaryDirectory(prefix="phenoloop-compare-") as scratch:
                result = _study(_whole(resolved, text, Path(scratch), tell), named, count, tell)
        else:
            tell("measuring fields", 0, 1)
            world = _world(folder, resolved, lambda n, of: tell("measuring fields", n, of))
            result = _study(Numbers(world), named, count, tell)
        result = {"schema": SCHEMA, "subject": str(subject), **result}
        _write(target, result)
    return CompareResult(result=result, folder=target)


def _study(ground: Ground, named: Sequence[Contestant], count: int, tell: OnStep) -> dict[str, Any]:
    quality, baseline = ground.quality, ground.baseline
    runs: dict[str, list[Record]] = {one.name: [] for one in named}
    grids: dict[int, list[Record]] = {}
    complete = 0
    for played, of_grids in _plates(ground, named, count, tell):
        for name, record in played.items():
            runs[name].append(record)
        for depth, record in of_grids.items():
            grids.setdefault(depth, []).append(record)
        complete += 1
    rows = []
    for name, records in runs.items():
        found = row(name, "policy", records, quality)
        enough = sized(found.score, grids, quality)
        if enough is not None:
            less = times_less(records, grids[enough])
            found = dataclasses.replace(found, grid=baseline.words(enough), grid_fields=enough, less=less)
        rows.append(found)
    just_enough = sorted({one.grid_fields for one in rows if one.grid_fields is not None})
    rows.extend(row(baseline.name(depth), "grid", grids[depth], quality, depth) for depth in just_enough)
    if grids:
        habit, words = baseline.habit(list(grids))
        rows.append(row(words, "habit", grids[habit], quality, habit))
    plates = "draw" if isinstance(ground, Numbers) and ground.recorded else "plate"
    plates += "s" if count != 1 else ""
    counted = f"{complete} {plates}" if complete == count else f"{complete} of {count} {plates}, then interrupted"
    resolved = ground.resolved
    return {
        "title": f"{resolved.plan.name}: {quality.title} against {quality.against}; {ground.words}; {counted}",
        "protocol": resolved.plan.name,
        "world": ground.words,
        "seeds": complete,
        "interrupted": complete < count,
        "wells": len(resolved.plan.wells),
        "controls": len(resolved.setup.controls),
        "quality": {"title": quality.title, "against": quality.against, "higher": quality.higher},
        "rows": [plain(one) for one in rows],
        "grids": [plain(row(baseline.label(depth), "grid", grids[depth], quality, depth)) for depth in sorted(grids)],
        "baseline": {"curve": baseline.curve, "enough": baseline.enough},
        "curves": {name: {axis: curve(records, axis, quality) for axis in AXES} for name, records in runs.items()},
        "runs": {name: [_ended(record) for record in records] for name, records in runs.items()},
    }


def _plates(
    ground: Ground, named: Sequence[Contestant], count: int, tell: OnStep
) -> Iterator[tuple[dict[str, Record], dict[int, Record]]]:
    """Play plate by plate; after Ctrl-C there is no further one, if one is complete."""
    steps, done = count * (len(named) + 1), 0
    for seed in range(1, count + 1):
        played: dict[str, Record] = {}
        try:
            for one in named:
                tell(f"plate {seed} of {count}: {one.name}", done, steps)
                played[one.name] = ground.play(one, seed)
                done += 1
            tell(f"plate {seed} of {count}: grids", done, steps)
            grids = ground.grids(seed)
            done += 1
        except KeyboardInterrupt:
            if seed == 1:
                raise
            return
        yield played, grids
    tell("done", steps, steps)


def _ended(record: Record) -> Mapping[str, Any]:
    spent = record.end.spent
    return {
        "seed": record.seed,
        "score": record.end.score,
        "frames": spent.frames,
        "minutes": spent.seconds / 60,
        "light_s": spent.light_s,
        "exit": record.exit,
        "reason": record.reason,
    }


_NO_PROTOCOL: Final = (
    "{subject} is {what}: it does not say how its images are analysed, nor what is asked. Name it in a protocol, "
    "`simulation: {{kind: recorded, {key}: {name}}}` (see docs/compare.md), and compare that."
)


def _open(subject: Path, registry: Registry) -> tuple[RunFolder | None, Resolved, str]:
    """Return the run folder, if it is one, the protocol as understood, and its text."""
    if subject.is_dir():
        home = next(
            (one for one in (subject, *subject.resolve().parents) if (one / "journal.jsonl").is_file()), subject
        )
        if home == subject and any((home / name).is_file() for name in (".zattrs", ".zgroup", "zarr.json")):
            raise UsageError(_NO_PROTOCOL.format(subject=subject, what="a plate", key="plate", name=subject.name))
        folder = RunFolder.open(home)
        resolved = Resolved.from_json(folder.resolved.read_bytes(), str(folder.resolved))
        return folder, resolved, folder.protocol.read_text(encoding="utf-8")
    if subject.suffix.lower() == ".csv":
        raise UsageError(_NO_PROTOCOL.format(subject=subject, what="a manifest", key="manifest", name=subject.name))
    loaded = load(subject, registry, simulate=True)
    return None, Resolved.of(loaded, ""), loaded.text


def _world(folder: RunFolder | None, resolved: Resolved, on_field: Callable[[int, int], None]) -> World:
    if folder is not None:
        return imaged(folder, resolved)
    assert resolved.simulation is not None  # a protocol was loaded with `simulate`
    if resolved.simulation.kind == "synthetic":
        return drawn(resolved, on_field)
    return recorded(resolved, on_field)


def _whole(resolved: Resolved, text: str, scratch: Path, tell: OnStep) -> Ground:
    if resolved.plan.profiles["main"].every_s is not None:
        return FilmedPlates(resolved, text, scratch)
    tell("measuring a sample", 0, 1)
    return WholePlates(resolved, text, scratch, lambda n, of: tell("measuring a sample", n, of))


def _require_virtual(folder: RunFolder | None, resolved: Resolved) -> None:
    if folder is not None or resolved.simulation is None or resolved.simulation.kind != "synthetic":
        raise UsageError("--whole needs a protocol with a synthetic specimen: only that has another plate per seed.")


@contextlib.contextmanager
def _folder(out: Path | None, name: str) -> Iterator[Path]:
    """Make the folder of the result; if nothing comes of it, none is left behind."""
    path = out or Path.cwd() / "comparisons" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made ({error.strerror}); choose --out.") from error
    try:
        yield path
    finally:
        if new and not any(path.iterdir()):
            path.rmdir()


def _write(folder: Path, result: Mapping[str, Any]) -> None:
    from phenoloop.studies.figure import draw

    write_atomically(folder / "compare.json", json.dumps(result, indent=1, allow_nan=False).encode())
    draw(result, [folder / "compare.png", folder / "compare.svg"])
