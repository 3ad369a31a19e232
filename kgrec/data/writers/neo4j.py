"""Neo4j's CSV for bulk import: a file for each kind of node and relationship, every text in
quotes.
"""

from pathlib import Path

import polars as pl

from kgrec.data.formats import property_graph
from kgrec.data.formats.property_graph import (
    CLASS,
    ENTITY,
    INTERACTION,
    ITEM,
    LITERAL,
    TRIPLE,
    TYPE,
    USER,
    USER_FACT,
    VALUE,
)
from kgrec.data.records.dataset import Dataset
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written

# The columns of each file: property of the header, column of the property graph.
NODE_FILES = {
    "entities.csv": (
        (ITEM, ENTITY),
        {
            ":ID(Entity)": "id",
            "entity": "entity",
            "name": "name",
            "label": "label",
            ":LABEL": "kind",
        },
    ),
    "users.csv": ((USER,), {":ID(User)": "id", "name": "name", "label": "label", ":LABEL": "kind"}),
    "classes.csv": ((CLASS,), {":ID(Class)": "id", "entity": "entity", ":LABEL": "kind"}),
    "literals.csv": (
        (LITERAL,),
        {
            ":ID(Literal)": "id",
            "label": "label",
            "datatype": "datatype",
            "language": "language",
            ":LABEL": "kind",
        },
    ),
}
EDGE_FILES = {
    "triples.csv": (
        TRIPLE,
        {
            ":START_ID(Entity)": "start",
            ":END_ID(Entity)": "end",
            ":TYPE": "relation",
            "label": "label",
            "source": "source",
            "locator:long": "locator",
            "graph": "graph",
        },
    ),
    "interactions.csv": (
        INTERACTION,
        {
            ":START_ID(User)": "start",
            ":END_ID(Entity)": "end",
            ":TYPE": "relation",
            "part": "part",
            "time:double": "time",
            "rating:float": "rating",
        },
    ),
    "user_facts.csv": (
        USER_FACT,
        {
            ":START_ID(User)": "start",
            ":END_ID(Entity)": "end",
            ":TYPE": "relation",
            "label": "label",
        },
    ),
    "types.csv": (
        TYPE,
        {":START_ID(Entity)": "start", ":END_ID(Class)": "end", ":TYPE": "relation"},
    ),
    "attributes.csv": (
        VALUE,
        {":START_ID(Entity)": "start", ":END_ID(Literal)": "end", ":TYPE": "relation"},
    ),
}
LABELS = {ITEM: "Entity;Item", ENTITY: "Entity", USER: "User", CLASS: "Class", LITERAL: "Literal"}
TYPES = {INTERACTION: "INTERACTS", TYPE: "IS_A"}


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the files that have rows, and how to import them."""
    graph = property_graph.from_dataset(data)
    options = ["--multiline-fields=true"]
    for file, (kinds, columns) in NODE_FILES.items():
        frame = graph.nodes.filter(pl.col("kind").is_in(kinds)).with_columns(
            pl.col("kind").replace_strict(LABELS)
        )
        if _write(frame, columns, folder / file):
            options += [f"--nodes={file}"]
        else:
            options += []
    for file, (fact, columns) in EDGE_FILES.items():
        frame = graph.edges.filter(pl.col("fact") == fact)
        if fact in TYPES:
            frame = frame.with_columns(relation=pl.lit(TYPES[fact]))
        else:
            frame = frame
        if _write(frame, columns, folder / file):
            options += [f"--relationships={file}"]
        else:
            options += []
    written = Written(
        notes=[f"In this folder: neo4j-admin database import full {' '.join(options)}"]
    )
    base.lose_links(data, written, described=True)
    return written


def _write(frame: pl.DataFrame, columns: dict[str, str], path: Path) -> bool:
    """Write the columns of a frame that has rows; numbers stay bare, texts stand in quotes, nulls
    are empty.
    """
    if frame.height:
        frame.select(pl.col(column).alias(header) for header, column in columns.items()).write_csv(
            path, quote_style="non_numeric"
        )
    return bool(frame.height)


NEO4J = Format(
    f"{', '.join((*NODE_FILES, *EDGE_FILES))} (those that have rows)", property_graph.CARRIES, write
)
