"""The best items of everyone, written to a folder of parts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool
from torch import Tensor

from kgrec._version import __version__
from kgrec.data.io.files import write_parquet
from kgrec.data.records.fingerprint import fingerprint
from kgrec.errors import ConfigError
from kgrec.explanation.fingerprint import parameters_sum
from kgrec.ops.reranking import Wishes
from kgrec.ops.strangers import KINDS
from kgrec.runs.processes.parts import CHUNK, Parts, parts_in
from kgrec.runs.ranker import Ranked
from kgrec.runs.run import Run
from kgrec.scale.world import World

LISTED = ("user", "rank", "item", "score", "kind")
"""Columns of a part."""


def recommend_all(
    run: Run,
    folder: Path,
    *,
    k: int = 10,
    items: list[str] | None = None,
    exclude: list[str] | None = None,
    allow_seen: bool = False,
    on_unknown: str = "error",
    ids: Literal["keys", "rows"] = "keys",
    chunk: int = CHUNK,
    share_items: bool = False,
    wishes: Wishes | None = None,
    world: World | None = None,
) -> tuple[int, int]:
    """Write the best items of every user into a folder of Parquet parts; return how many parts it
    has, and how many of them were there before.

    A part has the columns ``LISTED``, the rank from 1, as ``Run.recommend`` gives them, and the
    users of a chunk in their order. The same call goes on where it was interrupted, with any number
    of processes.

    Args:
        run: What ranks.
        folder: Where.
        k: Items per user, at least 1.
        items: Only these are candidates.
        exclude: These are not.
        allow_seen: Whether items that the user has are candidates.
        on_unknown: "error", or "ignore" ids that are not in the data.
        ids: "keys" writes ids; "rows" numbers, a fifth of the size, with their ids in
            ``users.parquet`` and ``items.parquet``.
        chunk: Users of a part.
        share_items: Whether the processes share the items instead of the users: for catalogs whose
            scores one process does not make in time.
        wishes: What is wanted of the lists beside high scores.
        world: The processes, each of which calls this alike.

    Raises:
        ConfigError: If ``k`` or ``chunk`` is less than 1.
        CheckpointError: If the folder holds something else, or was begun with something else.
        WorldError: If another process has other arguments.
    """
    if k < 1:
        raise ConfigError(f"k={k}: ask for at least 1 item.")

    world = world or World()
    data = run.data
    allowed = run.candidates(items, exclude or (), on_unknown)
    made_of = {
        "format": "kgrec-lists",
        "kgrec": __version__,
        "model": run.name,
        "parameters": parameters_sum(run.model.state_dict()),
        "dataset": fingerprint(data),
        "fallback": [run.fallback.way, run.fallback.half_life],
        "k": k,
        "allow_seen": allow_seen,
        "candidates": data.num_items if allowed is None else _rows_of(allowed),
        "ids": ids,
        "wishes": wishes.to_dict() if wishes else {},
    }
    ranker = run.ranker()
    apart = share_items and world.size > 1
    if apart:
        ranker.share(world)

    def ranked(users: range) -> pl.DataFrame:
        rows = np.arange(users.start, users.stop)
        length = min(k, data.num_items)
        own = ranker.own_lists(rows)

        def rank(part: slice, length: int, allowed: Tensor | None) -> Ranked:
            some = own.cut(part)
            return ranker.rank(rows[part], some, length, allowed=allowed, allow_seen=allow_seen)

        if wishes:
            found = run.reranker().rerank(rank, own, length, wishes, allowed)
        else:
            found = rank(slice(None), length, allowed)
        return _frame(run, rows, found, ids)

    def write(users: range, place: Path) -> None:
        write_parquet(ranked(users), place)

    def make(users: range) -> Callable[[Path], object]:
        return partial(write_parquet, ranked(users))

    with parts_in(folder, made_of, data.num_users, chunk=chunk, world=world) as parts:
        if ids == "rows":
            _write_ids(run, parts)
        title = "recommending"
        there = parts.together(make, title) if apart else parts.each(write, title)
        return parts.count, there


def _rows_of(allowed: Bool[Tensor, " items"]) -> list[int]:
    found: list[int] = allowed.nonzero().squeeze(1).tolist()
    return found


def _frame(run: Run, users: np.ndarray, ranked: Ranked, ids: str) -> pl.DataFrame:
    """Return ranked rows as a frame; empty places are left out."""
    owner, column = (ranked.items >= 0).numpy().nonzero()
    user = pl.Series("user", users[owner].astype(np.int32))
    item = pl.Series("item", ranked.items.numpy()[owner, column].astype(np.int32))
    if ids == "keys":
        user = run.data.users.series[user.cast(pl.UInt32)].alias("user")
        item = run.data.items.series[item.cast(pl.UInt32)].alias("item")

    kinds = np.array(KINDS, dtype=object)[ranked.kinds.numpy()[owner, column]]
    return pl.DataFrame(
        [
            user,
            pl.Series("rank", (column + 1).astype(np.int32)),
            item,
            pl.Series("score", ranked.scores.numpy()[owner, column]),
            pl.Series("kind", kinds.tolist(), dtype=pl.String),
        ]
    )


def _write_ids(run: Run, parts: Parts) -> None:
    for name, keys in (("user", run.data.users), ("item", run.data.items)):
        frame = pl.DataFrame([keys.series.alias(name)])
        parts.beside(f"{name}s.parquet", partial(write_parquet, frame))
