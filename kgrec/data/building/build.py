"""A ``Dataset`` from its parts: interactions, a knowledge graph, links, tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.content import ContentSources, describe
from kgrec.data.building.item_table import (
    LinkBy,
    attribute_settings,
    links_by_label,
    read_item_table,
    with_attributes,
)
from kgrec.data.building.leaks import check_graph, check_ids
from kgrec.data.building.report_builder import Draft
from kgrec.data.graphs.assemble import merge
from kgrec.data.graphs.canonical import in_order, with_further
from kgrec.data.graphs.filter import frequent, interaction_core, without_relations
from kgrec.data.graphs.holdout import check_held, hold_out_triples, number_held
from kgrec.data.io.files import FilePath
from kgrec.data.linking.links import link, read_links
from kgrec.data.linking.user_facts import add_user_facts, read_user_table
from kgrec.data.readers.interactions import read_log, read_part
from kgrec.data.readers.items import ItemTable, titles
from kgrec.data.readers.triples import read_triples, reader_settings
from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import PARTS, Dataset
from kgrec.data.records.interactions import InteractionLog, Interactions
from kgrec.data.records.triples import Triples, empty_triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.impressions import ImpressionLog, divide_impressions, number_impressions
from kgrec.data.splitting.labeled import HELD_OUT, PLACE, Judged, number_negatives
from kgrec.data.splitting.labels import LabelledLog, divide_labels
from kgrec.data.splitting.strategies import TEST, TRAIN, VALID, check_ratios, find_split, hold_out
from kgrec.data.tables.ordering import numbered, row_order, text_order
from kgrec.errors import ConfigError, DataError
from kgrec.process import refuse_after_fork
from kgrec.random import numpy_generator

_log = logging.getLogger("kgrec.data")

_RATIOS = (0.8, 0.1, 0.1)


def build_dataset(
    log: "InteractionLog | object | None" = None,
    triples: "Triples | Sequence[Triples] | object | None" = None,
    *,
    links: object | None = None,
    split: str | None = None,
    ratios: Sequence[float] | None = None,
    train: object | None = None,
    valid: object | None = None,
    test: object | None = None,
    labelled: LabelledLog | None = None,
    impressions: ImpressionLog | None = None,
    triple_ratios: Sequence[float] | None = None,
    held: Mapping[str, pl.DataFrame] | None = None,
    user_attributes: object | None = None,
    item_labels: object | None = None,
    item_attributes: bool | Mapping[str, object] | None = None,
    link_by: str | None = None,
    review: FilePath | None = None,
    item_year: str | None = None,
    texts: str | Sequence[str] | None = None,
    mentions: pl.DataFrame | None = None,
    features: object | None = None,
    word_vectors: object | None = None,
    entity_vectors: object | None = None,
    user: str | None = None,
    item: str | None = None,
    item_id: str | None = None,
    min_rating: float | int | None = None,
    k_core: int | Sequence[int] = 0,
    min_entity: int = 0,
    min_relation: int = 0,
    without_relation: Sequence[str] = (),
    leaks: str = "keep",
    catalog: str = "interactions",
    on_error: str = "stop",
    reading: Mapping[str, object] | None = None,
    seed: int = 0,
    name: str = "dataset",
    notes: Sequence[str] = (),
) -> Dataset:
    """Build a dataset from its parts.

    No order of lines decides anything: users and items are numbered by their ids, sorted by their
    bytes in UTF-8, other entities and relations by their keys (blank nodes last, as they come),
    interactions are sorted by user, time and item, and triples by head, relation and tail, before
    anything is drawn. Of repeated (user, item) pairs the earliest is kept, among equal times the
    one with the lowest rating; a pair that is in an earlier part leaves the later one. Items
    without an entity are kept.

    Args:
        log: Interactions, or what ``read_interactions`` reads. With given parts it only lends its
            times to them. Without interactions of any kind, the triples and ``triple_ratios`` make
            a dataset without users and items.
        triples: A knowledge graph, several of them, or what ``read_triples`` reads.
        links: File or frame of two columns, item and entity. Without links, items whose id equals
            an entity's key link themselves; with links, the others do so only where the key is an
            IRI.
        split: "random" (per user; labelled rows without regard to users), "temporal" (two moments
            for all), "leave-one-out" (per user, the latest), or "given". Where None: given parts if
            there are any; impressions with times "temporal"; else "random".
        ratios: Shares of train, valid and test for the first two; 0.8, 0.1, 0.1 where None, of
            labelled rows 0.6, 0.2, 0.2.
        train: Training part of a given split: a log, file or frame.
        valid: Validation part; a tenth of each user's training items is held out where it is
            missing.
        test: Test part.
        labelled: Rows with labels, in the place of a log; those with label 0 become
            ``Dataset.negatives``.
        impressions: Lists that were shown, in the place of a log; they become
            ``Dataset.impressions``.
        triple_ratios: Shares of the triples for train, valid and test; all train where None.
        held: Held-out triples by part ("valid", "test"): columns ``head``, ``relation``, ``tail``
            (keys). An empty mapping says that triples alone make the dataset.
        user_attributes: File or frame: user id and attributes, which become facts about users.
        item_labels: File or frame of items with a column of titles.
        item_attributes: True, or settings of ``triples_from_table`` by name: the columns of
            ``item_labels`` become triples as well.
        link_by: "label-year" or "label": items are linked by the titles of ``item_labels`` to
            entities of the graph, in the place of ``links``; see
            ``kgrec.data.linking.match.match_items``. Only what is sure is linked.
        review: File to write, with ``link_by``: what is sure, doubtful and unmatched; edited, it
            can be given as ``links``.
        item_year: Column of years in ``item_labels``, for ``link_by``; found where None.
        texts: Columns of ``item_labels`` whose texts, joined by a space, are the items' texts; the
            titles where None.
        mentions: Entities named in the texts, as ``kgrec.data.linking.mentions.MENTIONS``.
        features: Feature vectors of the items, see ``kgrec.data.readers.features.read_features``.
        word_vectors: File of word vectors, see ``kgrec.data.readers.vectors.read_vectors``; only
            words of the texts are kept.
        entity_vectors: File of entity vectors, or several; only entities of the graph and the
            mentions are kept.
        user: User column of parts and tables, where present.
        item: Item column of parts and links, where present.
        item_id: Item column of ``item_labels`` and ``features``.
        min_rating: Ratings below it are left out (where ``log`` is a file).
        k_core: Users and items with fewer interactions are left out, again and again until none is
            left; 0 keeps all. Two numbers are one for users and one for items.
        min_entity: Entities with fewer triples are left out with them, again and again; items stay;
            0 keeps all.
        min_relation: Relations with fewer triples are left out, likewise.
        without_relation: Relations that are left out, by key or label.
        leaks: "keep" triples that state interactions between users and items, with a warning, or
            "drop" them.
        catalog: "interactions" (every item with an interaction in any part, labelled or shown) or
            "all" (also those only in links or the item table).
        on_error: For files, "stop" at a malformed line or "skip" it and count it.
        reading: Further settings of ``read_triples`` by name, for instance
            ``{"same_as": "merge"}``.
        seed: Of every draw.
        name: Short name.
        notes: Sentences to begin the report's notes with.

    Raises:
        ConfigError: If a setting is unknown or out of range, or parts exclude each other.
        DataError: If nothing is left to train on, or nobody to evaluate.
    """
    refuse_after_fork("Building a dataset")
    cores = _check_settings(
        catalog, k_core, {"min_entity": min_entity, "min_relation": min_relation}, leaks
    )
    by = LinkBy(link_by, review, item_year)
    by.check(links, triples, item_labels)
    draft = Draft(notes=list(notes))
    check_held(held, triple_ratios)
    if triple_ratios is None:
        triple_shares = None
    else:
        triple_shares = check_ratios(tuple(triple_ratios), "triple_ratios")
    judged = _judged(labelled, impressions, (log, train, valid, test), split, ratios, seed)
    if judged is not None:
        rows = _from_judged(judged, draft, seed)
    elif (
        log is None
        and train is None
        and test is None
        and (triple_shares is not None or held is not None)
    ):
        rows = _Rows(*_merged(_no_rows(), None, draft), "given", divided="none")
    else:
        own = _read_log(log, min_rating, user, item, on_error)
        rows = _from_logs(
            own, (train, valid, test), split, ratios, user, item, on_error, draft, seed
        )
    frame = _core(rows.frame, cores, draft)
    cored = max(cores) > 1
    users = _users(frame, rows.ids, judged, cored)
    item_keys = _item_keys(frame, rows.ids, judged, cored)
    link_frame = _links(links, item, on_error, draft)
    table = read_item_table(item_labels, item_id, texts, item_attributes, on_error, draft)
    items = _catalog(item_keys, catalog, link_frame, None if table is None else titles(table))
    for column, known in (("user", users), ("item", items)):
        frame = frame.with_columns(
            pl.Series(column, known.match(rows.ids[column])[frame[column].to_numpy()])
        )
    parts = _divide(frame, rows.split, rows.shares, seed)
    _check_parts(parts, rows.divided or rows.split, judged, draft)
    read = reader_settings(reading or {})
    check_ids(users, draft)
    check_ids(items, draft)
    graph = _graph(items, triples, link_frame, table, {"on_error": on_error, **read}, by, draft)
    graph = with_attributes(graph, items, table, item_attributes, texts, on_error, draft)
    graph = _filtered(graph, len(items), tuple(without_relation), min_entity, min_relation, draft)
    graph = in_order(graph, len(items))
    held_out = triple_shares is not None or bool(held)
    graph = check_graph(
        graph, users, len(items), dict(zip(PARTS, parts, strict=True)), leaks, held_out, draft
    )
    graph, facts = _with_users(graph, users, user_attributes, user, on_error, draft)
    sources = ContentSources(texts, mentions, features, word_vectors, entity_vectors, on_error)
    content, graph = describe(items, graph, sources, table, item_id, draft)
    if rows.split == "temporal" and len(graph):
        draft.notes.append(
            "Facts and links carry no dates: under the temporal split, some may be newer than "
            "the moment training ends."
        )
    graph, facts, content = with_further(graph, len(items), facts, content)
    graph, held_rows = _held_triples(graph, triple_shares, held or {}, seed, draft)
    negatives, shown = _numbered(judged, users, items, draft)
    _log.info(
        "%d users, %d items, %d entities, %d triples",
        len(users),
        len(items),
        len(graph.entities),
        len(graph),
    )
    return Dataset(
        name=name,
        users=users,
        items=items,
        triples=graph,
        train=parts[TRAIN],
        valid=parts[VALID],
        test=parts[TEST],
        user_facts=facts,
        content=content,
        negatives=negatives,
        impressions=shown,
        held_triples=held_rows,
        report=draft.report(),
        settings=_settings(rows, seed, cores, catalog, min_rating, triple_shares)
        | ({"reading": read} if read else {})
        | ({"link_by": link_by} if link_by else {})
        | ({"item_attributes": told} if (told := attribute_settings(item_attributes)) else {})
        | _cuts(min_entity, min_relation, tuple(without_relation), leaks),
    )


_Ids = dict[str, pl.Series]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Interactions whose users and items are numbers over ``ids``, and how they are divided."""

    frame: pl.DataFrame
    ids: _Ids
    split: str
    shares: tuple[float, float, float] = _RATIOS
    valid_held_out: bool = False
    divided: str = ""


