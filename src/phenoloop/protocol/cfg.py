"""What a Micro-Manager ``.cfg`` says, read as text: groups, presets, objectives and pixel sizes without any device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from phenoloop.errors import Problem, ProtocolError

Setting = tuple[str, str, str]
"""Device, property, value."""

DEMO_MODULES: Final = frozenset({"DemoCamera", "Utilities", "SequenceTester", "NotificationTester"})
"""Device libraries that the test adapters ship."""


@dataclass(slots=True)
class Cfg:
    """A configuration file.

    Attributes
    ----------
    path : Path
        Where it is.
    sha256 : str
        Hash of its bytes.
    devices : dict of str to str
        Device label to the library it comes from.
    groups : dict of str to dict of str to list of Setting
        Group, preset, settings.
    labels : dict of str to dict of str to str
        Device, state number (as text), label.
    pixel_sizes : dict of str to (list of Setting, float)
        Resolution preset: the settings it stands for, and micrometres per pixel.
    focus_direction : dict of str to int
        By focus device.
    """

    path: Path
    sha256: str
    devices: dict[str, str] = field(default_factory=dict)
    groups: dict[str, dict[str, list[Setting]]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    pixel_settings: dict[str, list[Setting]] = field(default_factory=dict)
    pixel_sizes: dict[str, float] = field(default_factory=dict)
    focus_direction: dict[str, int] = field(default_factory=dict)

    @property
    def needs_demo_adapters(self) -> bool:
        """Whether every device comes from the libraries that the test adapters ship."""
        return bool(self.devices) and set(self.devices.values()) <= DEMO_MODULES

    @property
    def startup(self) -> list[Setting]:
        """The settings Micro-Manager applies when it has loaded the file."""
        return self.groups.get("System", {}).get("Startup", [])

    @property
    def channel_group(self) -> str | None:
        """The group that the file itself names as the channel group, else ``Channel`` if there is one."""
        for device, name, value in self.startup:
            if (device, name) == ("Core", "ChannelGroup"):
                return value
        return "Channel" if "Channel" in self.groups else None

    def pixel_size_um(self, settings: Iterable[Setting]) -> float | None:
        """Return the pixel size that goes with some settings, or None where no resolution preset fits them."""
        state = self._labelled(settings)
        for name, size in self.pixel_sizes.items():
            wanted = self._labelled(self.pixel_settings.get(name, ()))
            if wanted and all(state.get(key) == value for key, value in wanted.items()):
                return size
        return None

    def _labelled(self, settings: Iterable[Setting]) -> Mapping[tuple[str, str], str]:
        """Return settings with positions of a state device by label: ``State,3`` and ``Label,20X`` mean the same."""
        found = {}
        for device, name, value in settings:
            if name == "State" and value in self.labels.get(device, {}):
                found[device, "Label"] = self.labels[device][value]
            else:
                found[device, name] = value
        return found


def read_cfg(path: Path) -> Cfg:
    """Read a configuration file.

    Parameters
    ----------
    path : Path
        A ``.cfg`` as Micro-Manager's configurator writes it.

    Raises
    ------
    ProtocolError
        If it cannot be read, or names no device; with file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProtocolError(Problem(f"cannot read the configuration: {error.strerror}", str(path))) from error
    cfg = Cfg(path, hashlib.sha256(data).hexdigest())
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            _take(cfg, text.split(","))
        except (ValueError, IndexError) as error:
            problem = Problem(f"this line is not complete: {text!r}", str(path), number, 1, source=line)
            raise ProtocolError(problem) from error
    if not cfg.devices:
        raise ProtocolError(Problem("this is no Micro-Manager configuration: it names no device", str(path), 1, 1))
    return cfg


def _take(cfg: Cfg, parts: list[str]) -> None:
    match parts:
        case ["Device", label, module, *_]:
            cfg.devices[label] = module
        case ["Label", device, state, label, *_]:
            cfg.labels.setdefault(device, {})[state] = label
        case ["ConfigGroup", group, preset, device, name, *value]:
            # A value may itself hold commas; an absent one is the empty text.
            cfg.groups.setdefault(group, {}).setdefault(preset, []).append((device, name, ",".join(value)))
        case ["ConfigGroup", group, *_]:
            cfg.groups.setdefault(group, {})
        case ["ConfigPixelSize", preset, device, name, *value]:
            cfg.pixel_settings.setdefault(preset, []).append((device, name, ",".join(value)))
        case ["PixelSize_um", preset, size, *_]:
            cfg.pixel_sizes[preset] = float(size)
        case ["FocusDirection", device, sign, *_]:
            cfg.focus_direction[device] = int(sign)
        case ["Device" | "Label" | "ConfigPixelSize" | "PixelSize_um" | "FocusDirection", *_]:
            raise ValueError(parts[0])
