"""``python -m phenoloop``."""

from phenoloop.cli import main

main()
