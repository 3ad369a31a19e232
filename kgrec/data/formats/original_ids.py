"""DatasetSources of a folder under the ids and keys that its numbers and minted IRIs stand for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats.id_lists import IdLists
from kgrec.data.graphs.assemble import as_raw, assemble
from kgrec.data.linking.links import read_links
from kgrec.data.rdf.iris import keys_of, without_minted
from kgrec.data.readers.interactions import read_part
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.parts import PARTS
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import Table, read_table
from kgrec.errors import FormatError


def under_ids(folder: Path, sources: DatasetSources, on_error: str = "stop") -> DatasetSources:
    """Return the sources of a folder under the ids that its id lists say its numbers stand for."""
    lists = IdLists.find(folder)
    if not lists.sources:
        return replace(sources, notes=(*sources.notes, *lists.notes))

    try:
        return replace(_renamed(sources, lists, on_error), notes=(*sources.notes, *lists.notes))
    except FormatError as error:
        return replace(
            sources,
            notes=(
                *sources.notes,
                f"Ids are the numbers of the files, since a list cannot be used. {error}",
            ),
        )


def _renamed(sources: DatasetSources, lists: IdLists, on_error: str) -> DatasetSources:
    logs: dict[str, Any] = {
        name: lists.log(_log_of(source, on_error))
        for name in ("interactions", "train", "valid", "test")
        if (source := getattr(sources, name)) is not None
    }
    kg = None
    if sources.kg is not None:
        kg = tuple(lists.graph(read_triples(one, on_error=on_error)) for one in sources.graphs)

    if sources.links is None:
        links = lists.links()
    else:
        links = lists.named_links(read_links(sources.links, on_error=on_error)[0])

    return replace(
        sources,
        **logs,
        kg=kg,
        links=links if kg is not None else None,
        labelled=None if sources.labelled is None else lists.labeled(sources.labelled),
        items=_renamed_table(sources.items, lists.item_ids, on_error),
        users=_renamed_table(sources.users, lists.user_ids, on_error),
    )


def _log_of(source: object, on_error: str = "stop") -> InteractionLog:
    if isinstance(source, InteractionLog):
        return source
    return read_part(source, on_error=on_error)


def _renamed_table(
    source: object | None, ids: Callable[[pl.Series], pl.Series], on_error: str
) -> Table | None:
    """Return a table whose first column is ids under the ids that they stand for."""
    if source is None:
        return None
    table = read_table(source, on_error=on_error)
    return replace(table, frame=table.frame.with_columns(ids(table.frame.to_series(0))))


def news_under_ids(folder: Path, sources: DatasetSources) -> DatasetSources:
    """Return news under the ids that the id lists say their numbers stand for."""
    lists = IdLists.find(folder)
    if (
        not lists.sources
        or sources.impressions is None
        or sources.mentions is None
        or sources.kg is None
    ):
        return sources

    log = sources.impressions
    table = cast(Table, sources.items)
    (graph,) = cast(Sequence[Triples], sources.kg)
    users = Vocabulary(lists.user_ids(log.users.series), kind="user")
    items = Vocabulary(lists.item_ids(log.items.series), kind="item")
    frame = table.frame.with_columns(lists.item_ids(table.frame["item_id"]))
    mentions = sources.mentions.with_columns(
        lists.item_ids(sources.mentions["item"]), lists.entity_ids(sources.mentions["entity"])
    )
    facts = as_raw(graph)

    if lists.items is not None:
        known = lists.items
    else:
        known = pl.DataFrame(schema={"number": pl.String, "key": pl.String})

    terms = pl.DataFrame({"number": facts.terms}).join(
        known, on="number", how="left", maintain_order="left"
    )
    kg = assemble(
        [replace(facts, terms=terms.select(pl.coalesce("key", "number").alias("key")).to_series())]
    )

    return replace(
        sources,
        impressions=replace(log, users=users, items=items),
        items=replace(table, frame=frame),
        mentions=mentions,
        kg=(kg,),
    )


def under_keys(folder: Path, sources: DatasetSources) -> DatasetSources:
    """Return the sources under the keys that the IRIs in their graph were minted of."""
    kg = None
    if sources.kg is not None:
        kg = tuple(without_minted(read_triples(one)) for one in sources.graphs)

    links = None
    if sources.links is not None:
        frame = read_links(sources.links)[0]
        links = frame.with_columns(keys_of(frame["entity"]))

    lists = IdLists.find(folder)
    if lists.sources:
        logs: dict[str, Any] = {
            part: lists.log(_log_of(getattr(sources, part)))
            for part in PARTS
            if getattr(sources, part) is not None
        }
        sources = replace(sources, **logs)
        if links is not None:
            links = links.with_columns(lists.item_ids(links["item"]))

    return replace(sources, kg=kg, links=links)


def triples_under_ids(
    folder: Path, triples: Triples, held: dict[str, pl.DataFrame]
) -> DatasetSources:
    """Return triples alone as sources, under the keys that the id lists say their numbers stand
    for.
    """
    lists = IdLists.find(folder)
    named = {
        part: frame.with_columns(
            lists.entity_ids(frame["head"]),
            lists.relation_ids(frame["relation"]),
            lists.entity_ids(frame["tail"]),
        )
        for part, frame in held.items()
    }

    return DatasetSources(
        kg=(lists.graph(triples),), held=named, name=folder.resolve().name, notes=lists.notes
    )
