"""The Python interface: what the verbs of the command line do, as functions. The composition root."""

from phenoloop.api.checking import CheckResult, check
from phenoloop.api.live import LiveRun, RunResult
from phenoloop.api.replaying import ReplayResult, replay
from phenoloop.api.reporting import report
from phenoloop.api.running import resume, run

__all__ = ["CheckResult", "LiveRun", "ReplayResult", "RunResult", "check", "replay", "report", "resume", "run"]
