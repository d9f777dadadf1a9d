"""The log is for people: it never ends a run, nor speaks over one."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from phenoloop.api.logs import logging_to


def test_what_is_said_is_in_the_file(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log.jsonl"):
        logging.getLogger("phenoloop.test").warning("the lamp flickers")
    (line,) = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert {"level": "warning", "message": "the lamp flickers"}.items() <= json.loads(line).items()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_does_not_hide_why_a_run_ended(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="the journal could not be written"):
        _run_on_a_full_disk()
    assert "Logging error" not in capfd.readouterr().err


def _run_on_a_full_disk() -> None:
    with logging_to(Path("/dev/full")):
        logging.getLogger("phenoloop.test").error("storage failed")
        raise RuntimeError("the journal could not be written; go on with resume")
