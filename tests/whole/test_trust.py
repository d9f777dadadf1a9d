"""A well out of focus among good ones, through the whole stack: told, left out; replayed and resumed alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from phenoloop import api
from phenoloop.api.resolved import Resolved
from phenoloop.model import Judged, Measured
from phenoloop.ports import Image, Specimen, View
from phenoloop.storage.journal import read
from tests.whole.plates import SWEEP, write_protocol

pytestmark = pytest.mark.mm

SOFT = "C2"


class SoftInOneWell:
    """A specimen that one well of which is seen out of focus."""

    def __init__(self, real: Specimen) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def render(self, view: View) -> Image:
        sharp = self._real.render(view)
        if view.address is None or view.address.well != SOFT:
            return sharp
        rng = np.random.default_rng([view.address.image, view.address.c])
        soft = cv2.GaussianBlur(sharp.astype(np.float32), (0, 0), 6)
        return np.clip(rng.normal(soft, 4), 0, 65535).astype(sharp.dtype)


@pytest.fixture
def soft(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Resolved.build_specimen

    def build(self: Resolved) -> Any:
        specimen = real(self)
        return None if specimen is None else SoftInOneWell(specimen)

    monkeypatch.setattr(Resolved, "build_specimen", build)


def protocol(folder: Path, **settings: Any) -> Path:
    path = write_protocol(folder, policy=SWEEP, frames=96, **settings)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  workers:", "  quality: {retries: 1}\n  workers:"), encoding="utf-8")
    return path


def verdicts(run: Path) -> list[Judged]:
    return [message for message in read(run / "journal.jsonl").messages if isinstance(message, Judged)]


@pytest.mark.usefixtures("soft")
def test_a_soft_well_is_left_out(tmp_path: Path) -> None:
    result = api.run(protocol(tmp_path), out=tmp_path / "run")
    out = result.folder.path
    found = verdicts(out)
    assert found
    assert all("unlike the controls" in verdict.reason for verdict in found)
    quality = result.report["quality"]
    assert quality["rejected"] == len(found)
    assert quality["reasons"] == {verdict.reason: 1 for verdict in found}
    wells = {well["well"]: well for well in result.report["wells"]}
    assert wells[SOFT]["rejected"] == len(found)
    assert wells[SOFT]["fields"] == 0
    measured = [m for m in read(out / "journal.jsonl").messages if isinstance(m, Measured)]
    assert all(message.status == "ok" for message in measured)

    table = pq.read_table(out / "readouts.parquet").to_pylist()
    assert {row["well"] for row in table if row["status"] == "qc_fail"} == {SOFT}
    assert {row["reason"] for row in table if row["well"] == SOFT} == {verdict.reason for verdict in found}
    assert api.replay(out).equal


@pytest.mark.usefixtures("soft")
def test_a_run_that_was_stopped_goes_on_comparing(tmp_path: Path) -> None:
    lives: list[api.LiveRun] = []
    out = tmp_path / "run"

    def stop_at_a_verdict() -> None:
        if (out / "journal.jsonl").exists() and b'"Judged"' in (out / "journal.jsonl").read_bytes():
            lives[0].stop("test")

    api.run(protocol(tmp_path), out=out, on_start=lives.append, on_wait=stop_at_a_verdict)
    before = verdicts(out)
    assert before
    result = api.resume(out)
    assert result.exit_code == 0
    after = verdicts(out)
    assert after[: len(before)] == before
    wells = {well["well"]: well for well in result.report["wells"]}
    assert wells[SOFT]["fields"] == 0
    assert result.report["quality"]["rejected"] == len(after) == wells[SOFT]["rejected"]
    assert api.replay(out).equal


def test_no_good_field_is_rejected(tmp_path: Path) -> None:
    result = api.run(protocol(tmp_path), out=tmp_path / "run")
    assert result.report["quality"]["rejected"] == 0
    assert not verdicts(result.folder.path)
