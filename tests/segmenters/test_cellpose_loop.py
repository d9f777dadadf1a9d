"""Cellpose in the closed loop: checked before any device, and a run whose labels are its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from phenoloop import api
from phenoloop.errors import ProtocolError
from phenoloop.model import Measured, MeasurementFailed
from phenoloop.plugins import Registry
from phenoloop.protocol import load, shared_folder
from phenoloop.storage.journal import read
from tests.segmenters.conftest import NETWORK
from tests.whole.plates import SWEEP, write_protocol

SHIPPED = shared_folder("protocols") / "cellpose.yaml"
CHANNEL = "channel: DNA"


def test_weights_that_are_absent_stop_the_check_at_their_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phenoloop.segmentation.cellpose.find_spec", lambda name: object())
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    with pytest.raises(ProtocolError) as caught:
        load(SHIPPED, Registry(discover=False))
    (problem,) = caught.value.problems
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    assert problem.line is not None
    assert lines[problem.line - 1].strip() == "segment:"
    assert "cache_model_path('cpsam_v2')" in problem.message
    assert str(tmp_path) in problem.message


@pytest.mark.cellpose
@pytest.mark.mm
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_run(executor: str, tmp_path: Path, small_cellpose_weights: Path) -> None:
    path = write_protocol(tmp_path, policy=SWEEP, frames=12, size=192, cells=12, workers=1, executor=executor)
    block = f"{CHANNEL}, model: '{small_cellpose_weights}', network: '{NETWORK}', bf16: false"
    text = path.read_text(encoding="utf-8").replace("kind: threshold", "kind: cellpose").replace(CHANNEL, block)
    path.write_text(text, encoding="utf-8")
    result = api.run(path, out=tmp_path / "run")
    messages = read(result.folder.journal).messages
    assert not [one for one in messages if isinstance(one, MeasurementFailed)]
    measured = [one for one in messages if isinstance(one, Measured)]
    assert len(measured) == 6
    assert sum(one.objects for one in measured) > 20
