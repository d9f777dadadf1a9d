"""Where microscope files and their configurations are looked for."""

from __future__ import annotations

from pathlib import Path

import phenoloop


def shared_folder(name: str) -> Path:
    """Return a folder that ships with the package: ``mm_configs`` or ``protocols``, also in an editable checkout."""
    package = Path(phenoloop.__file__).parent
    packed = package / "share" / name
    return packed if packed.is_dir() else package.parents[1] / name


def search_path(base: Path) -> list[Path]:
    """Return the folders in which a microscope file is looked for, first come first served."""
    return [base, base / "mm_configs", Path.cwd() / "mm_configs", shared_folder("mm_configs")]


def find_microscope(name: str, base: Path) -> Path | None:
    """Return the path of the microscope file `name` (``demo`` or ``my/scope.yaml``), or None."""
    if name.endswith((".yaml", ".yml")):
        path = base / name
        return path if path.is_file() else None
    for folder in search_path(base):
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def known_microscopes(base: Path) -> list[str]:
    """Return the names that `find_microscope` knows."""
    found = {path.stem for folder in search_path(base)[1:] for path in sorted(folder.glob("*.yaml"))}
    return sorted(found - {"template"})


def known_cfgs(base: Path) -> list[str]:
    """Return the names that `find_cfg` knows, without their ``.cfg``."""
    return sorted({path.stem for folder in search_path(base) for path in folder.glob("*.cfg")})


def find_cfg(name: str, base: Path) -> Path | None:
    """Return the path of a Micro-Manager configuration, with or without its ``.cfg``, or None."""
    names = [name] if name.endswith(".cfg") else [name, f"{name}.cfg"]
    for folder in search_path(base):
        for candidate in names:
            path = (folder / candidate).absolute()
            if path.is_file():
                return path
    return None
