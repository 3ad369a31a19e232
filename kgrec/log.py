"""The ``kgrec`` logger and progress: a bar on a terminal, lines elsewhere. Nothing else in kgrec
touches logging set-up.
"""

import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

logger = logging.getLogger("kgrec")
logger.addHandler(logging.NullHandler())

_SECONDS = 5.0  # between lines of progress
_FEW = 100  # epochs that are all logged, however fast


@runtime_checkable
class Progress(Protocol):
    """What long work reports to."""

    def update(self, done: int, note: str = "", record: Mapping[str, Any] | None = None) -> None:
        """Set the amount done, in the units of ``total``, a short note, and what JSON lines say
        instead of the note.
        """


class _Silent:
    def update(self, done: int, note: str = "", record: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""

    def stop(self) -> None:
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

    def update(self, done: int, note: str = "", record: Mapping[str, Any] | None = None) -> None:
        self._progress.update(self._task, completed=done, note=note)

    def stop(self) -> None:
        self._progress.stop()


class _Lines:
    """Lines in the log: now and then, and at the end what was not yet logged.

    Args:
        title: What is going on.
        total: Amount of work.
        epochs: Whether each update is an epoch: the first ones are logged as they come, later ones at
            most once a second.
    """

    def __init__(self, title: str, total: int, epochs: bool) -> None:
        self._title = title
        self._total = total
        self._epochs = epochs

        if epochs:
            if total <= _FEW:
                self._seconds = 0.0
            else:
                self._seconds = 1.0
        else:
            self._seconds = _SECONDS

        if epochs:
            self._logged = -math.inf
        else:
            self._logged = time.monotonic()

        self._waiting: tuple[int, str, Mapping[str, Any] | None] | None = None
        self._any = epochs

    def update(self, done: int, note: str = "", record: Mapping[str, Any] | None = None) -> None:
        self._waiting = done, note, record
        if time.monotonic() - self._logged >= self._seconds:
            self._tell()

    def stop(self) -> None:
        if self._any:
            self._tell()

    def _tell(self) -> None:
        if self._waiting is None:
            return

        (done, note, record), self._waiting = self._waiting, None
        self._logged = time.monotonic()
        self._any = True
        what = f"{self._title} {'epoch ' if self._epochs else ''}{done:,}/{self._total:,}"
        fields = {
            "event": "epoch" if self._epochs else "progress",
            "title": self._title,
            "total": self._total,
        }
        extra = {"fields": fields | dict(record or {"done": done, "note": note})}
        logger.info("%s%s", what, f": {note}" if note else "", extra=extra)


class _Json(logging.Formatter):
    """One JSON object a line: the fields of progress, or the level and the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = vars(record).get("fields") or {
            "event": "log",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }

        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in fields.items()
        }

        return json.dumps(plain, allow_nan=False)


class _State:
    shown = False
    form = "text"
    busy = False  # work within work is not shown: a terminal has room for one bar


def as_json() -> None:
    """Write what is shown as one JSON object a line, progress included."""
    _State.form = "json"
    for handler in logger.handlers:
        if not isinstance(handler, logging.NullHandler):
            handler.setFormatter(_Json())


def show(verbosity: int = 1) -> None:
    """Send log lines to standard error and allow progress; called by the command line only.

    Args:
        verbosity: -1 for errors alone, 0 for warnings too, 1 for progress and a line per file, 2 for everything.
    """
    _State.shown = verbosity >= 1
    _State.form = "text"
    _State.busy = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    logger.setLevel(levels.get(verbosity, logging.DEBUG))


@contextmanager
def progress(title: str, total: int, *, epochs: bool = False) -> Iterator[Progress]:
    """Give a progress bar on a terminal, lines in the log elsewhere, and silence where nothing is
    shown.

    Lines come every few seconds, so that short work says nothing. Within other work that reports,
    nothing is said.

    Args:
        title: What is going on.
        total: Amount of work, in the units of ``update``.
        epochs: Whether an update is an epoch of training, which gets a line of its own: up to 100
            of them always, more of them at most one a second; the first and the last in any case.
    """
    if not _State.shown or _State.busy:
        yield _Silent()
        return

    bar = (
        _Bar(title, total)
        if _State.form == "text" and sys.stderr.isatty()
        else _Lines(title, total, epochs)
    )
    _State.busy = True

    try:
        yield bar
    finally:
        _State.busy = False
        bar.stop()
