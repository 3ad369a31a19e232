"""The ``kgrec`` logger and progress bars. Nothing else in kgrec touches logging set-up."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger("kgrec")
logger.addHandler(logging.NullHandler())


class Progress(Protocol):
    """What long work reports to."""

    def update(self, done: int, note: str = "") -> None:
        """Set the amount done, in the units of ``total``, and a short note."""


class _Silent:
    def update(self, done: int, note: str = "") -> None:
        """Do nothing."""


class _Bar:
    def __init__(self, title: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(title, total=total, note="")
        self._progress.start()

    def update(self, done: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, note=note)

    def stop(self) -> None:
        self._progress.stop()


_shown = False


def show(verbosity: int = 1) -> None:
    """Send log lines to standard error and allow progress bars; called by the command line only."""
    global _shown
    _shown = verbosity >= 1
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Give a progress bar on a terminal, and silence elsewhere."""
    if not (_shown and sys.stderr.isatty()):
        yield _Silent()
        return
    bar = _Bar(title, total)
    try:
        yield bar
    finally:
        bar.stop()