def _judged(
    labelled: LabelledLog | None,
    impressions: ImpressionLog | None,
    others: tuple[object | None, ...],
    split: str | None,
    ratios: Sequence[float] | None,
    seed: int,
) -> Judged | None:
    """Return labelled rows or impressions by part, where there are any."""
    given = [one for one in (labelled, impressions) if one is not None]
    if not given:
        return None
    if len(given) > 1 or any(one is not None for one in others):
        raise ConfigError(
            "labelled rows, impressions and interactions of another source exclude each other. "
            "Leave all but one out."
        )
    if labelled is not None:
        return divide_labels(labelled, split, ratios, seed)
    if impressions is None:
        return None
    return divide_impressions(impressions, split, ratios, seed)


def _from_judged(judged: Judged, draft: Draft, seed: int) -> _Rows:
    draft.notes += judged.notes
    frame, ids = _given(None, judged.logs, "given", None, None, "stop", draft, seed)
    draft.add((), judged.dropped)
    return _Rows(frame, ids, "given", judged.ratios or _RATIOS, judged.held_out, judged.split)


def _from_logs(
    log: InteractionLog | None,
    parts: tuple[object | None, object | None, object | None],
    split: str | None,
    ratios: Sequence[float] | None,
    user: str | None,
    item: str | None,
    on_error: str,
    draft: Draft,
    seed: int,
) -> _Rows:
    shares = check_ratios(tuple(_RATIOS if ratios is None else ratios))
    split = split or "random"
    if any(part is not None for part in parts) or split.lower() == "given":
        return _Rows(
            *_given(log, parts, split, user, item, on_error, draft, seed),
            "given",
            shares,
            parts[VALID] is None,
        )
    return _Rows(*_one_log(log, draft), split, shares)


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema={"user": pl.String, "item": pl.String, "part": pl.Int8})


