"""Assemble item side information: texts, entity mentions, features, vectors."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.linking.mentions import number_mentions
from kgrec.data.readers.features import feature_table, read_features
from kgrec.data.readers.items import ItemTable, text_columns, texts
from kgrec.data.readers.vectors import read_vectors
from kgrec.data.records.content import Content, Vectors
from kgrec.data.records.report import ReportBuilder, Skipped, dropped_lines
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import Table
from kgrec.data.tables.ordering import text_order
from kgrec.data.texts.encoder import encode
from kgrec.data.texts.news_catalog import plain_word
from kgrec.data.texts.tokens import words_in
from kgrec.errors import ConfigError, DataError


def read_content(
    items: Vocabulary,
    triples: Triples,
    sources: DatasetSources,
    table: ItemTable | None,
    on_error: str,
    report: ReportBuilder,
) -> tuple[Content, Triples]:
    """Return the content of a dataset, and its graph with the entities that texts name and it did
    not have.

    Args:
        items: Item ids.
        triples: The graph, items first.
        sources: Where the content comes from.
        table: The table of items.
        on_error: "stop" at a malformed line, or "skip" it and count it.
        report: The report, which is added to.

    Raises:
        ConfigError: If texts are asked for without a table of items, word vectors or an encoder
            without texts, an encoder beside features.
        DataError: If no word or no entity has a vector, or an item has no features.
    """
    if sources.encoder is not None and sources.features is not None:
        raise ConfigError("an encoder makes features, and there are some. Give either.")
    if sources.texts is not None and table is None:
        raise ConfigError(
            "texts name columns of the table of items, and there is none. Name the table as items."
        )

    columns = () if table is None else text_columns(table, sources.texts)
    item_texts = None
    mentions = Content().mentions

    if table is not None and columns:
        cells = pl.DataFrame({"item": items.series}).join(
            texts(table, columns), on="item", how="left", maintain_order="left"
        )
        item_texts = cells["cells"].list.drop_nulls().list.join(" ")
        item_texts = item_texts.set((item_texts == "").fill_null(False), None).rename("text")

        if sources.mentions is not None:
            numbered = cells.with_columns(item=pl.Series(range(len(items)), dtype=pl.Int64))
            mentions, triples, dropped = number_mentions(
                sources.mentions, items, numbered, columns, triples
            )
            report.add((), dropped)
            report.counts["entities mentioned"] = len(np.unique(mentions[:, 3]))

    features = words = entities = None
    if sources.features is not None:
        features = _features(sources.features, items, table, sources.item_id, on_error, report)
    elif sources.encoder is not None:
        features = _encoded(sources.encoder, item_texts, report)

    if sources.word_vectors is not None:
        words = _word_vectors(sources.word_vectors, item_texts, on_error, report)

    if sources.entity_vectors is not None:
        entities = _entity_vectors(sources.entity_vectors, triples, on_error, report)

    return Content(item_texts, mentions, features, words, entities), triples


def _features(
    source: object,
    items: Vocabulary,
    table: ItemTable | None,
    item: str | None,
    on_error: str,
    report: ReportBuilder,
) -> np.ndarray:
    given = feature_table(source, item, on_error)
    features, name, unknown = read_features(given, items, table, item=item)
    report.add((), given.dropped if isinstance(given, Table) else ())
    report.add((name,))
    report.drop("feature vectors", "the item is not in the catalog", unknown)
    return features


def _encoded(encoder: object, item_texts: pl.Series | None, report: ReportBuilder) -> np.ndarray:
    if item_texts is None:
        raise ConfigError(
            "an encoder without texts. Name a table of items, and the columns of texts in it."
        )

    vectors, name = encode(encoder, item_texts)
    report.counts["texts encoded"] = len(item_texts) - item_texts.null_count()
    report.notes.append(f"features are vectors of texts, {vectors.shape[1]} numbers, by {name}.")
    return vectors


def _word_vectors(
    source: object, item_texts: pl.Series | None, on_error: str, report: ReportBuilder
) -> Vectors:
    if item_texts is None:
        raise ConfigError(
            "word vectors without texts. Name a table of items, and the columns of texts in it."
        )

    counts = Counter(
        plain_word(word) for text in item_texts.drop_nulls() for word, _, _ in words_in(text)
    )
    vectors, paths, _ = _read(source, lambda key: plain_word(key) in counts, on_error, report)
    found = {plain_word(key) for key in vectors.keys}
    if not found:
        raise DataError(
            f"{paths}: no word of the texts has a vector. Are they of the same language?"
        )

    report.counts |= {"words of the texts": len(counts), "words with a vector": len(found)}
    share = sum(counts[word] for word in found) / sum(counts.values())
    report.notes.append(
        f"{paths}: {len(found) / len(counts):.1%} of the distinct words have a vector, "
        f"{share:.1%} of all words."
    )

    return vectors


def _entity_vectors(
    source: object, triples: Triples, on_error: str, report: ReportBuilder
) -> Vectors:
    vectors, paths, read = _read(source, triples.entities.__contains__, on_error, report)
    if not len(vectors.keys):
        raise DataError(
            f"{paths}: none of its {read} ids is an entity here. Are the ids those of the graph "
            "or of the mentions?"
        )

    report.drop(
        "entity vectors",
        "the entity is neither in the graph nor mentioned, or comes twice",
        read - len(vectors.keys),
    )

    return vectors


def _read(
    source: object, wanted: Callable[[str], bool], on_error: str, report: ReportBuilder
) -> tuple[Vectors, str, int]:
    """Return the wanted vectors of one file or several, the files' names, and how many vectors they
    hold.
    """
    paths = [str(path) for path in (source if isinstance(source, list | tuple) else [source])]
    keys: list[pl.Series] = []
    rows: list[np.ndarray] = []
    seen: set[str] = set()
    read = 0

    for path in paths:
        skipped = Skipped.where_allowed(path, on_error)
        vectors, count = read_vectors(path, lambda key: key not in seen and wanted(key), skipped)
        report.add((), dropped_lines(skipped))
        read += count

        if len(vectors.keys):
            if rows and rows[0].shape[1] != vectors.values.shape[1]:
                wide = vectors.values.shape[1]
                before = rows[0].shape[1]
                raise DataError(
                    f"{path}: vectors of {wide} numbers, those of the file before have {before}. "
                    "Give files of one length."
                )

            keys.append(vectors.keys)
            rows.append(vectors.values)
            seen.update(vectors.keys)

    report.add(paths)
    name = " and ".join(paths)

    if not rows:
        return (
            Vectors(pl.Series("key", [], dtype=pl.String), np.empty((0, 0), dtype=np.float32)),
            name,
            read,
        )

    every = pl.concat(keys)
    values = np.concatenate(rows)
    order = text_order(every)
    return Vectors(every.gather(order), values[order]), name, read
