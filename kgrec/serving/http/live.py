"""The tables that are served now: opened, tried, and swapped for newer ones."""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np

from kgrec.data.io.folders import MANIFEST
from kgrec.errors import CheckpointError, KgrecError
from kgrec.ops.strangers import HISTORY
from kgrec.serving.http.answers import Explains, Service
from kgrec.serving.http.metrics import Metrics
from kgrec.serving.tables.folder import Tables, open_tables
from kgrec.serving.tables.ranking import Person, Ranking
from kgrec.serving.tables.scores import Source

logger = logging.getLogger("kgrec.serve")
Stamp = tuple[int, ...]


class Live:
    """What answers, and whether it may.

    Args:
        path: Folder of tables; a link may lead to it.
        metrics: Counts reloads.
        explains: Gives reasons of tables, where their run is at hand; None without.
        source: Scores the catalog of tables that do not; None without.

    Attributes:
        service: Answers; replaced as a whole.
        draining: Whether it is to be left alone: it ends.
    """

    def __init__(
        self,
        path: Path,
        metrics: Metrics,
        explains: Callable[[Tables], Explains | None] = lambda tables: None,
        source: Callable[[Tables], Source | None] = lambda tables: None,
    ) -> None:
        self._path = path
        self._metrics = metrics
        self._explains = explains
        self._source = source
        self._changed = ""
        self._turn = Lock()
        self.draining = False
        self._stamp = _stamp_of(path)
        self.service = self._opened()
        self._files = _stamps(self.service.ranking.tables.path)

    def _opened(self) -> Service:
        tables = open_tables(self._path)
        ranking = Ranking(tables, self._source(tables))
        try_out(ranking)
        return Service(ranking, self._metrics, self._explains(tables))

    @property
    def state(self) -> str:
        """Whether lists may be asked for: "ready", or why not."""
        if self.draining:
            return "draining"
        return self._changed or "ready"

    def look(self, force: bool = False) -> bool:
        """Take over newer tables if there are any, whole and sound; return whether it did.

        Tables that were changed in place are not served any more: an export replaces a folder, and
        nothing else writes into it.
        """
        with self._turn:
            return self._looked(force)

    def _looked(self, force: bool) -> bool:
        stamp = _stamp_of(self._path)
        if stamp is None or (stamp == self._stamp and not force):
            self._check_files()
            return False

        self._stamp = stamp
        try:
            found = self._opened()
        except (
            *(KgrecError, OSError, ArithmeticError, LookupError),
            *(RuntimeError, TypeError, ValueError),
        ) as error:
            self._metrics.reloaded("refused")
            logger.error("new tables are refused, the old ones stay: %s", error)
            self._check_files()
            return False

        before = self.service.run
        self.service = found
        self._files = _stamps(found.ranking.tables.path)
        self._changed = ""
        self._metrics.reloaded("done")
        logger.warning("run %s is served now, %s was", found.run, before)
        return True

    def _check_files(self) -> None:
        now = _stamps(self.service.ranking.tables.path)
        written = any(
            name in now and now[name] != stamp and now[name][0] == stamp[0]
            for name, stamp in self._files.items()
        )  # a file of another number has replaced ours, which stays mapped as it was
        if written and not self._changed:
            self._changed = "the tables were changed under the server. Export the run again"
            logger.error("%s.", self._changed)


def try_out(ranking: Ranking) -> None:
    """Make a list, as a request would.

    Raises:
        CheckpointError: If it holds what is no score, or nothing.
    """
    tables = ranking.tables
    people = [Person(None, np.arange(min(2, tables.about.items)))]
    if tables.users is not None and tables.about.users:
        people.append(Person(0))

    for person in people:
        found = ranking.recommend(person, 5)
        if not np.isfinite(found.scores).all() or (found.kind == HISTORY and not len(found.items)):
            raise CheckpointError(
                f"{tables.path}: no list can be made of the tables. Export again."
            )


def _stamp_of(path: Path) -> Stamp | None:
    """Return what changes when a folder is replaced; None while it is not there."""
    try:
        found = (path / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _stamps(folder: Path) -> dict[str, Stamp]:
    """Return what changes when a file is written to, its number first; {} without the folder."""
    found: dict[str, Stamp] = {}
    try:
        for file in folder.iterdir():
            stat = file.stat()
            found[file.name] = stat.st_ino, stat.st_mtime_ns, stat.st_size
    except OSError:
        return {}

    return found
