"""Work on one piece while the next is being made."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")


def overlapped(pieces: Iterable[Piece], take: Callable[[Piece], None]) -> None:
    """Call ``take`` with each piece in turn, in another thread, while this one makes the next
    piece.

    An error of ``take`` ends it; where making a piece fails as well, the error of the earlier piece
    is the one that is raised.
    """
    source = iter(pieces)
    first = next(source, None)
    if first is None:
        return

    second = next(source, None)
    if second is None:  # what fits in one piece needs no thread
        take(first)
        return

    with ThreadPoolExecutor(max_workers=1) as pool:
        pending: Future[None] = pool.submit(take, first)
        try:
            piece: Piece | None = second
            while piece is not None:
                pending.result()
                pending = pool.submit(take, piece)
                piece = next(source, None)
        finally:
            pending.result()
