"""Lists that are asked for at the same time are searched for together: the catalog is read once."""

import asyncio
from collections.abc import Sequence

import numpy as np

from kgrec.serving.tables.ranking import Begun, Ranked, Ranking

_MOST = 32  # lists after which other requests have their turn


class _Batch:
    """Lists that are searched for at once, behind all requests that have come in by then."""

    def __init__(self, together: "Together") -> None:
        self.lists: list[Begun] = []
        self.found = asyncio.create_task(together.search(self))


class Together:
    """Ends lists that were begun, those of one turn of the loop at once.

    Args:
        ranking: What began them.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._batch: _Batch | None = None

    async def end(self, lists: Sequence[Begun | Ranked]) -> list[Ranked]:
        """Return lists in the order given; what is a list already stays."""
        joined = [self._join(one) for one in lists]
        made = []
        for one, (batch, at) in zip(lists, joined, strict=True):
            columns = None
            if batch is not None:  # shielded: others wait for the same search
                columns = (await asyncio.shield(batch.found))[at]
            made.append(one if isinstance(one, Ranked) else self._ranking.end(one, columns))
        return made

    def _join(self, one: Begun | Ranked) -> tuple[_Batch | None, int]:
        """Return the search that a list is part of, and its place there."""
        if isinstance(one, Ranked) or one.search is None:
            return None, 0
        if self._batch is None or len(self._batch.lists) == _MOST:
            self._batch = _Batch(self)
        self._batch.lists.append(one)
        return self._batch, len(self._batch.lists) - 1

    async def search(self, batch: _Batch) -> list[np.ndarray | None]:
        """Return the columns of each list of a batch, which no one can join any more."""
        if self._batch is batch:
            self._batch = None
        return self._ranking.columns_of(batch.lists)
