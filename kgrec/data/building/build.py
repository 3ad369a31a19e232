"""``Dataset.build``: one dataset from many sources."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.content import read_content
from kgrec.data.building.item_table import (
    check_link_by,
    links_by_ids,
    links_by_label,
    read_item_table,
    with_attributes,
    without_further_labels,
)
from kgrec.data.building.leaks import check_graph, check_ids
from kgrec.data.building.options import BuildOptions
from kgrec.data.building.rows import (
    Rows,
    check_parts,
    core,
    divide,
    item_keys,
    known_users,
    memory_for,
    number_labeled,
    read_rows,
    sorted_keys,
    within,
)
from kgrec.data.building.sources import DatasetSources, with_held_triples
from kgrec.data.graphs.around import around_items, check_reach
from kgrec.data.graphs.assemble import merge
from kgrec.data.graphs.canonical import in_order, with_further
from kgrec.data.graphs.filter import frequent, without_relations
from kgrec.data.graphs.holdout import check_held, hold_out_triples, number_held
from kgrec.data.io.files import listed
from kgrec.data.linking.agreement import agreement, disagreement
from kgrec.data.linking.by_value import proposals
from kgrec.data.linking.links import link, read_links
from kgrec.data.linking.user_facts import add_user_facts, read_user_table
from kgrec.data.logs.scratch import Room, scratch_folder
from kgrec.data.readers.items import ItemTable, titles
from kgrec.data.readers.phrases import read_phrases
from kgrec.data.readers.triples import read_triples, reader_settings
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.parts import PARTS
from kgrec.data.records.report import ColumnRole, ReportBuilder
from kgrec.data.records.triples import Triples, empty_triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.records.wording import Wording, read_verbs
from kgrec.data.shaping.options import cautions
from kgrec.data.splitting.strategies import check_ratios
from kgrec.data.tables.id_forms import difference
from kgrec.data.tables.roles import BY_NAME, BY_POSITION, GIVEN, USER, Known
from kgrec.data.texts.spoiled import spoiled_labels
from kgrec.errors import ConfigError, DataError, nearest
from kgrec.process import refuse_after_fork, return_freed_memory
from kgrec.random import numpy_generator

_logger = logging.getLogger("kgrec.data")


def build_dataset(sources: DatasetSources, options: BuildOptions) -> Dataset:
    """Build a dataset from its sources.

    No order of lines decides anything: users and items are numbered by their ids, shorter ones
    first, then by bytes in UTF-8, other entities and relations by their keys (blank nodes last, as they come),
    interactions are sorted by user, time and item, and triples by head, relation and tail, before
    anything is drawn. Of repeated (user, item) pairs the earliest is kept, among equal times the
    one with the lowest rating; a pair that is in an earlier part leaves the later one. Items
    without an entity are kept.

    Args:
        sources: What it is built from.
        options: How.

    Raises:
        ConfigError: If sources exclude each other, or lack what an option needs.
        DataError: If nothing is left to train on, or no user to evaluate.
    """
    refuse_after_fork("Building a dataset")
    memory = memory_for(sources, options)
    if memory is None:
        return _built(sources, options, None)

    with scratch_folder(None if options.scratch is None else Path(options.scratch)) as folder:
        return _built(sources, options, Room.of(folder, memory))


def _built(sources: DatasetSources, options: BuildOptions, room: Room | None) -> Dataset:
    check_link_by(sources, options)
    report = ReportBuilder(notes=list(sources.notes))
    sources = with_held_triples(sources, options, report)
    check_held(sources.held, options.triple_ratios)

    # Interactions, and the ids of users and items.
    rows = read_rows(sources, options, report, room)
    rows = within(rows, _item_ids(rows, sources, options), report)
    rows = core(rows, options.cores, report)
    cored = max(options.cores) > 1
    users = known_users(rows, cored)
    keys = item_keys(rows, cored)
    known = Known("the interactions", keys) if len(keys) else None
    links = _read_links(sources, options, known, report)
    table = read_item_table(sources, options, known, report)
    items = _catalog(keys, options.catalog, links, table)
    parts = divide(rows, users, items, options.seed)
    check_parts(parts, rows, report)
    check_ids(users, report)
    check_ids(items, report)

    # The knowledge graph, and what users and items add to it.
    if options.reach is not None:
        if not len(items):
            raise ConfigError(
                "hops: there are no items to start from. Give interactions, or leave hops out."
            )
        check_reach(sources.graphs, len(items), options.reach)

    graph = _read_graph(sources, options, items, links, table, report)
    return_freed_memory()
    if options.reach is not None:
        graph, lost = around_items(graph, len(items), *options.reach)
        report.dropped += lost
        report.counts[f"triples within {options.reach[0]} steps of an item"] = len(graph)

    graph = with_attributes(graph, items, table, sources.texts, options, report)
    graph = _filtered(graph, len(items), options, report)
    graph = in_order(graph, len(items))
    graph = _checked(graph, users, items, parts, sources, options, report)
    graph, facts = _with_users(graph, users, sources, options, report)
    content, graph = read_content(items, graph, sources, table, options.on_error, report)
    if rows.split == "temporal" and len(graph):
        report.notes.append(
            "Facts and links carry no dates: under the temporal split, some may be newer than "
            "the moment training ends."
        )

    report.warnings += spoiled_labels(graph)
    report.warnings += disagreement(agreement(parts[0], graph, len(items)))
    graph, facts, content = with_further(graph, len(items), facts, content)
    phrases = () if sources.phrases is None else read_phrases(sources.phrases, graph)
    graph, held = _hold_out(graph, sources, options, report)

    verbs = read_verbs(sources.verb)
    _check_verbs(verbs, rows.events, report)
    negatives, impressions = number_labeled(rows.labeled, users, items, report)
    _logger.info(
        "%d users, %d items, %d entities, %d triples",
        len(users),
        len(items),
        len(graph.entities),
        len(graph),
    )
    train, valid, test = parts

    return Dataset(
        name="dataset" if sources.name is None else sources.name,
        users=users,
        items=items,
        triples=graph,
        train=train,
        valid=valid,
        test=test,
        user_facts=facts,
        content=content,
        negatives=negatives,
        impressions=impressions,
        held_triples=held,
        report=report.finish(),
        settings=_settings(rows, options) | options.recorded(),
        wording=Wording(verbs, phrases, _labels(graph)),
    )


def _labels(graph: Triples) -> dict[str, dict[str, str]]:
    """Return the labels of relations by language."""
    found: dict[str, dict[str, str]] = {}
    for key, code, label in graph.relation_names.iter_rows():
        if graph.relations.get(key) is not None:
            found.setdefault(code, {})[key] = label

    return found


def _check_verbs(verbs: Mapping[str, str], events: tuple[str, ...], report: ReportBuilder) -> None:
    """Warn of verbs for types of events that do not occur."""
    for event in verbs:
        if event and event not in events:
            advice = "Name the column of event types with event= (--event)."
            if events:
                advice = f"{nearest(event, events)} Events: {', '.join(events)}.".strip()
            report.warn(f"verb of {event!r}: no interaction is of this type", advice)


def _settings(rows: Rows, options: BuildOptions) -> dict[str, object]:
    """Return how the interactions were chosen and divided, JSON-ready."""
    users, items = options.cores
    settings: dict[str, object] = {
        "split": rows.divided,
        "seed": options.seed,
        "k_core": users if users == items else [users, items],
        "catalog": options.catalog,
        "min_rating": options.min_rating,
    }
    if rows.events:
        settings["events"] = list(rows.events)

    if rows.divided in ("random", "temporal", "users"):
        settings["ratios"] = list(rows.shares)

    if rows.valid_held_out:
        settings["valid_held_out"] = True

    return settings


def _read_links(
    sources: DatasetSources, options: BuildOptions, items: Known | None, report: ReportBuilder
) -> pl.DataFrame | None:
    if sources.links is None:
        return None

    frame, search, dropped = read_links(
        sources.links,
        item=sources.item,
        columns=options.link_columns,
        items=items,
        on_error=options.on_error,
    )
    report.add((search.table.name,), dropped)
    report.roles += search.roles()
    report.counts["links"] = frame.height
    return frame


def _item_ids(rows: Rows, sources: DatasetSources, options: BuildOptions) -> pl.Series | None:
    """Return the ids of the table of items where it alone is the catalog, else None."""
    if options.catalog != "items":
        return None
    if sources.items is None:
        raise ConfigError("catalog: 'items' needs a table of items. Name it as items.")
    if rows.labeled is not None:
        raise ConfigError("catalog: 'items' is not for labeled rows and impressions.")

    known = Known("the interactions", rows.ids["item"])
    table = read_item_table(sources, options, known, ReportBuilder())
    assert table is not None
    return table.ids.drop_nulls()


def _catalog(
    keys: pl.Series, catalog: str, links: pl.DataFrame | None, table: ItemTable | None
) -> Vocabulary:
    """Return the items: those with interactions, or also those that links and the table name."""
    if catalog != "interactions":
        links = links if catalog == "all" else None
        known = [links, None if table is None else titles(table)]
        named = [frame["item"].rename("item") for frame in known if frame is not None]
        keys = sorted_keys([keys, *named])
    return Vocabulary(keys, kind="item")


def _read_graph(
    sources: DatasetSources,
    options: BuildOptions,
    items: Vocabulary,
    links: pl.DataFrame | None,
    table: ItemTable | None,
    report: ReportBuilder,
) -> Triples:
    """Return the graph with the items as its first entities."""
    triples = _triples(sources.kg, links is not None, options)
    if options.by_label and table is not None:
        links = links_by_label(options, table, items, triples, report)
        triples = without_further_labels(triples, options)
    elif options.link_by is not None:
        links = links_by_ids(options, items, triples, report)

    report.add(triples.sources, triples.dropped)
    report.counts |= triples.counts
    report.warnings += cautions(triples.counts, len(triples))
    report.columns += triples.columns
    report.roles += triples.roles
    triples = replace(triples, columns=(), roles=())
    linked = link(items, triples, links, _item_labels(items, table))

    if sources.kg is not None:
        dropped = sum(d.count for d in triples.dropped if d.what == "triples")
        report.counts["triples read"] = len(triples) + dropped
        if len(items):
            report.counts |= linked.counts

    report.dropped += linked.dropped
    for words in linked.alike:
        report.warn(
            f"Ids that are the same but for their form: {words}",
            "Ids are compared exactly as written: correct them in one of the files.",
        )
    if sources.kg is not None and links is None and options.link_by is None:
        report.warnings += proposals(items, triples, linked.counts.get("items in the graph", 0))

    if sources.kg is not None and not len(triples):
        _warn_of_no_triple(triples, len(items), report)
    elif sources.kg is not None and len(items) and not linked.counts["items in the graph"]:
        report.warn(
            "No item is in the graph: the triples can help through texts alone",
            "Give links that name the graph's entities.",
        )

    return linked.triples


def _warn_of_no_triple(triples: Triples, items: int, report: ReportBuilder) -> None:
    """Warn of a graph in which no two entities are related.

    Raises:
        DataError: If there are no items either, so that there is nothing to build.
    """
    held = f" It has {triples.attributes.height:,} literals." if triples.attributes.height else ""
    what = f"{listed(list(triples.sources)) or 'the graph'}: no triple between two entities"
    if not items:
        raise DataError(f"{what}, so nothing to build.{held} Are these the right files?")

    report.warn(what, f"Are these the right files, and do the settings leave anything?{held}")


def _triples(source: object, linked: bool, options: BuildOptions) -> Triples:
    if source is None:
        if linked:
            raise ConfigError("links without triples. Give the graph that the links lead to.")
        return empty_triples()

    if isinstance(source, Triples):
        return source

    several = isinstance(source, list | tuple) and source
    if several and all(isinstance(one, Triples) for one in several):
        return merge(several)

    settings = {"on_error": options.on_error, **reader_settings(options.reading or {})}
    if options.by_label:
        settings["keep_labels"] = "all"
    return read_triples(source, **settings)


def _item_labels(items: Vocabulary, table: ItemTable | None) -> pl.Series:
    if table is None:
        return pl.Series("label", [None] * len(items), dtype=pl.String)
    labels = pl.DataFrame({"item": items.series}).join(
        titles(table), on="item", how="left", maintain_order="left"
    )
    return labels["label"]


def _filtered(
    graph: Triples, num_items: int, options: BuildOptions, report: ReportBuilder
) -> Triples:
    """Return the graph without the relations that are not wanted, then without what is rare."""
    graph, unwanted = without_relations(graph, num_items, tuple(options.without_relation))
    graph, rare = frequent(
        graph, num_items, min_entity=options.min_entity, min_relation=options.min_relation
    )
    report.dropped += (*unwanted, *rare)
    return graph


def _checked(
    graph: Triples,
    users: Vocabulary,
    items: Vocabulary,
    parts: tuple[Interactions, Interactions, Interactions],
    sources: DatasetSources,
    options: BuildOptions,
    report: ReportBuilder,
) -> Triples:
    held_out = options.triple_ratios is not None or bool(sources.held)
    by_name = dict(zip(PARTS, parts, strict=True))
    return check_graph(graph, users, len(items), by_name, options.leaks, held_out, report)


def _with_users(
    graph: Triples,
    users: Vocabulary,
    sources: DatasetSources,
    options: BuildOptions,
    report: ReportBuilder,
) -> tuple[Triples, np.ndarray]:
    """Return the graph with the values of user attributes as entities, and the facts of users."""
    if sources.user_attributes is None:
        return graph, np.empty((0, 3), dtype=np.int32)

    about, column = read_user_table(
        sources.user_attributes,
        user=sources.user,
        users=Known("the interactions", users.series),
        on_error=options.on_error,
    )
    graph, facts, dropped = add_user_facts(users, graph, about, column)
    report.add((about.name,), (*about.dropped, *dropped))
    report.roles.append(ColumnRole(about.name, "user", column, _why(column, sources.user)))
    ids = about.frame[column].cast(pl.String).drop_nulls()
    words = difference(ids.filter(~ids.is_in(users.series.implode())), users.series)
    if words:
        report.warn(
            f"User ids of {about.name} that are the same but for their form: {words}",
            "Ids are compared exactly as written: correct them in one of the files.",
        )

    report.counts["facts about users"] = len(facts)
    return graph, facts


def _why(column: str, given: str | None) -> str:
    if column == given:
        return GIVEN
    return BY_NAME if USER.rank(column) is not None else BY_POSITION


def _hold_out(
    graph: Triples, sources: DatasetSources, options: BuildOptions, report: ReportBuilder
) -> tuple[Triples, dict[str, np.ndarray]]:
    """Return the training triples, and the held-out ones by part."""
    if options.triple_ratios is None:
        held, unknown = number_held(graph, sources.held or {})
        report.drop("held-out triples", "an entity or relation has no triple in training", unknown)
        return graph, held

    shares = check_ratios(tuple(options.triple_ratios), "triple_ratios")
    generator = numpy_generator(options.seed, "triples")
    graph, held, moved = hold_out_triples(graph, shares, generator=generator)
    if moved:
        report.notes.append(
            "Triples drawn to be held out, but kept since an entity or relation would be "
            f"unknown without them: {moved}."
        )

    return graph, held
