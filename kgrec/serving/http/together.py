"""Lists that are asked for at the same time are searched for together: the catalog is read once."""

import asyncio
from collections.abc import Sequence

import numpy as np

from kgrec.serving.tables.ranking import Begun, Ranked, Ranking

_MOST = 32  # lists after which other requests have their turn
_Columns = asyncio.Future[np.ndarray | None]


class Together:
    """Ends lists that were begun, those of one turn of the loop at once.

    Args:
        ranking: What began them.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._waiting: list[tuple[Begun, _Columns]] = []

    async def end(self, lists: Sequence[Begun | Ranked]) -> list[Ranked]:
        """Return lists in the order given; what is a list already stays."""
        asked = [
            self._asked(one) if isinstance(one, Begun) and one.search is not None else None
            for one in lists
        ]
        made = []
        for one, waits in zip(lists, asked, strict=True):
            columns = None if waits is None else await waits
            made.append(one if isinstance(one, Ranked) else self._ranking.end(one, columns))
        return made

    def _asked(self, begun: Begun) -> _Columns:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._search)  # behind all requests that have come in by now
        found: _Columns = loop.create_future()
        self._waiting.append((begun, found))
        return found

    def _search(self) -> None:
        now, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._search)

        open_ones = [(begun, future) for begun, future in now if not future.cancelled()]
        try:
            found = self._ranking.columns_of([begun for begun, _ in open_ones])
        except Exception as error:  # nobody else would tell them
            for _, future in open_ones:
                future.set_exception(error)
            return

        for (_, future), columns in zip(open_ones, found, strict=True):
            future.set_result(columns)