def _users(frame: pl.DataFrame, ids: _Ids, judged: Judged | None, cored: bool) -> Vocabulary:
    if judged is None or cored:
        further = []
    else:
        further = [judged.users().rename("user")]
    return Vocabulary(_sorted([_keys_in(frame, ids, "user"), *further]), kind="user")


def _item_keys(frame: pl.DataFrame, ids: _Ids, judged: Judged | None, cored: bool) -> pl.Series:
    if judged is None or cored:
        further = []
    else:
        further = [judged.items.rename("item")]
    return _sorted([_keys_in(frame, ids, "item"), *further])


def _sorted(keys: Sequence[pl.Series]) -> pl.Series:
    """Return the distinct keys of several columns, sorted; the first of them is so already."""
    if not any(map(len, keys[1:])):
        return keys[0]
    every = pl.concat(keys).unique()
    return every.gather(text_order(every))


def _keys_in(frame: pl.DataFrame, ids: _Ids, column: str) -> pl.Series:
    """Return the keys that occur in a column, in the order of their numbers."""
    used = np.zeros(len(ids[column]), dtype=bool)
    used[frame[column].to_numpy()] = True
    return ids[column].filter(pl.Series(used)).rename(column)


def _held_triples(
    graph: Triples,
    shares: tuple[float, float, float] | None,
    given: Mapping[str, pl.DataFrame],
    seed: int,
    draft: Draft,
) -> tuple[Triples, dict[str, np.ndarray]]:
    if shares is None:
        held, unknown = number_held(graph, given)
        draft.drop("held-out triples", "an entity or relation has no triple in training", unknown)
        return graph, held
    graph, held, moved = hold_out_triples(graph, shares, generator=numpy_generator(seed, "triples"))
    if moved:
        draft.notes.append(
            "Triples drawn to be held out, but kept since an entity or relation would be "
            f"unknown without them: {moved}."
        )
    return graph, held


