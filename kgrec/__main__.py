"""``python -m kgrec``."""

from kgrec.cli import main

main()
