"""Which implementation a `kind:` names. Nothing of ours is imported until it is asked for.

Built-ins come through the same door as a lab's own: a group, a kind, and a ``"module:attr"`` string. A lab adds
its own by an entry point in the group ``phenoloop.<group>``, or by writing ``kind: my_package.my_module:MyPolicy``.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final

from phenoloop.errors import PluginError

BUILT_IN: Final[dict[str, dict[str, str]]] = {
    "policies": {
        "sweep": "phenoloop.policies.sweep:Sweep",
        "precise": "phenoloop.policies.precise:Precise",
        "hits": "phenoloop.policies.hits:Hits",
    },
    "questions": {
        "hits": "phenoloop.questions.hits:HitsQuestion",
        "mean": "phenoloop.questions.mean:MeanQuestion",
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
