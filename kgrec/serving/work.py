"""One question after another, each with a limit of time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_WAITING = 32


class BusyError(Exception):
    """Too many questions wait, or one takes too long."""


class Worker:
    """A thread that answers questions in order, so that models never run twice at once.

    Args:
        seconds: How long a caller waits for an answer. The work goes on after that, and its answer
            is kept for who asks again.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self.seconds = seconds
        self._thread = ThreadPoolExecutor(1, "kgrec inspect")
        self._open: set[Future[Any]] = set()

    async def ask(self, question: Callable[[], Any]) -> Any:
        """Return the answer.

        Raises:
            BusyError: If too many wait, or the time is over.
        """
        if len(self._open) >= _WAITING:
            raise BusyError(f"{_WAITING} questions are waiting already. Try again in a moment.")

        answer = self._thread.submit(question)
        self._open.add(answer)
        answer.add_done_callback(self._open.discard)

        try:  # shielded: a caller who gives up does not cancel what another may ask for again
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answer)), self.seconds)
        except TimeoutError:
            raise BusyError(
                f"no answer within {self.seconds:g} s. It is still being worked on: ask again "
                "later, or ask for less."
            ) from None

    def stop(self) -> bool:
        """Take no more questions and return whether nothing is being worked on."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        return not self._open
