"""The Python interface: what the verbs of the command line do, as functions. The composition root."""

from phenoloop.api.checking import CheckResult, check
from phenoloop.api.comparing import CompareResult, compare
from phenoloop.api.live import LiveRun, RunResult
from phenoloop.api.profiling import ProfilesResult, profiles
from phenoloop.api.recounting import story
from phenoloop.api.replaying import ReplayResult, replay
from phenoloop.api.reporting import report
from phenoloop.api.running import resume, run

__all__ = [
    "CheckResult",
    "CompareResult",
    "LiveRun",
    "ProfilesResult",
    "ReplayResult",
    "RunResult",
    "check",
    "compare",
    "profiles",
    "replay",
    "report",
    "resume",
    "run",
    "story",
]