def _numbered(
    judged: Judged | None, users: Vocabulary, items: Vocabulary, draft: Draft
) -> tuple[dict[str, Interactions], dict[str, Impressions]]:
    if judged is None:
        return {}, {}
    negatives, lost = number_negatives(judged, users, items)
    shown, gone = number_impressions(judged, users, items)
    draft.drop("negatives", "their user or item is outside the k-core", lost)
    draft.drop("impressions", "outside the k-core", gone)
    return negatives, shown


def _check_settings(
    catalog: str, k_core: int | Sequence[int], least: Mapping[str, int], leaks: str
) -> tuple[int, int]:
    """Return the cores of users and items."""
    for name, value, known in (
        ("catalog", catalog, ("interactions", "all")),
        ("leaks", leaks, ("keep", "drop")),
    ):
        if value not in known:
            raise ConfigError(f"{name}: {value!r} is unknown. Known: {', '.join(known)}.")
    cores = (k_core, k_core) if isinstance(k_core, int) else tuple(k_core)
    if len(cores) != 2:
        raise ConfigError(
            f"k_core: {len(cores)} numbers. Give one, or one for users and one for items."
        )
    for name, number in (("k_core", min(cores)), *least.items()):
        if number < 0:
            raise ConfigError(f"{name}: {number} is negative. 0 keeps everything.")
    return cores


def _cuts(
    min_entity: int, min_relation: int, without_relation: tuple[str, ...], leaks: str
) -> dict[str, Any]:
    """Return the settings that cut the graph, only those that do."""
    given = {
        "min_entity": min_entity,
        "min_relation": min_relation,
        "without_relation": list(without_relation),
    }
    return {name: value for name, value in given.items() if value} | (
        {"leaks": leaks} if leaks != "keep" else {}
    )


def _settings(
    rows: _Rows,
    seed: int,
    cores: tuple[int, int],
    catalog: str,
    min_rating: float | int | None,
    triple_shares: tuple[float, float, float] | None,
) -> dict[str, Any]:
    split = rows.divided or rows.split
    k_core = cores[0] if cores[0] == cores[1] else list(cores)
    own: dict[str, Any] = {
        "split": split,
        "seed": seed,
        "k_core": k_core,
        "catalog": catalog,
        "min_rating": min_rating,
    }
    if split in ("random", "temporal"):
        own |= {"ratios": list(rows.shares)}
    else:
        own |= {}
    if rows.valid_held_out:
        own |= {"valid_held_out": True}
    else:
        own |= {}
    return own | ({} if triple_shares is None else {"triple_ratios": list(triple_shares)})


