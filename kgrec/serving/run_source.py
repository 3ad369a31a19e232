"""A run at hand beside its tables: scores of models that score themselves, and live reasons."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from kgrec.errors import CheckpointError, KgrecError
from kgrec.log import logger
from kgrec.serving.http.problems import ProblemError, problem_of
from kgrec.serving.tables.folder import Tables

if TYPE_CHECKING:
    from kgrec.runs.run import Run

RUN_CONFIG = "config.json"
"""What a run's folder is known by; ``kgrec.runs`` is not imported before it is needed."""
_WAITING = 16
_SECONDS = 30.0


class LazyRun:
    """A run that is loaded when it is first needed; torch is imported no sooner.

    Args:
        path: Its folder.
        allow: Classes that may be imported.
    """

    def __init__(self, path: Path, allow: Sequence[str] = ()) -> None:
        self.path = path
        self._allow = tuple(allow)
        self._run: "Run | None" = None
        self._stamp: tuple[int, ...] | None = None

    def get(self) -> "Run":
        """Return the run, again where it has been replaced."""
        stamp = stamp_of(self.path)
        if self._run is None or stamp != self._stamp:
            from kgrec.runs.run import load_run

            self._run = load_run(self.path, allow=self._allow, unfinished="refuse")
            self._stamp = stamp

        return self._run


def stamp_of(run: Path) -> tuple[int, ...] | None:
    """Return what changes when a run is replaced; None while it is not there."""
    try:
        found = (run / RUN_CONFIG).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class RunSource:
    """Scores of a model that is neither vectors nor a history times an item matrix, by torch.

    Args:
        run: The run.
        tables: Its tables, which say in which order items go.

    Raises:
        CheckpointError: If the tables are of another run.
    """

    def __init__(self, run: LazyRun, tables: Tables) -> None:
        from kgrec.models.base import ItemToItem, reads_history
        from kgrec.serving.write_tables import run_id

        found = run.get()
        if run_id(found) != tables.about.run:
            raise CheckpointError(
                f"{run.path}: is another run than that of {tables.path}: it was replaced meanwhile."
            )

        self._scorer = found.scorer()
        self._order = tables.arrays["items.rows"].astype(np.int64)
        self._ranker = found.ranker()
        self._reads_history = reads_history(self._scorer)
        self._near = self._scorer.similar if isinstance(self._scorer, ItemToItem) else None

    @property
    def folds(self) -> bool:
        """Whether someone unseen can be scored for by a history."""
        return self._reads_history

    def of_user(self, row: int, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user."""
        own = self._ranker.own_lists(np.array([row])).items.numpy()
        return self._scores(row, own, columns)

    def of_history(self, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of someone unseen."""
        return self._scores(-1, self._order[history], columns)

    def of_updated(self, row: int, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user with new items."""
        if not self._reads_history:
            return self.of_user(row, columns)
        return self.of_history(history, columns)

    def similar(self, column: int) -> np.ndarray | None:
        """Return how near each item is, where the model says so."""
        if self._near is None:
            return None
        return np.asarray(self._near(int(self._order[column])).cpu().numpy()[self._order])

    def _scores(self, row: int, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        import torch

        from kgrec.batches import Query

        items = torch.from_numpy(history.astype(np.int64)).unsqueeze(0)
        query = Query(torch.tensor([row]), items, torch.ones_like(items, dtype=torch.bool))
        with torch.inference_mode():
            scores = self._scorer(query)[0].cpu().numpy()[self._order]

        return np.array(scores if columns is None else scores[columns])


class RunReasons:
    """Reasons by the run itself, one after another in one thread.

    Args:
        run: The run.
        tables: The tables that are served; reasons of another run are none of theirs.
    """

    def __init__(self, run: LazyRun, tables: Tables) -> None:
        self._run = run
        self._wanted = tables.about.run
        self._thread = ThreadPoolExecutor(1, "kgrec explain")
        self._open = 0
        self._known: "Run | None" = None
        self._fits = False
        self._late = False

    async def reason(
        self, user: str | None, history: Sequence[str], item: str, language: str, seconds: float
    ) -> bytes | None:
        """Return a reason as JSON; None if there is none, or not in time."""
        ends = monotonic() + seconds

        def made() -> bytes | None:
            if monotonic() >= ends:
                return None
            return self._reason(user, history, item, language)

        try:
            found: bytes | None = await self._ask(made, seconds)
        except ProblemError as problem:
            if problem.kind == "busy" and not self._late:
                self._late = True  # said once
                logger.warning(
                    "a list went out without a reason, which was not ready in time (the first ones "
                    "load the run). Ask with more reason_ms, or compute reasons before: "
                    "kgrec explain-batch, then kgrec export --serving --reasons."
                )
            return None
        except KgrecError:
            return None

        return found

    async def explain(self, user: str | None, history: Sequence[str], item: str, k: int) -> bytes:
        """Return a whole explanation as JSON.

        Raises:
            ProblemError: If there is none, too many wait, or it takes too long.
        """

        def made() -> bytes:
            run = self._checked()
            found = run.explain(user, item, k, history=list(history) or None, on_unknown="ignore")
            return found.to_json().encode("utf-8", "backslashreplace")

        try:
            found: bytes = await self._ask(made, _SECONDS)
        except KgrecError as error:
            raise problem_of(error, "item") from None

        return found

    async def _ask(self, question: Callable[[], Any], seconds: float) -> Any:
        if self._open >= _WAITING:
            raise ProblemError("busy", f"{_WAITING} explanations are waiting. Try again.")

        self._open += 1
        answer = self._thread.submit(question)
        answer.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), seconds)
        except TimeoutError:
            raise ProblemError("busy", f"no explanation within {seconds:g} s.") from None

    def _done(self, _: object) -> None:
        self._open -= 1

    def _checked(self) -> "Run":
        """Return the run, which may have been replaced since the last time.

        Raises:
            ProblemError: If the run at hand is another than the one that is served.
        """
        run = self._run.get()
        if run is not self._known:
            from kgrec.serving.write_tables import run_id

            self._fits = run_id(run) == self._wanted
            self._known = run
            if not self._fits:
                logger.warning("%s: is another run than the served one.", self._run.path)

        if not self._fits:
            raise ProblemError("not-capable", "the run at hand is not the one that is served.")

        return run

    def _reason(
        self, user: str | None, history: Sequence[str], item: str, language: str
    ) -> bytes | None:
        from kgrec.explanation.core.speech import Speech
        from kgrec.serving.reasons import reason_of

        run = self._checked()
        found = run.explain(user, item, 5, history=list(history) or None, on_unknown="ignore")
        if language:
            found = Speech(run.data, language).explanation(found)

        said = reason_of(found)
        return None if said is None else msgspec.json.encode(said)
