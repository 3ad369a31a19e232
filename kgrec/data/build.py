"""A ``Dataset`` from its parts: interactions, a knowledge graph, links, tables."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.dataset import BuildReport, Dataset
from kgrec.data.facts import merge
from kgrec.data.graphs import read_triples
from kgrec.data.interactions import Dropped, InteractionLog, Interactions
from kgrec.data.linking import link, read_links
from kgrec.data.logs import read_interactions, read_part
from kgrec.data.split import TEST, TRAIN, VALID, check_ratios, find_split, hold_out
from kgrec.data.titles import read_titles
from kgrec.data.triples import Triples, empty_triples
from kgrec.data.users import add_user_facts, read_user_table
from kgrec.data.vocabulary import Vocabulary
from kgrec.errors import ConfigError, DataError
from kgrec.random import numpy_generator

_log = logging.getLogger("kgrec.data")

_HELD_OUT = 0.1


@dataclass
class _Record:
    """The report while it is being written."""

    sources: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def drop(self, what: str, why: str, count: int) -> None:
        if count:
            self.dropped.append(Dropped(what, why, count))

    def report(self) -> BuildReport:
        return BuildReport(tuple(dict.fromkeys(self.sources)), tuple(self.dropped), tuple(self.notes), self.counts)


def build_dataset(
    log: "InteractionLog | object | None" = None,
    triples: "Triples | Sequence[Triples] | object | None" = None,
    *,
    links: object | None = None,
    split: str = "random",
    ratios: Sequence[float] = (0.8, 0.1, 0.1),
    train: object | None = None,
    valid: object | None = None,
    test: object | None = None,
    user_attributes: object | None = None,
    item_labels: object | None = None,
    user: str | None = None,
    item: str | None = None,
    item_id: str | None = None,
    min_rating: float | int | None = None,
    k_core: int = 0,
    catalog: str = "interactions",
    on_error: str = "stop",
    seed: int = 0,
    name: str = "dataset",
    notes: Sequence[str] = (),
) -> Dataset:
    """Build a dataset from its parts.

    Ids are numbered in the order they first appear. Repeated (user, item) pairs are merged, the earliest time kept; a pair that is in
    an earlier part leaves the later one. Items without an entity are kept.

    Args:
        log: Interactions, or what ``read_interactions`` reads. With given parts it only lends its times to them.
        triples: A knowledge graph, several of them, or what ``read_triples`` reads.
        links: File or frame of two columns, item and entity. Without links, items whose id equals an entity's key link themselves;
            with links, the others do so only where the key is an IRI.
        split: "random" (per user), "temporal" (two moments for all), "leave-one-out" (per user, the latest), or "given".
        ratios: Shares of train, valid and test for the first two.
        train: Training part of a given split: a log, file or frame.
        valid: Validation part; a tenth of each user's training items is held out where it is missing.
        test: Test part.
        user_attributes: File or frame: user id and attributes, which become facts about users.
        item_labels: File or frame of items with a column of titles.
        user: User column of parts and tables, where present.
        item: Item column of parts and links, where present.
        item_id: Item column of ``item_labels``.
        min_rating: Ratings below it are left out (where ``log`` is a file).
        k_core: Users and items with fewer interactions are left out, again and again until none is left; 0 keeps all.
        catalog: "interactions" (every item with an interaction in any part) or "all" (also those only in links or the item table).
        on_error: For files, "stop" at a malformed line or "skip" it and count it.
        seed: Of every draw.
        name: Short name.
        notes: Sentences to begin the report's notes with.

    Raises:
        ConfigError: If a setting is unknown or out of range.
        DataError: If nothing is left to train on, or nobody to evaluate.
    """
    _check_settings(catalog, k_core)
    record = _Record(notes=list(notes))
    three = check_ratios(tuple(ratios))
    if train is not None or valid is not None or test is not None or split.lower() == "given":
        frame = _given(_read_log(log, min_rating, user, item, on_error), (train, valid, test), split, user, item, on_error, record, seed)
        split = "given"
    else:
        frame = _one_log(_read_log(log, min_rating, user, item, on_error), record)
    frame = _core(frame, k_core, record)
    users = Vocabulary(frame["user"].unique(maintain_order=True), kind="user")
    item_keys = frame["item"].unique(maintain_order=True)
    frame = frame.with_columns(user=pl.Series(users.match(frame["user"])), item=pl.Series(Vocabulary(item_keys).match(frame["item"])))
    parts = _divide(frame, split, three, seed)
    _check_parts(parts, split, record)
    link_frame = _links(links, item, on_error, record)
    titles = _titles(item_labels, item_id, on_error, record)
    items = _catalog(item_keys, catalog, link_frame, titles)
    graph, facts = _graph(users, items, triples, link_frame, titles, user_attributes, user, on_error, record)
    _log.info("%d users, %d items, %d entities, %d triples", len(users), len(items), len(graph.entities), len(graph))
    return Dataset(
        name=name,
        users=users,
        items=items,
        triples=graph,
        train=parts[TRAIN],
        valid=parts[VALID],
        test=parts[TEST],
        user_facts=facts,
        report=record.report(),
        settings=_settings(split, three, seed, k_core, catalog, min_rating)
        | ({"valid_held_out": True} if split == "given" and valid is None else {}),
    )


def _check_settings(catalog: str, k_core: int) -> None:
    if catalog not in ("interactions", "all"):
        raise ConfigError(f"catalog: {catalog!r} is unknown. Known: interactions, all.")
    if k_core < 0:
        raise ConfigError(f"k_core: {k_core} is negative. 0 keeps everything.")


def _settings(
    split: str, ratios: tuple[float, float, float], seed: int, k_core: int, catalog: str, min_rating: float | int | None
) -> dict[str, Any]:
    own: dict[str, Any] = {"split": split, "seed": seed, "k_core": k_core, "catalog": catalog, "min_rating": min_rating}
    return own | ({"ratios": list(ratios)} if split in ("random", "temporal") else {})


def _read_log(log: object, min_rating: float | int | None, user: str | None, item: str | None, on_error: str) -> InteractionLog | None:
    if log is None or isinstance(log, InteractionLog):
        return log
    return read_interactions(log, min_rating=min_rating, user=user, item=item, on_error=on_error)


def _one_log(log: InteractionLog | None, record: _Record) -> pl.DataFrame:
    if log is None:
        raise ConfigError("no interactions. Give a log, or the parts of a given split.")
    record.sources += log.sources
    record.dropped += log.dropped
    return _merged(log.frame.with_columns(part=pl.lit(-1, dtype=pl.Int8)), record)


def _given(
    log: InteractionLog | None,
    sources: tuple[object | None, object | None, object | None],
    split: str,
    user: str | None,
    item: str | None,
    on_error: str,
    record: _Record,
    seed: int,
) -> pl.DataFrame:
    """Return the interactions of given parts, a validation part held out where there is none."""
    if split.lower() not in ("random", "given"):
        raise ConfigError(f"split: {split!r} and given parts exclude each other. Leave one out.")
    if sources[TRAIN] is None or sources[TEST] is None:
        missing = "train" if sources[TRAIN] is None else "test"
        raise ConfigError(f"split: given, but there is no {missing} part. Name it with {missing}=.")
    frames = []
    for part, source in enumerate(sources):
        if source is None:
            continue
        own = source if isinstance(source, InteractionLog) else read_part(source, user=user, item=item, on_error=on_error)
        record.sources += own.sources
        record.dropped += own.dropped
        frames.append(own.frame.with_columns(part=pl.lit(part, dtype=pl.Int8)))
    frame = _merged(_with_times(pl.concat(frames, how="diagonal"), log, record), record)
    if sources[VALID] is not None:
        return frame
    training = frame["part"].to_numpy() == TRAIN
    rows = frame["user"].rank("dense").to_numpy()[training]
    held = np.zeros(frame.height, dtype=bool)
    held[np.flatnonzero(training)[hold_out(rows, _HELD_OUT, generator=numpy_generator(seed, "split"))]] = True
    record.notes.append(f"No validation part: a tenth of each user's training items was held out ({int(held.sum())} interactions).")
    return frame.with_columns(part=pl.when(pl.Series(held)).then(pl.lit(VALID, dtype=pl.Int8)).otherwise("part"))


def _with_times(frame: pl.DataFrame, log: InteractionLog | None, record: _Record) -> pl.DataFrame:
    """Return the parts with the times of the log, where they have none of their own."""
    if log is None or "time" in frame.columns or "time" not in log.frame.columns:
        return frame
    record.sources += log.sources
    record.notes.append(f"The given parts have no times; those of {', '.join(log.sources)} were taken.")
    first = log.frame.group_by("user", "item").agg(pl.col("time").min())
    return frame.join(first, on=["user", "item"], how="left", maintain_order="left")


def _merged(frame: pl.DataFrame, record: _Record) -> pl.DataFrame:
    """Return one row per (user, item), in the order of first appearance, the earliest time kept; earlier parts go first."""
    frame = frame.with_row_index("row").with_columns(pl.col("row").min().over("part", "user", "item"))
    ordered = frame.sort("time", maintain_order=True, nulls_last=True) if "time" in frame.columns else frame
    within = ordered.unique(["part", "user", "item"], keep="first", maintain_order=True)
    across = within.sort("part", maintain_order=True).unique(["user", "item"], keep="first", maintain_order=True)
    record.drop("interactions", "repeated pairs, the earliest kept", frame.height - within.height)
    for part, name in ((VALID, "validation"), (TEST, "test")):
        gone = within.filter(pl.col("part") == part).height - across.filter(pl.col("part") == part).height
        record.drop("interactions", f"in the {name} part and already in an earlier one", gone)
    return across.sort("row").drop("row")


def _core(frame: pl.DataFrame, k: int, record: _Record) -> pl.DataFrame:
    """Return the largest set of interactions in which every user and item has at least k."""
    before = frame
    while k > 1:
        kept = frame.filter((pl.len().over("user") >= k) & (pl.len().over("item") >= k))
        if kept.height == frame.height:
            break
        frame = kept
    for column in ("user", "item"):
        record.drop(f"{column}s", f"outside the {k}-core", before[column].n_unique() - frame[column].n_unique())
    record.drop("interactions", f"outside the {k}-core", before.height - frame.height)
    if frame.height == 0:
        raise DataError("no interaction is left. Lower min_rating or k_core.")
    return frame


def _divide(
    frame: pl.DataFrame, split: str, ratios: tuple[float, float, float], seed: int
) -> tuple[Interactions, Interactions, Interactions]:
    user = frame["user"].to_numpy()
    time = frame["time"].fill_null(np.nan).to_numpy() if "time" in frame.columns else None
    divide = find_split(split) if split != "given" else None
    part = divide(user, time, ratios, generator=numpy_generator(seed, "split")) if divide else frame["part"].to_numpy()
    rating = frame["rating"].fill_null(np.nan).to_numpy().astype(np.float32) if "rating" in frame.columns else None
    everything = Interactions(user.astype(np.int32), frame["item"].to_numpy().astype(np.int32), time, rating)
    order = np.lexsort((user,) if time is None else (time, user))
    ordered, part = everything.take(order), part[order]
    return ordered.take(part == TRAIN), ordered.take(part == VALID), ordered.take(part == TEST)


def _check_parts(parts: tuple[Interactions, Interactions, Interactions], split: str, record: _Record) -> None:
    train, valid, test = parts
    if not len(train):
        raise DataError(f"split {split!r} leaves no training interaction. Change the ratios, or give more interactions.")
    if not len(test):
        raise DataError(f"split {split!r} leaves nobody to evaluate: the test part is empty. Change the ratios, or give more interactions.")
    if not len(valid):
        record.notes.append("The validation part is empty: training cannot stop early.")
    for name, part in (("validation", valid), ("test", test)):
        for what, rows, known in (("users", part.user, train.user), ("items", part.item, train.item)):
            cold = len(np.setdiff1d(rows, known))
            if cold:
                record.counts[f"{name} {what} without training interactions"] = cold


def _links(links: object, item: str | None, on_error: str, record: _Record) -> pl.DataFrame | None:
    if links is None:
        return None
    frame, source, dropped = read_links(links, item=item, on_error=on_error)
    record.sources.append(source)
    record.dropped += dropped
    record.counts["links"] = frame.height
    return frame


def _titles(source: object, item: str | None, on_error: str, record: _Record) -> pl.DataFrame | None:
    if source is None:
        return None
    frame, name, unused = read_titles(source, item=item, on_error=on_error)
    record.sources.append(name)
    if unused:
        record.notes.append(f"{name}: columns {', '.join(unused)} are unused.")
    return frame


def _catalog(keys: pl.Series, catalog: str, links: pl.DataFrame | None, titles: pl.DataFrame | None) -> Vocabulary:
    if catalog == "all":
        known = [frame["item"].rename("item") for frame in (links, titles) if frame is not None]
        keys = pl.concat([keys, *known]).unique(maintain_order=True)
    return Vocabulary(keys, kind="item")


def _graph(
    users: Vocabulary,
    items: Vocabulary,
    triples: object,
    links: pl.DataFrame | None,
    titles: pl.DataFrame | None,
    user_attributes: object,
    user: str | None,
    on_error: str,
    record: _Record,
) -> tuple[Triples, np.ndarray]:
    """Return the graph with the items as its first entities, and the facts about users."""
    read = _read_graph(triples, links is not None, on_error)
    record.sources += read.sources
    record.dropped += read.dropped
    linked = link(items, read, links, _item_labels(items, titles))
    if triples is not None:
        record.counts["triples read"] = len(read) + sum(d.count for d in read.dropped if d.what == "triples")
        record.counts |= linked.counts
    record.dropped += linked.dropped
    if triples is not None and not linked.counts["items in the graph"]:
        record.notes.append("No item is in the graph: the triples cannot help. Do the links name the graph's entities?")
    if user_attributes is None:
        return linked.triples, np.empty((0, 3), dtype=np.int32)
    table, column = read_user_table(user_attributes, user=user, on_error=on_error)
    graph, facts, dropped = add_user_facts(users, linked.triples, table, column)
    record.sources.append(table.name)
    record.dropped += (*table.dropped, *dropped)
    record.counts["facts about users"] = len(facts)
    return graph, facts


def _read_graph(triples: object, linked: bool, on_error: str) -> Triples:
    if triples is None:
        if linked:
            raise ConfigError("links without triples. Give the graph that the links lead to.")
        return empty_triples()
    if isinstance(triples, Triples):
        return triples
    if isinstance(triples, list | tuple) and triples and all(isinstance(one, Triples) for one in triples):
        return merge(triples)
    return read_triples(triples, on_error=on_error)


def _item_labels(items: Vocabulary, titles: pl.DataFrame | None) -> pl.Series:
    if titles is None:
        return pl.Series("label", [None] * len(items), dtype=pl.String)
    own = pl.DataFrame({"item": items.series}).join(titles, on="item", how="left", maintain_order="left")
    return own["label"]