def _read_log(
    log: object, min_rating: float | int | None, user: str | None, item: str | None, on_error: str
) -> InteractionLog | None:
    if log is None or isinstance(log, InteractionLog):
        return log
    return read_log(log, wanted=(user, item, None, None), min_rating=min_rating, on_error=on_error)


def _one_log(log: InteractionLog | None, draft: Draft) -> tuple[pl.DataFrame, _Ids]:
    if log is None:
        raise ConfigError("no interactions. Give a log, or the parts of a given split.")
    draft.sources += log.sources
    draft.dropped += log.dropped
    return _merged(log.frame.with_columns(part=pl.lit(-1, dtype=pl.Int8)), log.ids, draft)


def _given(
    log: InteractionLog | None,
    sources: tuple[object | None, object | None, object | None],
    split: str,
    user: str | None,
    item: str | None,
    on_error: str,
    draft: Draft,
    seed: int,
) -> tuple[pl.DataFrame, _Ids]:
    """Return the interactions of given parts, a validation part held out where there is none."""
    if split.lower() not in ("random", "given"):
        raise ConfigError(f"split: {split!r} and given parts exclude each other. Leave one out.")
    if sources[TRAIN] is None or sources[TEST] is None:
        if sources[TRAIN] is None:
            missing = "train"
        else:
            missing = "test"
        raise ConfigError(f"split: given, but there is no {missing} part. Name it with {missing}=.")
    frames = []
    numbered = None
    for part, source in enumerate(sources):
        if source is None:
            continue
        if isinstance(source, InteractionLog):
            own = source
        else:
            own = read_part(source, user=user, item=item, on_error=on_error)
        draft.sources += own.sources
        draft.dropped += own.dropped
        frames.append(own.frame.with_columns(part=pl.lit(part, dtype=pl.Int8)))
        numbered = own.ids
    frame, ids = _merged(
        _with_times(pl.concat(frames, how="diagonal"), log, draft), numbered, draft
    )
    if sources[VALID] is not None:
        return frame, ids
    training = frame["part"].to_numpy() == TRAIN
    rows = frame["user"].to_numpy()[training]
    held = np.zeros(frame.height, dtype=bool)
    held[
        np.flatnonzero(training)[hold_out(rows, HELD_OUT, generator=numpy_generator(seed, "split"))]
    ] = True
    draft.notes.append(
        "No validation part: a tenth of each user's training items was held out "
        f"({int(held.sum())} interactions)."
    )
    return frame.with_columns(
        part=pl.when(pl.Series(held)).then(pl.lit(VALID, dtype=pl.Int8)).otherwise("part")
    ), ids


def _with_times(frame: pl.DataFrame, log: InteractionLog | None, draft: Draft) -> pl.DataFrame:
    """Return the parts with the times of the log, where they have none of their own."""
    if log is None or "time" in frame.columns or "time" not in log.frame.columns:
        return frame
    draft.sources += log.sources
    draft.notes.append(
        f"The given parts have no times; those of {', '.join(log.sources)} were taken."
    )
    first = log.named().group_by("user", "item").agg(pl.col("time").min())
    return frame.join(first, on=["user", "item"], how="left", maintain_order="left")


def _merged(frame: pl.DataFrame, ids: _Ids | None, draft: Draft) -> tuple[pl.DataFrame, _Ids]:
    """Return one row per (user, item), sorted by user, time and item; earlier parts go first.

    Of repeated pairs the earliest stays, among equal times the one with the lowest rating. Users
    and items become numbers over the keys that come with them, sorted, a fraction of the memory of
    text; they may be numbers already.
    """
    frame, ids = _by_key(frame, ids)
    pair = frame["user"].to_numpy().astype(np.int64)
    pair *= len(ids["item"])
    pair += frame["item"].to_numpy()
    pair *= 4
    pair += frame["part"].to_numpy() + 1
    order = row_order(pair)
    pair = pair[order]
    new = np.diff(pair, prepend=-1) != 0
    repeated = ~new | ~np.append(new[1:], True)
    if repeated.any():
        rows = order[repeated]
        order[repeated] = rows[
            row_order(
                pair[repeated],
                *(values[rows] for values in _columns(frame, PLACE, "time", "rating")),
            )
        ]
    own = pair[new]
    draft.drop("interactions", "repeated pairs, the earliest kept", len(pair) - len(own))
    again = np.diff(own >> 2, prepend=-1) == 0
    for part, name in ((VALID, "validation"), (TEST, "test")):
        draft.drop(
            "interactions",
            f"in the {name} part and already in an earlier one",
            int((own[again] & 3 == part + 1).sum()),
        )
    del pair, own, repeated
    order = order[new][~again]
    when = [values[order] for values in _columns(frame, "user", PLACE, "time")]
    if len(when) > 1:
        order = order[row_order(*when)]
    kept: pl.DataFrame = frame[order]
    return kept.drop(PLACE, strict=False), ids


