"""A table of phrases, CSV or TSV: how relations read in explanations, by language."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import polars as pl

from kgrec.data.io.files import FilePath
from kgrec.data.records.triples import Triples
from kgrec.data.records.wording import INTERACTS, Phrase, Wording
from kgrec.data.tables.delimited import read_table
from kgrec.errors import ConfigError, FormatError, nearest
from kgrec.languages import DEFAULT

_NEEDED = ("relation", "phrase")
_OTHERS = ("inverse", "language")


def read_phrases(
    source: "FilePath | pl.DataFrame | Sequence[Phrase] | object", triples: Triples
) -> tuple[Phrase, ...]:
    """Return the phrases of a table, each for a key of a relation of the graph.

    Args:
        source: A file or frame with the columns ``relation`` (key or label; "interacts" for
            interactions), ``phrase``, and where needed ``inverse`` and ``language`` ("en" where
            empty); or phrases.
        triples: The graph whose relations are named.

    Raises:
        FormatError: If a column is missing or unknown.
        ConfigError: If a relation or language is unknown, a row is there twice, or a phrase is
            empty or holds markup; the message says which line.
    """
    if isinstance(source, list | tuple):
        return _resolved(((repr(one.relation), one) for one in source), triples)

    table = read_table(source, known={*_NEEDED, *_OTHERS})
    frame = table.frame.rename({name: name.strip().lower() for name in table.frame.columns})
    _check_columns(frame.columns, table.name)
    rows = frame.select(
        pl.col(name).cast(pl.String).fill_null("").str.strip_chars()
        if name in frame.columns
        else pl.lit("").alias(name)
        for name in (*_NEEDED, *_OTHERS)
    ).rows()

    lines = (
        (table.at(row), Phrase(relation, code.lower() or DEFAULT, phrase, inverse))
        for row, (relation, phrase, inverse, code) in enumerate(rows)
    )
    return _resolved(lines, triples)


def _check_columns(columns: Sequence[str], name: str) -> None:
    missing = [column for column in _NEEDED if column not in columns]
    unknown = [column for column in columns if column not in (*_NEEDED, *_OTHERS)]
    if missing:
        raise FormatError(
            f"{name}: no column {missing[0]!r}. A table of phrases has the columns relation, "
            "phrase, and where needed inverse and language."
        )
    if unknown:
        raise FormatError(
            f"{name}: column {unknown[0]!r} is unknown. Known: {', '.join(_NEEDED + _OTHERS)}."
        )


def _resolved(rows: "Iterable[tuple[str, Phrase]]", triples: Triples) -> tuple[Phrase, ...]:
    """Return phrases under the keys of their relations, each checked where it is read."""
    keys: dict[str, list[str]] = {}
    for row in range(len(triples.relations)):
        key = triples.relations.key(row)
        for name in dict.fromkeys((key, triples.relation_label(row))):
            keys.setdefault(name, []).append(key)

    found: dict[tuple[str, str], Phrase] = {}
    for where, one in rows:
        try:
            Wording(phrases=(one,))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

        if one.relation == INTERACTS or one.relation.startswith(f"{INTERACTS}:"):
            named = [one.relation]
        else:
            named = keys.get(one.relation, [])

        if not named:
            raise ConfigError(
                f"{where}: relation {one.relation!r} is not in the graph."
                f"{nearest(one.relation, keys)} Name its key or label."
            )

        for key in named:
            if (key, one.language) in found:
                raise ConfigError(
                    f"{where}: relation {one.relation!r} has a phrase in language "
                    f"{one.language!r} already. Keep one row."
                )
            found[key, one.language] = replace(one, relation=key)

    return tuple(found.values())
