"""Parts of a folder under the ids and keys that its numbers and minted IRIs stand for."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from kgrec.data.building.sources import Parts
from kgrec.data.formats.id_lists import IdLists
from kgrec.data.graphs.assemble import as_facts, assemble
from kgrec.data.linking.links import read_links
from kgrec.data.rdf.iris import keys_of, without_minted
from kgrec.data.readers.interactions import read_part
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import PARTS
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import Table, read_table
from kgrec.errors import FormatError


def under_ids(folder: Path, parts: Parts, on_error: str = "stop") -> Parts:
    """Return the parts of a folder under the ids that its id lists say its numbers stand for."""
    lists = IdLists.find(folder)
    if not lists.sources:
        return replace(parts, notes=(*parts.notes, *lists.notes))
    try:
        return replace(_renamed(parts, lists, on_error), notes=(*parts.notes, *lists.notes))
    except FormatError as error:
        return replace(
            parts,
            notes=(
                *parts.notes,
                f"Ids are the numbers of the files, since a list cannot be used. {error}",
            ),
        )


def _renamed(parts: Parts, lists: IdLists, on_error: str) -> Parts:
    logs: dict[str, Any] = {
        name: lists.log(_log_of(source, on_error))
        for name in ("interactions", "train", "valid", "test")
        if (source := getattr(parts, name)) is not None
    }
    if parts.kg is None:
        kg = None
    else:
        kg = tuple(lists.graph(read_triples(one, on_error=on_error)) for one in parts.kg)
    if parts.links is None:
        links = lists.links()
    else:
        links = lists.named_links(read_links(parts.links, on_error=on_error)[0])
    return replace(
        parts,
        **logs,
        kg=kg,
        links=links if kg is not None else None,
        labelled=None if parts.labelled is None else lists.labelled(parts.labelled),
        items=_renamed_table(parts.items, lists.item_ids, on_error),
        users=_renamed_table(parts.users, lists.user_ids, on_error),
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


def news_under_ids(folder: Path, parts: Parts) -> Parts:
    """Return news under the ids that the id lists say their numbers stand for."""
    lists = IdLists.find(folder)
    if not lists.sources or parts.impressions is None or parts.mentions is None or parts.kg is None:
        return parts
    log = parts.impressions
    table = cast(Table, parts.items)
    (graph,) = cast(Sequence[Triples], parts.kg)
    users = Vocabulary(lists.user_ids(log.users.series), kind="user")
    items = Vocabulary(lists.item_ids(log.items.series), kind="item")
    frame = table.frame.with_columns(lists.item_ids(table.frame["item_id"]))
    mentions = parts.mentions.with_columns(
        lists.item_ids(parts.mentions["item"]), lists.entity_ids(parts.mentions["entity"])
    )
    facts = as_facts(graph)
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
        parts,
        impressions=replace(log, users=users, items=items),
        items=replace(table, frame=frame),
        mentions=mentions,
        kg=(kg,),
    )


def under_keys(folder: Path, parts: Parts) -> Parts:
    """Return the parts under the keys that the IRIs in their graph were minted of."""
    if parts.kg is None:
        kg = None
    else:
        kg = tuple(without_minted(read_triples(one)) for one in parts.kg)
    if parts.links is None:
        frame = None
    else:
        frame = read_links(parts.links)[0]
    if frame is None:
        links = None
    else:
        links = frame.with_columns(keys_of(frame["entity"]))
    lists = IdLists.find(folder)
    if lists.sources:
        logs: dict[str, Any] = {
            part: lists.log(_log_of(getattr(parts, part)))
            for part in PARTS
            if getattr(parts, part) is not None
        }
        parts = replace(parts, **logs)
        if links is None:
            links = None
        else:
            links = links.with_columns(lists.item_ids(links["item"]))
    return replace(parts, kg=kg, links=links)


def triples_under_ids(folder: Path, triples: Triples, held: dict[str, pl.DataFrame]) -> Parts:
    """Return triples alone as parts, under the keys that the id lists say their numbers stand
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
    return Parts(
        kg=(lists.graph(triples),), held=named, name=folder.resolve().name, notes=lists.notes
    )
