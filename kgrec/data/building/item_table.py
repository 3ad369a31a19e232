"""What a table of items adds to a dataset: triples of its columns, and links of its titles to
entities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.building.report_builder import Draft
from kgrec.data.graphs.join import join_linked
from kgrec.data.io.files import FilePath
from kgrec.data.linking.links import link
from kgrec.data.linking.match import check_review, items_to_match, match_items, write_review
from kgrec.data.readers.attributes import attribute_table, table_settings, triples_from_table
from kgrec.data.readers.items import ItemTable, read_items, text_columns
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.column_kinds import plain_form
from kgrec.data.tables.delimited import Table
from kgrec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LinkBy:
    """How items are linked by their labels.

    Attributes:
        way: "label-year" or "label", None for not at all.
        review: File that lists what is sure, doubtful and unmatched.
        year: Column of years in the table of items; found where None.
    """

    way: str | None = None
    review: FilePath | None = None
    year: str | None = None

    def check(self, links: object, triples: object, table: object) -> None:
        """Refuse what does not go together, before anything is read.

        Raises:
            ConfigError: If there is no review file to write, links are given too, or there is no
                graph or no table of items.
        """
        if self.way is None:
            if self.review is not None or self.year is not None:
                raise ConfigError(
                    "review and item_year belong to link_by. Say link_by='label-year' as well, "
                    "or leave them out."
                )
            return
        for given, what in (
            (self.review, "a review file to write"),
            (triples, "a graph"),
            (table, "a table of items with titles"),
        ):
            if given is None:
                raise ConfigError(f"link_by: {self.way} needs {what}. Name one.")
        if links is not None:
            raise ConfigError(
                "links and link_by exclude each other. An edited review file is given as links, "
                "without link_by."
            )
        check_review(str(self.review))


def read_item_table(
    source: object | None,
    item: str | None,
    texts: str | Sequence[str] | None,
    attributes: bool | Mapping[str, object] | None,
    on_error: str,
    draft: Draft,
) -> ItemTable | None:
    """Return the table of items; columns that serve nothing are noted.

    Raises:
        ConfigError: If its attributes are asked for and there is none.
    """
    if source is None:
        if attributes is not None and attributes is not False:
            raise ConfigError(
                "attributes of items are asked for, and there is no table of items. Name one."
            )
        return None
    own = table_settings(attributes if isinstance(attributes, Mapping) else {})
    table = attribute_table(
        source, item=item, names=own.get("names"), separator=own.get("separator"), on_error=on_error
    )
    items = read_items(table, item=item, on_error=on_error)
    draft.add(() if isinstance(source, Table) else (items.table.name,), items.table.dropped)
    used = {items.key, items.title, *text_columns(items, texts)}
    unused = [column for column in items.table.frame.columns if column not in used]
    if unused and (attributes is None or attributes is False):
        draft.notes.append(
            f"{items.table.name}: columns {', '.join(unused)} are unused. Ask for triples of "
            "them with item_attributes."
        )
    return items


def attribute_settings(attributes: bool | Mapping[str, object] | None) -> dict[str, Any]:
    """Return how attributes were asked for, JSON-ready; empty where they were not."""
    if attributes is None or attributes is False:
        return {}
    if attributes is True:
        return {"columns": None}
    return table_settings(attributes) or {"columns": None}


def _attribute_triples(
    table: ItemTable,
    attributes: bool | Mapping[str, object],
    texts: str | Sequence[str] | None,
    on_error: str,
    draft: Draft,
) -> Triples:
    """Return the triples of a table of items; columns of texts give none unless they are chosen."""
    own = table_settings(attributes if isinstance(attributes, Mapping) else {})
    settings = {name: value for name, value in own.items() if name not in ("names", "separator")}
    chosen = {*(settings.get("columns") or ()), *(settings.get("kinds") or {})}
    if texts is None:
        read_as_texts = []
    else:
        read_as_texts = [
            name
            for name in text_columns(table, texts)
            if name not in chosen and name != table.title
        ]
    settings["exclude"] = [*(settings.get("exclude") or ()), *read_as_texts]
    triples = triples_from_table(table.table, item=table.key, on_error=on_error, **settings)
    draft.columns += triples.columns
    draft.counts |= triples.counts
    draft.counts["triples of the table of items"] = len(triples)
    draft.dropped += (dropped for dropped in triples.dropped if dropped not in table.table.dropped)
    return replace(triples, columns=())


def with_attributes(
    graph: Triples,
    items: Vocabulary,
    table: ItemTable | None,
    attributes: bool | Mapping[str, object] | None,
    texts: str | Sequence[str] | None,
    on_error: str,
    draft: Draft,
) -> Triples:
    """Return a graph whose first entities are the items with the triples of their table, where
    those are asked for.
    """
    if table is None or attributes is None or attributes is False:
        return graph
    about = _attribute_triples(table, attributes, texts, on_error, draft)
    linked = link(items, about, None, graph.labels.slice(0, len(items)))
    found = linked.counts["items in the graph"]
    draft.counts["items in the table of items"] = found
    lost = items.series.filter(~items.series.is_in(about.entities.series.implode()))
    if not len(lost):
        alike = 0
    else:
        alike = _alike(lost, about.entities.series)
    if alike:
        draft.warn(
            f"{alike:,} item ids without a row in the table of items have one but for white "
            "space, case or the form of a letter",
            "Ids are compared exactly as written: correct them in one of the files.",
        )
    elif not found:
        draft.warn(
            "No item has an attribute in the table of items",
            "Name the column with the ids of the interactions as item_id.",
        )
    joined, repeated = join_linked(graph, linked.triples, len(items))
    draft.dropped += repeated
    return joined


def _alike(ids: pl.Series, others: pl.Series) -> int:
    return int(plain_form(ids).is_in(plain_form(others).implode()).sum())


def links_by_label(
    by: LinkBy, table: ItemTable, items: Vocabulary, triples: Triples, draft: Draft
) -> pl.DataFrame:
    """Return the links that are sure, and write the review file."""
    assert by.way is not None
    assert by.review is not None
    found = match_items(items_to_match(table, items.series, by.year), triples, by.way)
    write_review(found, by.review)
    draft.counts |= found.counts
    draft.notes.append(
        f"Items were linked by {by.way}; {Path(by.review).name} lists what is sure, doubtful and "
        "unmatched. Doubtful matches are not "
        "linked: write yes in its first column, then give the file as links."
    )
    return found.links
