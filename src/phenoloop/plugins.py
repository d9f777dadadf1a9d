"""Which implementation a `kind:` names. Nothing of ours is imported until it is asked for.

Built-ins come through the same door as a lab's own: a group, a kind, and a ``"module:attr"`` string. A lab adds
its own by an entry point in the group ``phenoloop.<group>``, or by writing ``kind: my_package.my_module:MyPolicy``; the
module may be a file beside the protocol.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from phenoloop.errors import PluginError

BUILT_IN: Final[dict[str, dict[str, str]]] = {
    "policies": {
        "sweep": "phenoloop.policies.sweep:Sweep",
        "events": "phenoloop.policies.events:Events",
        "precise": "phenoloop.policies.precise:Precise",
        "hits": "phenoloop.policies.hits:Hits",
        "dose_response": "phenoloop.policies.dose_response:DoseResponse",
        "novelty": "phenoloop.policies.novelty:Novelty",
        "rare": "phenoloop.policies.rare:Rare",
        "rules": "phenoloop.policies.rules:Rules",
        "sequence": "phenoloop.policies.sequence:InSequence",
        "mix": "phenoloop.policies.mix:Mix",
        "priority": "phenoloop.policies.priority:Priority",
        "quota": "phenoloop.policies.quota:Quota",
        "shadow": "phenoloop.policies.shadow:Shadow",
    },
    "questions": {
        "hits": "phenoloop.questions.hits:HitsQuestion",
        "mean": "phenoloop.questions.mean:MeanQuestion",
        "events": "phenoloop.questions.events:EventsQuestion",
        "novelty": "phenoloop.questions.novelty:NoveltyQuestion",
        "objects": "phenoloop.questions.objects:ObjectsQuestion",
        "dose_response": "phenoloop.questions.dose_response:DoseResponseQuestion",
    },
    "segmenters": {
        "unet": "phenoloop.segmentation.unet:Unet",
        "threshold": "phenoloop.segmentation.threshold:Threshold",
        "cellpose": "phenoloop.segmentation.cellpose:Cellpose",
        "stardist": "phenoloop.segmentation.stardist:StarDist",
        "onnx": "phenoloop.segmentation.onnx:Onnx",
    },
    "specimens": {
        "synthetic": "phenoloop.microscope.virtual.synthetic:Synthetic",
        "recorded": "phenoloop.microscope.virtual.recorded:Recorded",
    },
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed plug-in: its group, its `kind`, where its code is, and who ships it."""

    group: str
    kind: str
    target: str
    origin: str

    def load(self) -> Any:
        """Import and return the class.

        Raises
        ------
        PluginError
            If the module cannot be imported or lacks the attribute.
        """
        module, _, attribute = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.group} plug-in {self.kind!r} ({self.target}, from {self.origin}) cannot be loaded: {error}. "
                "Install the package that holds it, or choose another kind (see `phenoloop plugins`)."
            ) from error
        return found


class Registry:
    """The plug-ins of this environment, looked up by group and kind.

    Parameters
    ----------
    discover : bool
        Also look for entry points of other packages. Tests of ours say False, so that the machine does not matter.
    """

    def __init__(self, *, discover: bool = True) -> None:
        self._plugins: dict[tuple[str, str], Plugin] = {
            (group, kind): Plugin(group, kind, target, "phenoloop")
            for group, kinds in BUILT_IN.items()
            for kind, target in kinds.items()
        }
        if discover:
            for group in BUILT_IN:
                for point in entry_points(group=f"phenoloop.{group}"):
                    origin = point.dist.name if point.dist else "entry point"
                    self._plugins.setdefault((group, point.name), Plugin(group, point.name, point.value, origin))

    def __iter__(self) -> Iterator[Plugin]:
        return iter(self._plugins.values())

    def kinds(self, group: str) -> list[str]:
        """Return the kinds of a group, in the order in which they were registered."""
        return [kind for (its_group, kind) in self._plugins if its_group == group]

    def find(self, group: str, kind: str) -> Plugin:
        """Return the plug-in that `kind` names; ``module:attr`` names itself.

        Raises
        ------
        PluginError
            If there is none; the message holds the nearest kind.
        """
        if plugin := self._plugins.get((group, kind)):
            return plugin
        if ":" in kind:
            return Plugin(group, kind, kind, "the protocol")
        kinds = self.kinds(group)
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise PluginError(f"unknown kind {kind!r}; {hint}Known: {', '.join(kinds)}, or module:Class of your own.")

    def load(self, group: str, kind: str) -> Any:
        """Import and return the class that `kind` names."""
        return self.find(group, kind).load()


_BESIDE: Final[list[str]] = []
"""The folder of the protocol in use, while it is only for its sake on the path of imports."""


def look_beside(folder: Path) -> None:
    """Let ``module:Class`` name a file in the folder of a protocol too, after all that is installed.

    Modules from the folder of the protocol before are forgotten: another lab's file may have the same name.

    Parameters
    ----------
    folder : Path
        Where the protocol lies; nothing happens if it is not there.
    """
    here = str(folder.resolve())
    for other in [path for path in _BESIDE if path != here]:
        _BESIDE.remove(other)
        if other in sys.path:
            sys.path.remove(other)
        for name in _found_in(Path(other)):
            del sys.modules[name]
    if here not in sys.path and folder.is_dir():
        sys.path.append(here)
        _BESIDE.append(here)
        importlib.invalidate_caches()


def _found_in(folder: Path) -> list[str]:
    """Return the imported modules that a folder on the path gave: its own files and packages, and what is in these.

    Not all files below it: an environment, or this program's source, may lie there too.
    """
    given = set()
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None)
        if "." not in name and file and Path(file) in (folder / f"{name}.py", folder / name / "__init__.py"):
            given.add(name)
    return [name for name in sys.modules if name.partition(".")[0] in given]


def own_files(targets: Iterable[str], folder: Path) -> list[Path]:
    """Return the files in a folder that plug-ins come from: what a run must record of a lab's own code.

    Parameters
    ----------
    targets : iterable of str
        ``"module:Class"`` of plug-ins that were loaded.
    folder : Path
        Where the protocol lies.
    """
    found: list[Path] = []
    for target in targets:
        module = sys.modules.get(target.partition(":")[0])
        file = getattr(module, "__file__", None)
        if file and Path(file).parent == folder.resolve() and Path(file) not in found:
            found.append(Path(file))
    return found