def _by_key(frame: pl.DataFrame, ids: _Ids | None) -> tuple[pl.DataFrame, _Ids]:
    """Return interactions whose users and items number keys in their order, and the keys."""
    sorted_ = {}
    for column in ("user", "item"):
        if ids is None:
            sorted_[column], rows = numbered(frame[column])
        else:
            order = text_order(ids[column])
            rank = np.empty(len(order), dtype=np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            sorted_[column], rows = ids[column].gather(order), rank[frame[column].to_numpy()]
        frame = frame.with_columns(pl.Series(column, rows, dtype=pl.Int32))
    return frame, sorted_


def _columns(frame: pl.DataFrame, *names: str) -> list[np.ndarray]:
    """Return those of the columns that are there, NaN for what is missing."""
    found = [frame[name] for name in names if name in frame.columns]
    return [
        (column.fill_null(np.nan) if column.dtype.is_float() else column).to_numpy()
        for column in found
    ]


def _core(frame: pl.DataFrame, cores: tuple[int, int], draft: Draft) -> pl.DataFrame:
    """Return the largest set of interactions in which every user and every item has as many as its
    core.
    """
    before = frame
    frame = interaction_core(frame, *cores)
    if cores[0] == cores[1]:
        limit = f"the {cores[0]}-core"
    else:
        limit = f"the core of {cores[0]} interactions a user and {cores[1]} an item"
    if frame.height < before.height:
        for column in ("user", "item"):
            draft.drop(
                f"{column}s",
                f"outside {limit}",
                before[column].n_unique() - frame[column].n_unique(),
            )
        draft.drop("interactions", f"outside {limit}", before.height - frame.height)
    if frame.height == 0 < before.height:
        raise DataError("no interaction is left. Lower min_rating or k_core.")
    return frame


def _divide(
    frame: pl.DataFrame, split: str, ratios: tuple[float, float, float], seed: int
) -> tuple[Interactions, Interactions, Interactions]:
    user = frame["user"].to_numpy()
    if "time" in frame.columns:
        time = frame["time"].fill_null(np.nan).to_numpy()
    else:
        time = None
    if split != "given":
        divide = find_split(split)
    else:
        divide = None
    if divide:
        part = divide(user, time, ratios, generator=numpy_generator(seed, "split"))
    else:
        part = frame["part"].to_numpy()
    if "rating" in frame.columns:
        rating = frame["rating"].fill_null(np.nan).to_numpy().astype(np.float32)
    else:
        rating = None
    everything = Interactions(
        user.astype(np.int32), frame["item"].to_numpy().astype(np.int32), time, rating
    )
    return (
        everything.take(part == TRAIN),
        everything.take(part == VALID),
        everything.take(part == TEST),
    )


def _check_parts(
    parts: tuple[Interactions, Interactions, Interactions],
    split: str,
    judged: Judged | None,
    draft: Draft,
) -> None:
    train, valid, test = parts
    if split == "none":
        return
    if not len(train):
        raise DataError(
            f"split {split!r} leaves no training interaction. Change the ratios, or give more "
            "interactions."
        )
    if not len(test) and not (judged is not None and judged.impressions):
        raise DataError(
            f"split {split!r} leaves nobody to evaluate: the test part is empty. Change the "
            "ratios, or give more interactions."
        )
    if not len(valid):
        draft.notes.append("The validation part is empty: training cannot stop early.")
    for name, part in (("validation", valid), ("test", test)):
        for what, rows, known in (
            ("users", part.user, train.user),
            ("items", part.item, train.item),
        ):
            cold = _strangers(rows, known)
            if cold:
                draft.counts[f"{name} {what} without training interactions"] = cold
    unknown = _strangers(test.item, train.item, valid.item)
    if unknown:
        draft.warn(
            f"{unknown:,} of the test part's {len(np.unique(test.item)):,} items are in no other "
            "part",
            "What learns from interactions alone cannot rank them: compare on them models that "
            "use the graph or texts.",
        )


def _strangers(rows: np.ndarray, *known: np.ndarray) -> int:
    """Return how many distinct rows are among none of the known ones."""
    mask = np.zeros(
        1 + max((int(some.max()) for some in (rows, *known) if len(some)), default=0), dtype=bool
    )
    mask[rows] = True
    for some in known:
        mask[some] = False
    return int(mask.sum())


def _links(links: object, item: str | None, on_error: str, draft: Draft) -> pl.DataFrame | None:
    if links is None:
        return None
    frame, source, dropped = read_links(links, item=item, on_error=on_error)
    draft.sources.append(source)
    draft.dropped += dropped
    draft.counts["links"] = frame.height
    return frame


def _catalog(
    keys: pl.Series, catalog: str, links: pl.DataFrame | None, table: pl.DataFrame | None
) -> Vocabulary:
    if catalog == "all":
        known = [frame["item"].rename("item") for frame in (links, table) if frame is not None]
        keys = _sorted([keys, *known])
    return Vocabulary(keys, kind="item")


def _graph(
    items: Vocabulary,
    triples: object,
    links: pl.DataFrame | None,
    table: ItemTable | None,
    reading: Mapping[str, Any],
    by: LinkBy,
    draft: Draft,
) -> Triples:
    """Return the graph with the items as its first entities."""
    read = _read_graph(triples, links is not None, reading)
    if by.way is not None and table is not None:
        links = links_by_label(by, table, items, read, draft)
    draft.sources += read.sources
    draft.dropped += read.dropped
    draft.counts |= read.counts
    draft.columns += read.columns
    read = replace(read, columns=())
    linked = link(items, read, links, _item_labels(items, None if table is None else titles(table)))
    if triples is not None:
        draft.counts["triples read"] = len(read) + sum(
            d.count for d in read.dropped if d.what == "triples"
        )
        if len(items):
            draft.counts |= linked.counts
        else:
            draft.counts |= {}
    draft.dropped += linked.dropped
    if triples is not None and len(items) and not linked.counts["items in the graph"]:
        draft.warn(
            "No item is in the graph: the triples can help through texts alone",
            "Give links that name the graph's entities.",
        )
    return linked.triples


def _filtered(
    graph: Triples,
    num_items: int,
    without: tuple[str, ...],
    min_entity: int,
    min_relation: int,
    draft: Draft,
) -> Triples:
    """Return the graph without the relations that are not wanted, then without what is rare."""
    graph, unwanted = without_relations(graph, num_items, without)
    graph, rare = frequent(graph, num_items, min_entity=min_entity, min_relation=min_relation)
    draft.dropped += (*unwanted, *rare)
    return graph


def _with_users(
    graph: Triples,
    users: Vocabulary,
    user_attributes: object,
    user: str | None,
    on_error: str,
    draft: Draft,
) -> tuple[Triples, np.ndarray]:
    """Return the graph with the values of user attributes as entities, and the facts about
    users.
    """
    if user_attributes is None:
        return graph, np.empty((0, 3), dtype=np.int32)
    about, column = read_user_table(user_attributes, user=user, on_error=on_error)
    graph, facts, dropped = add_user_facts(users, graph, about, column)
    draft.add((about.name,), (*about.dropped, *dropped))
    draft.counts["facts about users"] = len(facts)
    return graph, facts


def _read_graph(triples: object, linked: bool, reading: Mapping[str, Any]) -> Triples:
    if triples is None:
        if linked:
            raise ConfigError("links without triples. Give the graph that the links lead to.")
        return empty_triples()
    if isinstance(triples, Triples):
        return triples
    if (
        isinstance(triples, list | tuple)
        and triples
        and all(isinstance(one, Triples) for one in triples)
    ):
        return merge(triples)
    return read_triples(triples, **reading)


def _item_labels(items: Vocabulary, table: pl.DataFrame | None) -> pl.Series:
    if table is None:
        return pl.Series("label", [None] * len(items), dtype=pl.String)
    own = pl.DataFrame({"item": items.series}).join(
        table, on="item", how="left", maintain_order="left"
    )
    return own["label"]
