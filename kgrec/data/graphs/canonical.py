"""Sort a graph by its keys, so that the order of lines it was read from does not matter."""

from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import BLANK
from kgrec.data.records.content import Content
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.ordering import row_order, text_order

_PARTS = 5


def in_order(graph: Triples, num_items: int) -> Triples:
    """Return the graph with its entities, relations, triples, types and attributes sorted.

    The items stay the first entities, in their order. The others are sorted by their keys,
    relations likewise, shorter ones first, then by bytes in UTF-8; blank nodes, whose names mean
    nothing, come last and keep the order in which they were met. Triples are sorted by head, relation and tail, each with its
    own source and locator.

    Args:
        graph: The graph, the items its first entities.
        num_items: Number of items.
    """
    entity = _entity_order(graph.entities.series, num_items)
    relation = text_order(graph.relations.series)
    row = _inverse(entity)
    relation_row = _inverse(relation)
    triples = _sorted_triples(graph, row, relation_row)
    entities = graph.entities
    relations = graph.relations
    if _moves(entity):
        entities = Vocabulary(entities.series.gather(entity), kind="entity", checked=True)

    if _moves(relation):  # a list, since a series would keep the text of all entities in memory
        relations = Vocabulary(
            relations.series.gather(relation).to_list(), kind="relation", checked=True
        )

    return replace(
        triples,
        entities=entities,
        relations=relations,
        labels=graph.labels.gather(entity),
        relation_labels=graph.relation_labels.gather(relation),
        types=_sorted_rows(graph.types, row),
        attributes=_sorted_rows(graph.attributes, row),
    )


def with_further(
    graph: Triples, num_items: int, facts: np.ndarray, content: Content
) -> tuple[Triples, np.ndarray, Content]:
    """Return a graph to which entities were added, the facts about users and the content that name
    its rows, in order.

    Args:
        graph: A graph as ``in_order`` returns it, with the values of user attributes and entities
            that only texts name behind.
        num_items: Number of items.
        facts: (user, relation, entity) rows.
        content: Whose mentions name entity rows.
    """
    if not (len(facts) or len(content.mentions)):
        return graph, facts, content

    row = _inverse(_entity_order(graph.entities.series, num_items))
    relation_row = _inverse(text_order(graph.relations.series))
    graph = in_order(graph, num_items)
    if len(facts):
        facts = np.stack([facts[:, 0], relation_row[facts[:, 1]], row[facts[:, 2]]], axis=1)

    mentions = content.mentions.copy()
    mentions[:, 3] = row[mentions[:, 3]]
    return graph, _sorted_table(facts), replace(content, mentions=_sorted_table(mentions))


def _entity_order(keys: pl.Series, num_items: int) -> np.ndarray:
    """Return the rows of the entities in their order: items, named entities, blank nodes."""
    rest = keys.slice(num_items)
    blank = rest.str.starts_with(BLANK)
    if blank.any():
        named = np.flatnonzero(~blank.to_numpy())
        order = np.concatenate(
            [named[text_order(rest.filter(~blank))], np.flatnonzero(blank.to_numpy())]
        )
    else:
        order = text_order(rest)

    return np.concatenate([np.arange(num_items), num_items + order])


def _inverse(order: np.ndarray) -> np.ndarray:
    """Return the rank of each row."""
    row = np.empty(len(order), dtype=np.int32)
    row[order] = np.arange(len(order), dtype=np.int32)
    return row


def _moves(order: np.ndarray) -> bool:
    return bool((order[1:] < order[:-1]).any())


def _sorted_triples(graph: Triples, row: np.ndarray, relation_row: np.ndarray) -> Triples:
    """Return the graph with its triples under other rows of entities and relations, sorted.

    Heads are taken some at a time: what sorting needs beside the triples is that of a part.
    """
    head = row[graph.head]
    counts = np.bincount(head, minlength=len(row))
    relation, tail = np.empty_like(head), np.empty_like(head)
    locator = np.empty_like(graph.locator)
    source = np.empty_like(graph.source) if len(graph.sources) > 1 else graph.source
    names = np.empty_like(graph.graph)
    end = 0

    for low, high in _ranges(counts):
        rows = np.flatnonzero((head >= low) & (head < high))
        behind = (relation_row.astype(np.int64) * len(row))[graph.relation[rows]]
        behind += row[graph.tail[rows]]
        order = row_order(head[rows], behind)
        rows, behind = rows[order], behind[order]
        part = slice(end, end := end + len(rows))

        relation[part] = behind // len(row)
        behind -= relation[part] * np.int64(len(row))
        tail[part] = behind
        locator[part] = graph.locator[rows]
        if len(graph.sources) > 1:
            source[part] = graph.source[rows]
        if len(names):
            names[part] = graph.graph[rows]

    return replace(
        graph,
        head=np.repeat(np.arange(len(row), dtype=np.int32), counts),
        relation=relation,
        tail=tail,
        locator=locator,
        source=source,
        graph=names,
    )


def _ranges(counts: np.ndarray) -> list[tuple[int, int]]:
    """Return a few ranges of heads with about as many triples each, a head with more apart."""
    upto = np.cumsum(counts)
    size = max(1, int(counts.sum()) // _PARTS)
    ends = np.flatnonzero(np.diff(upto // size, append=-1)) + 1
    return list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))


def _sorted_rows(frame: pl.DataFrame, row: np.ndarray) -> pl.DataFrame:
    """Return rows about entities under other entity rows, sorted by all columns."""
    moved = frame.with_columns(entity=pl.Series(row[frame["entity"].to_numpy()], dtype=pl.Int32))
    return moved.sort(moved.columns)


def _sorted_table(rows: np.ndarray) -> np.ndarray:
    """Return the rows of a table, sorted by their columns from left to right."""
    if len(rows):
        rows = rows[row_order(*rows.T)]
    return rows
