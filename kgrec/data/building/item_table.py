"""The item table: triples of its columns, and links of its titles to entities."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from kgrec.data.building.options import BuildOptions
from kgrec.data.building.sources import DatasetSources
from kgrec.data.graphs.join import join_linked
from kgrec.data.graphs.kept_labels import LABEL_PREDICATES
from kgrec.data.linking.by_value import links_found
from kgrec.data.linking.links import link
from kgrec.data.linking.match import check_review, items_to_match, match_items, write_review
from kgrec.data.readers.attributes import attribute_table, table_settings, triples_from_table
from kgrec.data.readers.items import ItemTable, read_items, text_columns
from kgrec.data.readers.triples import reader_settings
from kgrec.data.records.report import ReportBuilder
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import Table
from kgrec.data.tables.id_forms import difference
from kgrec.data.tables.roles import BY_NAME, BY_POSITION, GIVEN, Known, headed, item_key, may_be_id
from kgrec.errors import ConfigError


def check_link_by(sources: DatasetSources, options: BuildOptions) -> None:
    """Refuse what does not go with linking by labels, before anything is read.

    Raises:
        ConfigError: If there is no review file to write, links are given too, or there is no graph
            or no table of items.
    """
    if options.link_by is None:
        return

    needed: tuple[tuple[object, str], ...] = ((sources.kg, "a graph"),)
    if options.by_label:
        needed = (
            (options.review, "a review file to write"),
            *needed,
            (sources.items, "a table of items with titles"),
        )

    for given, what in needed:
        if given is None:
            raise ConfigError(f"link_by: {options.link_by} needs {what}. Name one.")

    if sources.links is not None:
        raise ConfigError(
            "links and link_by exclude each other. An edited review file is given as links, "
            "without link_by."
        )

    if options.by_label:
        check_review(str(options.review))


def read_item_table(
    sources: DatasetSources,
    options: BuildOptions,
    known: Known | None,
    report: ReportBuilder,
) -> ItemTable | None:
    """Return the table of items; columns that serve nothing are noted.

    Raises:
        ConfigError: If its attributes are asked for and there is none.
    """
    if sources.items is None:
        if options.with_attributes:
            raise ConfigError(
                "attributes of items are asked for, and there is no table of items. Name one."
            )
        return None

    settings = table_settings(options.attribute_settings)
    table = attribute_table(
        sources.items,
        item=sources.item_id,
        names=settings.get("names"),
        separator=settings.get("separator"),
        on_error=options.on_error,
    )
    if settings.get("names") is None and sources.item_id is None:
        table = headed(table, known)

    role = item_key(table, sources.item_id, known)
    report.roles.append(role)
    if role.why not in (GIVEN, BY_NAME, BY_POSITION):
        report.notes.append(f"{table.name}: the item is the column {role.column!r}: {role.why}.")

    items = read_items(table, item=role.column, on_error=options.on_error)
    read = () if isinstance(sources.items, Table) else (items.table.name,)
    report.add(read, items.table.dropped)
    used = {items.key, items.title, *text_columns(items, sources.texts)}
    unused = [column for column in items.table.frame.columns if column not in used]
    if unused and not options.with_attributes:
        report.notes.append(
            f"{items.table.name}: columns {', '.join(unused)} are unused. Ask for triples of "
            "them with item_attributes."
        )

    return items


def known_items(sources: DatasetSources, on_error: str) -> Known | None:
    """Return the ids of the table of items or of the links, None if there are none.

    Where no column is named, the ids are all cells of the columns that may be ids.
    """
    source, column = sources.items, sources.item_id
    if source is None:
        source, column = sources.links, None
    if source is None:
        return None

    table = attribute_table(source, item=column, on_error=on_error)
    columns = [column] if column in table.frame.columns else table.frame.columns
    cells = [
        table.frame[name].cast(pl.String).alias("id")
        for name in columns
        if name is not None and may_be_id(table, name)
    ]
    ids = pl.concat([pl.Series("id", [], dtype=pl.String), *cells]).drop_nulls().unique()
    return Known(table.name, ids)


def _attribute_triples(
    table: ItemTable,
    texts: str | Sequence[str] | None,
    options: BuildOptions,
    report: ReportBuilder,
) -> Triples:
    """Return the triples of a table of items; columns of texts give none unless they are chosen."""
    settings = table_settings(options.attribute_settings)
    settings = {
        name: value for name, value in settings.items() if name not in ("names", "separator")
    }
    chosen = {*(settings.get("columns") or ()), *(settings.get("kinds") or {}), table.title}
    as_texts = () if texts is None else text_columns(table, texts)
    read_as_texts = [name for name in as_texts if name not in chosen]
    settings["exclude"] = [*(settings.get("exclude") or ()), *read_as_texts]
    triples = triples_from_table(table.table, item=table.key, on_error=options.on_error, **settings)
    report.columns += triples.columns
    report.counts |= triples.counts
    report.counts["triples of the table of items"] = len(triples)
    report.dropped += (one for one in triples.dropped if one not in table.table.dropped)
    return replace(triples, columns=())


def with_attributes(
    graph: Triples,
    items: Vocabulary,
    table: ItemTable | None,
    texts: str | Sequence[str] | None,
    options: BuildOptions,
    report: ReportBuilder,
) -> Triples:
    """Return a graph whose first entities are the items with the triples of their table, where
    those are asked for.
    """
    if table is None or not options.with_attributes:
        return graph

    about = _attribute_triples(table, texts, options, report)
    linked = link(items, about, None, graph.labels.slice(0, len(items)))
    found = linked.counts["items in the graph"]
    report.counts["items in the table of items"] = found
    lost = items.series.filter(~items.series.is_in(about.entities.series.implode()))
    words = difference(lost, about.entities.series) if len(lost) else ""
    if words:
        report.warn(
            f"Of {len(lost):,} item ids without a row in the table of items, {words}",
            "Ids are compared exactly as written: correct them in one of the files.",
        )
    elif not found:
        report.warn(
            f"No item has an attribute in the table of items, whose ids are in {table.key!r}",
            "Name the column with the ids of the interactions as item_id.",
        )

    joined, repeated = join_linked(graph, linked.triples, len(items))
    report.dropped += repeated
    return joined


def links_by_ids(
    options: BuildOptions, items: Vocabulary, triples: Triples, report: ReportBuilder
) -> pl.DataFrame:
    """Return the links of items whose ids are in the graph."""
    assert options.link_by is not None
    found = links_found(items, triples, options.link_by)
    report.counts |= found.counts
    report.dropped += found.dropped
    report.notes.append(found.note)
    return found.links


def links_by_label(
    options: BuildOptions,
    table: ItemTable,
    items: Vocabulary,
    triples: Triples,
    report: ReportBuilder,
) -> pl.DataFrame:
    """Return the links that are sure, and write the review file."""
    assert options.link_by is not None
    assert options.review is not None
    wanted = items_to_match(table, items.series, options.item_year)
    found = match_items(wanted, triples, options.link_by)
    write_review(found, options.review)
    report.counts |= found.counts
    report.notes.append(
        f"Items were linked by {options.link_by}; {Path(options.review).name} lists what is sure, "
        "doubtful and unmatched. Doubtful matches are not linked: write yes in its first column, "
        "then give the file as links."
    )

    return found.links


def without_further_labels(triples: Triples, options: BuildOptions) -> Triples:
    """Return a graph without the labels that were read as attributes for linking alone."""
    reading = reader_settings(options.reading or {})
    if reading.get("keep_labels", "all") == "all":
        return triples

    names = list(reading.get("labels", LABEL_PREDICATES))
    return replace(triples, attributes=triples.attributes.filter(~pl.col("name").is_in(names)))
