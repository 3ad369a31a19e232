"""Put items and entities under one numbering, the items first.

Each item carries the triples of its entities.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import BLANK, SAME_AS
from kgrec.data.records.report import Dropped, dropped_rows
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import Table, as_ids, read_table
from kgrec.data.tables.id_forms import difference
from kgrec.data.tables.ordering import one_per_key
from kgrec.data.tables.roles import Known, Search, headed, header_words, link_roles
from kgrec.errors import FormatError, LinkError

_ENTITY_NAMES = ("entity_iri", "entity_id", "entity", "iri", "uri")
_WORDS = header_words("item", "entity")
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(//|[^\s/]+[:/])")
_DECISION = "link"
_YES, _NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0", "?", "")
_MOST_COPIES = 200_000_000


def read_links(
    source: object,
    *,
    item: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    items: Known | None = None,
    on_error: str = "stop",
) -> tuple[pl.DataFrame, Search, tuple[Dropped, ...]]:
    """Return item-to-entity links: a frame with columns ``item`` and ``entity`` (text), the
    table and which of its columns they are, and what was left out.

    Of a review of matches (columns ``link`` and ``status``, see ``kgrec.data.linking.match``) only
    the rows that say yes are links.

    Args:
        source: File or frame.
        item: Column of the items, where present.
        columns: Columns "item" and "entity", as the caller gave them; found by well-known names, by
            agreement with the items, or by position where not.
        items: The items of the interactions.
        on_error: "stop" at a malformed row, or "skip" it and count it.

    Raises:
        FormatError: If the file cannot be read, has one column, or it cannot be told which columns
            are which.
    """
    wanted = dict(columns or {})
    named = [name for name in (item, *wanted.values()) if name is not None]
    known = {"item_id", "item", *_ENTITY_NAMES, *(name.lower() for name in named)}
    table = read_table(source, known=known, words=_WORDS, on_error=on_error)
    if len(table.frame.columns) < 2:
        raise FormatError(
            f"{table.name}: one column, expected an item and an entity column. Is the separator "
            "right?"
        )

    if {_DECISION, "status"} <= set(table.frame.columns):
        table = _decided(table)

    table = headed(table, items)
    if wanted.get("item") is None and item in table.frame.columns:
        wanted["item"] = item

    search = link_roles(table, wanted, items)
    frame = pl.DataFrame(
        {role: as_ids(table, search.found[role], on_error) for role in ("item", "entity")}
    )
    kept = frame.drop_nulls()
    lost = frame.height - kept.height
    empty = dropped_rows("links", f"an empty id in {table.name}", lost)
    return kept, search, (*table.dropped, *empty)


def _decided(table: Table) -> Table:
    """Return the rows of a review (see ``kgrec.data.linking.match``) that say yes.

    Raises:
        FormatError: If a row says neither yes nor no.
    """
    said = table.frame[_DECISION].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
    strange = ~said.is_in([*_YES, *_NO])
    if strange.any():
        row = strange.arg_true()[0]
        raise FormatError(
            f"{table.at(row)}: column {_DECISION!r} holds {said[row]!r}. Write yes or no; ? and "
            "nothing are no."
        )

    yes = said.is_in(_YES)
    left = int((~yes).sum())
    dropped = dropped_rows("links", f"not said yes to in {table.name}", left)
    frame = table.frame.drop(_DECISION, "status").filter(yes)
    return replace(
        table, frame=frame, line=table.line.filter(yes), dropped=(*table.dropped, *dropped)
    )


@dataclass(frozen=True, slots=True)
class Linked:
    """A knowledge graph whose first entities are the items.

    Attributes:
        triples: The graph.
        counts: What was linked, by name.
        dropped: Links and triples left out.
        alike: In words, ids of the links that are in the catalog or the graph but for their form.
    """

    triples: Triples
    counts: dict[str, int]
    dropped: tuple[Dropped, ...]
    alike: tuple[str, ...] = ()


def link(
    items: Vocabulary, triples: Triples, links: pl.DataFrame | None, item_labels: pl.Series
) -> Linked:
    """Return the graph with the items as its first entities.

    A one-to-one link makes item and entity one node under the entity's key. Where items share an
    entity or an item has several, each item takes over a copy of its entities' triples, marked by a
    negative locator, and the entity itself goes. Items without an entity stay as entities of their
    own. Entities without a triple go.

    Args:
        items: Item ids.
        triples: The graph as read.
        links: Columns ``item`` and ``entity``, or None; items then link themselves where their id
            equals an entity's key.
        item_labels: Label per item from elsewhere, null if there is none; goes before the
            graph's own.

    Raises:
        LinkError: If shared entities would multiply the triples beyond 200 million.
    """
    pairs, counts, dropped = _pairs(items, triples, links)
    new_rows = _new_rows(
        pairs, len(items), _mask(len(triples.entities), triples.head, triples.tail)
    )
    row = _single_rows(new_rows, len(triples.entities))
    if row is None:
        copied, repeated = _copied(triples, new_rows)
    else:
        copied, repeated = replace(triples, head=row[triples.head], tail=row[triples.tail]), ()

    entities, collisions = _keys(items, triples.entities, pairs, new_rows)
    labels = _labels(triples.labels, new_rows, item_labels, len(entities))
    if collisions:
        counts |= {"items whose id another entity has": collisions}

    counts |= {
        "triples of items that share an entity or have several": int((copied.locator < 0).sum())
    }
    blank = int(entities.series.str.starts_with(BLANK).sum())
    if blank:
        counts |= {"blank nodes": blank}

    graph = replace(
        copied,
        entities=entities,
        labels=labels,
        types=_moved(triples.types, new_rows, row),
        attributes=_moved(triples.attributes, new_rows, row),
    )

    return Linked(graph, counts, (*dropped, *repeated), _alike(items, triples, links))


def _alike(items: Vocabulary, triples: Triples, links: pl.DataFrame | None) -> tuple[str, ...]:
    """Return how ids of links differ from those that they should be."""
    if links is None:
        return ()

    found = []
    for column, known, what in (
        ("item", items, "items of the links"),
        ("entity", triples.entities, "entities of the links"),
    ):
        ids = links[column].unique(maintain_order=True)
        lost = ids.filter(pl.Series(known.match(ids) < 0))
        words = difference(lost, known.series) if len(lost) else ""
        if words:
            found.append(f"{what}: {words}")

    return tuple(found)


def _entity_rows(keys: pl.Series, triples: Triples) -> np.ndarray:
    """Return the row of each entity key, also of one that ``owl:sameAs`` merged into another.

    -1 where it is unknown.
    """
    rows = triples.entities.match(keys)
    aliases = one_per_key(
        triples.attributes.filter(pl.col("name") == SAME_AS).select("entity", key="value"),
        "key",
        "entity",
    )
    if not aliases.height or (rows >= 0).all():
        return rows

    other = (
        pl.DataFrame({"key": keys})
        .join(aliases, on="key", how="left", maintain_order="left")["entity"]
        .fill_null(-1)
        .to_numpy()
    )

    return np.where(rows >= 0, rows, other)


def _pairs(
    items: Vocabulary, triples: Triples, links: pl.DataFrame | None
) -> tuple[pl.DataFrame, dict[str, int], tuple[Dropped, ...]]:
    """Return columns ``item``, ``entity`` (rows) and ``alone`` (one-to-one)."""
    entity_of_item = _entity_rows(items.series, triples)
    counts: dict[str, int] = {}
    dropped: list[Dropped] = []
    rows = pl.DataFrame(schema={"item": pl.Int64, "entity": pl.Int64})

    if links is not None:
        links = links.unique().sort("item", "entity")
        rows = pl.DataFrame(
            {"item": items.match(links["item"]), "entity": _entity_rows(links["entity"], triples)}
        )
        known = rows.filter(pl.col("item") >= 0)
        dropped = [
            Dropped("links", "the item is not in the catalog", rows.height - known.height),
            Dropped("links", "the entity is not in the graph", int((known["entity"] < 0).sum())),
        ]
        counts["items linked"] = known["item"].n_unique()
        rows = known.filter(pl.col("entity") >= 0)
        keep = np.fromiter(
            (_IRI.match(key) is not None for key in items), dtype=bool, count=len(items)
        )
        entity_of_item = np.where(
            keep & ~_mask(len(items), known["item"].to_numpy()), entity_of_item, -1
        )

    itself = np.flatnonzero(entity_of_item >= 0)
    rows = pl.concat(
        [
            rows,
            pl.DataFrame(
                {"item": itself.astype(np.int64), "entity": entity_of_item[itself].astype(np.int64)}
            ),
        ]
    )
    rows = rows.with_columns(
        alone=(pl.len().over("item") == 1) & (pl.len().over("entity") == 1),
    )
    counts["items linked"] = counts.get("items linked", 0) + len(itself)
    counts["items in the graph"] = rows["item"].n_unique()
    counts["entities of items"] = rows["entity"].n_unique()
    counts["items without an entity"] = len(items) - counts["items in the graph"]
    shared = {
        "items with several entities": rows.filter(pl.len().over("item") > 1)["item"].n_unique(),
        "entities shared by items": rows.filter(pl.len().over("entity") > 1)["entity"].n_unique(),
    }

    return (
        rows,
        counts | {k: v for k, v in shared.items() if v},
        tuple(d for d in dropped if d.count),
    )


def _mask(size: int, *rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    for some in rows:
        mask[some] = True
    return mask


def _new_rows(pairs: pl.DataFrame, num_items: int, used: np.ndarray) -> pl.DataFrame:
    """Return columns ``entity`` (row as read), ``new_row`` (row as linked) and ``copied``: an
    entity may have several new_rows, or none.
    """
    taken = _mask(len(used), pairs["entity"].to_numpy())
    rest = np.flatnonzero(used & ~taken)
    linked = pairs.select("entity", new_row="item", copied=~pl.col("alone"))
    others = pl.DataFrame(
        {
            "entity": rest,
            "new_row": num_items + np.arange(len(rest)),
            "copied": np.zeros(len(rest), dtype=bool),
        }
    )

    return pl.concat([linked, others.cast({"entity": pl.Int64, "new_row": pl.Int64})])


def _single_rows(new_rows: pl.DataFrame, size: int) -> np.ndarray | None:
    """Return the new row of each entity, -1 for none; None where some have several or share one."""
    if new_rows["copied"].any():
        return None

    row = np.full(size, -1, dtype=np.int32)
    row[new_rows["entity"].to_numpy()] = new_rows["new_row"].to_numpy()
    return row


def _copied(triples: Triples, new_rows: pl.DataFrame) -> tuple[Triples, tuple[Dropped, ...]]:
    """Return the triples between new_rows.

    One per combination of its head's and its tail's new_rows.
    """
    ways = np.bincount(new_rows["entity"].to_numpy(), minlength=len(triples.entities))
    if len(triples):
        total = int((ways[triples.head].astype(np.float64) * ways[triples.tail]).sum())
    else:
        total = 0

    if total > _MOST_COPIES:
        raise LinkError(
            f"links: shared entities would turn {len(triples)} triples into {total}. Are the "
            "columns of the links right?"
        )

    ends = (
        pl.DataFrame({"head": triples.head, "tail": triples.tail})
        .cast(pl.Int64)
        .with_columns(row=np.arange(len(triples)))
    )
    for end in ("head", "tail"):
        moved_ends = new_rows.rename({"new_row": f"{end} new_row", "copied": f"{end} copied"})
        ends = ends.join(
            moved_ends, left_on=end, right_on="entity", how="inner", maintain_order="left_right"
        )

    frame = ends.select(
        "row",
        head=pl.col("head new_row").cast(pl.Int32),
        tail=pl.col("tail new_row").cast(pl.Int32),
        relation=pl.Series(triples.relation).gather(ends["row"]),
        through=pl.col("head copied") | pl.col("tail copied"),
    )
    without_loops = frame.filter(pl.col("head") != pl.col("tail"))
    kept = without_loops.unique(
        subset=["head", "relation", "tail"], keep="first", maintain_order=True
    )
    counts = (
        ("between entities of one item", frame.height - without_loops.height),
        ("stated of several entities of one item", without_loops.height - kept.height),
    )
    taken = triples.take(kept["row"].to_numpy())
    locator = np.where(kept["through"].to_numpy(), -np.abs(taken.locator), taken.locator)
    moved = replace(
        taken, head=kept["head"].to_numpy(), tail=kept["tail"].to_numpy(), locator=locator
    )
    return moved, tuple(Dropped("triples", why, count) for why, count in counts if count)


def _keys(
    items: Vocabulary, entities: Vocabulary, pairs: pl.DataFrame, new_rows: pl.DataFrame
) -> tuple[Vocabulary, int]:
    """Return the keys of items and remaining entities, and how many items could not keep their id
    as key.
    """
    alone = pairs.filter("alone").sort("item")  # polars before 1.38 scatters text by sorted rows
    rest = entities.series.gather(new_rows.filter(pl.col("new_row") >= len(items))["entity"])
    merged = entities.series.gather(alone["entity"])
    item_keys = items.series.clone().scatter(alone["item"], merged)
    single = np.flatnonzero(~_mask(len(items), alone["item"].to_numpy()))
    taken = pl.concat([rest, merged])
    if not taken.is_in(item_keys.gather(single).implode()).any():
        return Vocabulary(pl.concat([item_keys, rest]), kind="entity", checked=True), 0

    keys = item_keys.to_list()
    known = set(taken)
    collisions = 0

    for row in single.tolist():
        free = free_key(keys[row], "item:", known)
        collisions += free != keys[row]
        keys[row] = free
        known.add(free)

    return Vocabulary([*keys, *rest], kind="entity"), collisions


def free_key(key: str, prefix: str, taken: set[str]) -> str:
    """Return the key, with the prefix in front as often as it takes to be free."""
    while key in taken:
        key = prefix + key
    return key


def _labels(
    labels: pl.Series, new_rows: pl.DataFrame, item_labels: pl.Series, count: int
) -> pl.Series:
    """Return a label per new_row: the item table's, else that of its first entity that has one."""
    found = (
        new_rows.select("new_row", label=labels.gather(new_rows["entity"]))
        .drop_nulls()
        .unique("new_row", keep="first", maintain_order=True)
    )
    merged = pl.DataFrame({"new_row": np.arange(count)}).join(
        found, on="new_row", how="left", maintain_order="left"
    )

    if count > len(item_labels):
        given = item_labels.extend_constant(None, count - len(item_labels))
    else:
        given = item_labels

    return pl.select(pl.coalesce(given, merged["label"]).alias("label")).to_series()


def _moved(frame: pl.DataFrame, new_rows: pl.DataFrame, row: np.ndarray | None) -> pl.DataFrame:
    """Return what is said of entities under their new rows, all or one of each."""
    if row is not None:
        entity = pl.Series("entity", row[frame["entity"].to_numpy()])
        return frame.with_columns(entity).filter(entity >= 0)

    moved = frame.cast({"entity": pl.Int64}).join(
        new_rows.select("entity", "new_row"), on="entity", how="inner", maintain_order="left_right"
    )
    return (
        moved.with_columns(entity=pl.col("new_row").cast(pl.Int32))
        .drop("new_row")
        .unique(maintain_order=True)
    )
