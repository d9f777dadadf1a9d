"""The verbs: exit codes, what goes to which stream, errors in one paragraph. The API is faked at its border only."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from phenoloop import api
from phenoloop.cli.app import app
from phenoloop.errors import HardwareError, JournalError, PhenoloopError, Problem, ProtocolError, UsageError
from phenoloop.watch.report_json import build_report
from tests.watch.builders import make_content

HEAVY = (
    "numpy",
    "scipy",
    "cv2",
    "pydantic",
    "pymmcore_plus",
    "tensorstore",
    "pyarrow",
    "skimage",
    "useq",
    "jinja2",
    "ruamel",
)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="phenoloop")


def result(exit: str = "completed", exit_code: int = 0, folder: Path = Path("runs/x")) -> SimpleNamespace:
    report = build_report(make_content()) | {"exit": exit, "reason": "because"}
    return SimpleNamespace(
        folder=SimpleNamespace(path=folder, report_html=folder / "report.html"), report=report, exit_code=exit_code
    )


def give(value: object) -> Callable[..., object]:
    return lambda *args, **options: value


def fail(error: BaseException) -> Callable[..., object]:
    def call(*args: object, **options: object) -> object:
        raise error

    return call


def test_run_tells_what_it_found_and_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", give(result()))
    ended = invoke("run", "p.yaml")
    assert ended.exit_code == 0
    assert "4 hits among 18 wells. B2, C4, A3 and D3 differ from the controls." in ended.stdout
    assert str(Path("runs/x/report.html")) in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize("verb", [pytest.param("run", id="run"), pytest.param("resume", id="resume")])
def test_json_is_all_that_standard_output_holds(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, verb, give(result("stopped", 130)))
    ended = invoke(verb, "x", "--json")
    assert ended.exit_code == 130
    assert json.loads(ended.stdout) == result("stopped").report
    assert "Go on with: phenoloop resume" in ended.stderr


@pytest.mark.parametrize(
    ("exit", "code", "told"),
    [
        pytest.param("completed", 0, "", id="completed"),
        pytest.param("budget", 0, "", id="budget"),
        pytest.param("stopped", 130, "the run is stopped: because.", id="stopped"),
        pytest.param("failed", 1, "the run is failed: because.", id="failed"),
    ],
)
def test_ends_of_a_run(exit: str, code: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run", give(result(exit, code, Path("my runs"))))
    ended = invoke("run", "p.yaml")
    assert ended.exit_code == code
    assert ended.stderr.startswith(told)
    assert ('phenoloop resume "my runs"' in ended.stderr) == bool(told)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        pytest.param(UsageError("no such thing; give another"), 2, "no such thing; give another\n", id="usage"),
        pytest.param(
            ProtocolError(Problem("unknown key", "p.yaml", 3, 5, "policy.explor", "    explor: 1")),
            2,
            "p.yaml:3:5: policy.explor: unknown key\n     3 |     explor: 1\n       |     ^\n",
            id="protocol",
        ),
        pytest.param(HardwareError("the stage is silent"), 3, "the stage is silent\n", id="hardware"),
        pytest.param(JournalError("line 7 is damaged"), 1, "line 7 is damaged\n", id="journal"),
        pytest.param(PhenoloopError("it failed"), 1, "it failed\n", id="run failed"),
        pytest.param(KeyboardInterrupt(), 130, "interrupted\n", id="Ctrl-C before the run began"),
        pytest.param(OSError(28, "No space left on device"), 1, "the file system refused: ", id="disk full"),
        pytest.param(ZeroDivisionError("oh"), 1, "phenoloop stopped on an error it did not expect", id="a bug"),
    ],
)
def test_errors_are_a_paragraph_without_traceback(
    error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "run", fail(error))
    ended = invoke("run", "p.yaml")
    assert ended.exit_code == code
    assert ended.stdout == ""
    assert ended.stderr.startswith(text)
    assert "Traceback" not in ended.stderr
    debugged = invoke("run", "p.yaml", "--debug")
    assert debugged.exit_code == code
    assert "Traceback" in debugged.stderr
    assert text in debugged.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        pytest.param(("rnu", "p.yaml"), "Did you mean 'run'?", id="verb"),
        pytest.param(("run", "p.yaml", "--smulate"), "--simulate", id="option"),
        pytest.param(("run",), "PROTOCOL", id="missing argument"),
        pytest.param(("segment", "a.tif", "--out", "x"), "--kind", id="missing option"),
    ],
)
def test_usage_errors_hint_at_the_right_word(arguments: tuple[str, ...], hint: str) -> None:
    ended = invoke(*arguments)
    assert ended.exit_code == 2
    assert hint in ended.stderr


# -- the smaller verbs ------------------------------------------------------------------------------------------


def test_check_prints_the_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(plan=make_content().plan)
    monkeypatch.setattr(api, "check", give(SimpleNamespace(loaded=loaded, forecast_lines=["400 frames", "2 h"])))
    assert invoke("check", "p.yaml").stdout == "p.yaml can be run.\n400 frames\n2 h\n"
    assert json.loads(invoke("check", "p.yaml", "--json").stdout) == {
        "ok": True,
        "protocol": "find-vesicle-wells",
        "wells": 24,
        "forecast": ["400 frames", "2 h"],
    }


def test_check_tells_programs_every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = (Problem("no", "p.yaml", 3, 5, "policy"), Problem("nor this", "p.yaml", 9, 1, "plate"))
    monkeypatch.setattr(api, "check", fail(ProtocolError(*problems)))
    ended = invoke("check", "p.yaml", "--json")
    assert ended.exit_code == 2
    assert json.loads(ended.stdout) == {"ok": False, "problems": [dataclasses.asdict(problem) for problem in problems]}


@pytest.mark.parametrize(("equal", "code"), [pytest.param(True, 0, id="equal"), pytest.param(False, 1, id="different")])
def test_replay(equal: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def replay(run: Path, **options: Any) -> SimpleNamespace:
        seen.update(options, run=run)
        return SimpleNamespace(equal=equal, message="so it is")

    monkeypatch.setattr(api, "replay", replay)
    ended = invoke("replay", "r", "--set", "policy.explore=0.2", "--set", "policy.give_up=0", "--protocol", "q.yaml")
    assert (ended.exit_code, ended.stdout) == (code, "so it is\n")
    assert seen == {
        "run": Path("r"),
        "overrides": ["policy.explore=0.2", "policy.give_up=0"],
        "protocol": Path("q.yaml"),
    }


def test_report_ends_well_also_for_a_run_that_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "report", give(result("incomplete", 1)))
    assert json.loads(invoke("report", "r", "--json").stdout)["exit"] == "incomplete"
    ended = invoke("report", "r")
    assert ended.exit_code == 0
    assert "the run is incomplete: because." in ended.stderr


def test_plugins_lists_kind_origin_and_target() -> None:
    lines = [line.split() for line in invoke("plugins").stdout.splitlines()]
    assert ["segmenters", "threshold", "phenoloop", "phenoloop.segmentation.threshold:Threshold"] in lines


def test_schema_goes_to_a_file_or_to_standard_output(tmp_path: Path) -> None:
    target = tmp_path / "s.json"
    printed = invoke("schema")
    assert invoke("schema", "--out", str(target)).exit_code == 0
    assert json.loads(printed.stdout) == json.loads(target.read_text(encoding="utf-8"))
    assert "properties" in json.loads(printed.stdout)


def test_version() -> None:
    import phenoloop

    assert invoke("--version").stdout == f"{phenoloop.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['phenoloop', '--help']\n"
        "from phenoloop.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert "HEAVY []" in done.stdout
    assert "segment" in done.stdout


def test_a_code_page_that_lacks_signs_does_not_end_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "phenoloop", "--help"],
        capture_output=True,
        env={"PYTHONIOENCODING": "cp1252", "PATH": "", "SYSTEMROOT": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"resume" in done.stdout
