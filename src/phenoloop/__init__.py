"""phenoloop: a closed-loop microscope acquisition controller."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("phenoloop")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"
