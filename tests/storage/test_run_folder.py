from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from phenoloop.errors import StorageError, UsageError
from phenoloop.platform import FileLock
from phenoloop.storage.layout import row_name
from phenoloop.storage.run_folder import LONGEST_PATH, RunFolder


def test_a_run_gets_a_folder_of_its_own_by_name_and_utc_time(tmp_path: Path) -> None:
    base = tmp_path / "runs"
    folders = [RunFolder.create(None, "find-hits", base) for _ in range(3)]
    assert len({folder.path for folder in folders}) == 3
    for folder in folders:
        folder.release()
        assert folder.path.parent == base
        assert re.fullmatch(r"find-hits-\d{8}T\d{6}Z(-\d)?", folder.name)


@pytest.mark.parametrize("exists", [pytest.param(False, id="new"), pytest.param(True, id="empty")])
def test_out_is_the_run_folder_itself(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "a" / "b"
    if exists:
        out.mkdir(parents=True)
    with RunFolder.create(out, "x", tmp_path / "runs") as folder:
        assert folder.path == out
        assert not (tmp_path / "runs").exists()
        assert folder.journal.parent == out


def test_out_that_holds_something_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty; give --out a new or empty folder") as caught:
        RunFolder.create(tmp_path, "x", tmp_path)
    assert "resume" not in str(caught.value)
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"To go on with the run in it: phenoloop resume"):
        RunFolder.create(tmp_path, "x", tmp_path)
    with pytest.raises(UsageError, match="is a file; --out names the folder"):
        RunFolder.create(tmp_path / "notes.txt", "x", tmp_path)
    with pytest.raises(UsageError, match=r"cannot be made or written \(.*\); choose --out"):
        RunFolder.create(tmp_path / "notes.txt" / "run", "x", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "notes.txt"]


def test_what_is_no_run_is_told_with_the_way_out(tmp_path: Path) -> None:
    with RunFolder.create(None, "find-hits", tmp_path / "runs") as created:
        run = created.path
    with pytest.raises(UsageError, match=r"no run folder: it holds no journal\.jsonl"):
        RunFolder.open(run)
    (run / "journal.jsonl").write_text("")
    assert RunFolder.open(run).path == run
    with pytest.raises(UsageError, match=f"It holds runs: give one of them, the last is .*{run.name}"):
        RunFolder.open(tmp_path / "runs")
    with pytest.raises(UsageError, match="does not exist"):
        RunFolder.open(tmp_path / "absent")
    with pytest.raises(UsageError, match="is a file"):
        RunFolder.open(run / "journal.jsonl")


OTHER = """
import sys
from pathlib import Path
from phenoloop.errors import UsageError
from phenoloop.storage.run_folder import RunFolder
try:
    RunFolder.open(Path(sys.argv[1]), write=True)
    print("open")
except UsageError as error:
    print(error)
"""


def other_process(run: Path) -> str:
    done = subprocess.run([sys.executable, "-c", OTHER, run], capture_output=True, text=True, check=True)
    return done.stdout


def test_two_processes_do_not_write_one_run_and_anyone_may_read_it(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "x", tmp_path)
    run.journal.write_text("")
    assert "another process is writing" in other_process(run.path)
    with pytest.raises(UsageError, match="another process is writing"):
        RunFolder.open(run.path, write=True)
    RunFolder.open(run.path)
    run.release()
    run.release()
    assert other_process(run.path) == "open\n"
    with RunFolder.open(run.path, write=True):
        assert "another process is writing" in other_process(run.path)
    assert other_process(run.path) == "open\n"


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = "import sys, time; from pathlib import Path; from phenoloop.platform import FileLock\n"
    script += "lock = FileLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            FileLock(tmp_path / "lock")
        holder.kill()
    FileLock(tmp_path / "lock").release()


def test_no_path_is_too_long_for_windows_tools(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    long = "n" * 40
    paths = [
        run.images(long) / row_name(31) / "48" / "99" / "labels" / long / "0" / "c" / "9999" / "0" / "0" / "0.__lock",
        run.images(long) / row_name(31) / "48" / "99" / "0" / "c" / "99999" / "9" / "999" / "9" / "9.__lock",
        run.objects(long) / f"part-{999999:06d}-{'n' * 24}.parquet.tmp",
    ]
    for path in paths:
        assert len(path.relative_to(run.path).as_posix()) <= LONGEST_PATH, path


def test_a_run_that_the_disk_cannot_hold_is_refused(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "x", tmp_path) as run:
        run.require_space(1)
        with pytest.raises(StorageError, match=r"GB left, the run may need .* GB\. Free space, choose another disk"):
            run.require_space(run.free_bytes() * 2)


def test_the_folder_is_laid_out_as_documented(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    paths = [run.protocol, run.resolved, run.journal, run.images_folder, run.images("main"), run.frames, run.readouts]
    paths += [run.objects("main"), run.report_html, run.report_json, run.log]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "protocol.yaml",
        "resolved.json",
        "journal.jsonl",
        "images",
        "images/main.ome.zarr",
        "frames.parquet",
        "readouts.parquet",
        "objects/main",
        "report.html",
        "report.json",
        "log.jsonl",
    ]
