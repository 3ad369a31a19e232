"""What is known about users: a table's columns become facts about them."""

from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.linking.links import free_key
from kgrec.data.readers.interactions import USER_NAMES
from kgrec.data.records.report import Dropped, dropped_rows
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import Table, as_ids, known_names, read_table
from kgrec.data.tables.roles import Known, Search, headed
from kgrec.errors import FormatError


def read_user_table(
    source: object, *, user: str | None = None, users: Known | None = None, on_error: str = "stop"
) -> tuple[Table, str]:
    """Return a table of user attributes and the name of its id column: ``user`` where present, a
    well-known name, else the first. ``users`` are those of the interactions: they tell whether
    words in the first row are a header.

    Raises:
        FormatError: If there is no column besides the ids.
    """
    table = read_table(source, known=known_names(USER_NAMES, user), on_error=on_error)
    table = headed(table, users)
    columns = table.frame.columns
    if len(columns) < 2:
        raise FormatError(
            f"{table.name}: one column, expected a user id and at least one attribute. Is the "
            "separator right?"
        )

    return table, user if user in columns else _user_column(table)


def _user_column(table: Table) -> str:
    """Return the column of users by its name, else the first."""
    search = Search(table, {})
    search.named(("user",))
    return search.found.get("user", table.frame.columns[0])


def add_user_facts(
    users: Vocabulary, triples: Triples, table: Table, user: str
) -> tuple[Triples, np.ndarray, tuple[Dropped, ...]]:
    """Return the graph with the attribute values as entities, the facts (user, relation, entity.

    Int32 rows), and what was dropped.

    Each column is a relation, each of its values an entity with the key ``column=value`` and the
    value as label; empty cells say nothing.
    """
    row = users.match(as_ids(table, user))
    unknown = int((row < 0).sum())
    taken = set(triples.entities)
    relations_taken = set(triples.relations)
    keys: list[str] = []
    labels: list[str] = []
    relations: list[str] = []
    facts: list[np.ndarray] = []

    for column in table.frame.columns:
        if column == user:
            continue

        cells = pl.DataFrame({"user": row, "value": table.frame[column].cast(pl.String)})
        cells = cells.filter(
            (pl.col("user") >= 0) & pl.col("value").is_not_null() & (pl.col("value") != "")
        ).unique(maintain_order=True)
        values = Vocabulary(cells["value"].unique(maintain_order=True))
        entity = len(triples.entities) + len(keys) + values.match(cells["value"])
        relation = np.full(cells.height, len(triples.relations) + len(relations))
        facts.append(np.stack([cells["user"].to_numpy(), relation, entity], axis=1))
        relations.append(free_key(column, "user:", relations_taken))
        relations_taken.add(relations[-1])

        for value in values:
            keys.append(free_key(f"{column}={value}", "user:", taken))
            taken.add(keys[-1])
            labels.append(value)

    dropped = dropped_rows("user attributes", "the user has no interaction", unknown)

    return (
        _extended(triples, keys, labels, relations),
        np.concatenate(facts).astype(np.int32),
        dropped,
    )


def _extended(
    triples: Triples, keys: list[str], labels: list[str], relations: list[str]
) -> Triples:
    return replace(
        triples,
        entities=Vocabulary(
            pl.concat([triples.entities.series, pl.Series("key", keys, dtype=pl.String)]),
            kind="entity",
        ),
        relations=Vocabulary([*triples.relations, *relations], kind="relation"),
        labels=pl.concat([triples.labels, pl.Series("label", labels, dtype=pl.String)]),
        relation_labels=pl.concat(
            [triples.relation_labels, pl.Series("label", [None] * len(relations), dtype=pl.String)]
        ),
    )
