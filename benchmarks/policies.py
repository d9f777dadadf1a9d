"""What the decision policies show: each figure with its interval, its world and the bar it is held against.

Each kind has its rows in a module of ``benchmarks/policies_rows``, which offers ``rows(seeds)``; this runner finds the
modules, prints what they yield and counts the bars that are missed.

    python benchmarks/policies.py
    python benchmarks/policies.py --rows hits,rare --seeds 40
    python benchmarks/policies.py --list

`--seeds` is the number of plates behind each figure; without it each kind takes its own. All chance is seeded.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from pathlib import Path

# Run as a script, the folder above is not on the path, and the row modules import one another from the root.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import policies_rows
from benchmarks.policies_rows import HEADER, show

SEEDS = 40


def kinds() -> list[str]:
    """Return the names of the row modules: those that are public."""
    found = (module.name for module in pkgutil.iter_modules(policies_rows.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", default="", help="kinds, separated by commas; all without it")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"plates behind each figure (default {SEEDS})")
    parser.add_argument("--list", action="store_true", help="print the kinds and end")
    options = parser.parse_args()

    known = kinds()
    if options.list:
        print("\n".join(known))
        return 0
    wanted = [name.strip() for name in options.rows.split(",") if name.strip()] or known
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no rows called {unknown[0]!r}; there are {', '.join(known)}")
    missed = 0
    print(HEADER)
    for name in wanted:
        begun = time.perf_counter()
        print(f"-- {name}: {options.seeds} plates a figure unless the row says otherwise")
        missed += show(importlib.import_module(f"benchmarks.policies_rows.{name}").rows(options.seeds))
        print(f"   {time.perf_counter() - begun:.0f} s")
    print(f"{missed} {'bar' if missed == 1 else 'bars'} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
