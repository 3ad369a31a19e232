"""Pictures of items: addresses from a table or from the graph, of the web alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.data.tables.delimited import read_table
from kgrec.errors import ConfigError

_MOST_ORIGINS = 50
_LONGEST = 2_000
_TABLES = (".csv", ".tsv", ".parquet")
_HOST = re.compile(r"[a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Images:
    """Where pictures of items are.

    Attributes:
        addresses: Address by item id.
        origins: Scheme, host and port of all addresses: what a browser may load pictures from.
        refused: Items whose address is not used, each with why.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of items with a picture."""
        return len(self.addresses)


def read_images(data: Dataset, source: str) -> Images:
    """Return the pictures that a table or a relation of the graph names.

    Args:
        data: Whose items.
        source: A table ``.csv``, ``.tsv`` or ``.parquet``, such as that of the items, with the
            column that holds addresses ("items.csv:poster", else ``image``) and ids in the column
            ``item``, else the first one; or a relation of the graph: its id, its label, or the end
            of its IRI ("image" for ``https://schema.org/image``).

    Raises:
        ConfigError: If there is no such file or relation, or no usable address.
    """
    name, colon, column = source.rpartition(":")
    if Path(source).suffix.lower() in _TABLES:
        found = _of_table(Path(source), "image")
    elif colon and Path(name).suffix.lower() in _TABLES:
        found = _of_table(Path(name), column)
    else:
        found = _of_graph(data, source)

    return _checked(data, found, source)


def _of_table(path: Path, column: str) -> dict[str, str]:
    """Return the address of each item; of an item in several rows the first."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file of images.")

    table = read_table(path, known={column, "item"}).frame
    if column not in table.columns:
        raise ConfigError(
            f"{path}: has no column {column!r} but {', '.join(table.columns)}. Name the one with "
            f"addresses as {path.name}:COLUMN."
        )

    others = [name for name in table.columns if name != column]
    if not others:
        raise ConfigError(f"{path}: has no column of items beside {column!r}. Name it item.")

    item = "item" if "item" in others else others[0]
    rows = table.select(pl.col(item, column).cast(pl.String)).drop_nulls()
    rows = rows.with_columns(pl.col(column).str.strip_chars())
    return dict(rows.unique(item, keep="first", maintain_order=True).iter_rows())


def _of_graph(data: Dataset, name: str) -> dict[str, str]:
    """Return the first address of each item; an address from a table's column is a label."""
    triples = data.triples
    matching = [
        row
        for row in range(data.num_relations)
        if name in _names(triples.relations.key(row), triples.relation_label(row))
    ]
    if not matching:
        raise ConfigError(
            f"images: {name!r} is no relation of the graph, and no .csv, .tsv or .parquet file. "
            "`kgrec info` lists relations."
        )

    facts = np.flatnonzero(np.isin(triples.relation, matching) & (triples.head < data.num_items))
    out: dict[str, str] = {}
    for fact in facts.tolist():
        tail = int(triples.tail[fact])
        key = triples.entities.key(tail)
        address = key if _of_web(key) else triples.label(tail)
        out.setdefault(data.items.key(int(triples.head[fact])), address)

    return out


def _names(key: str, label: str) -> set[str]:
    end = key.rpartition("#")[2].rpartition("/")[2].rpartition(":")[2]
    return {key, label, end, f"schema:{end}" if "schema.org" in key else key}


def _checked(data: Dataset, found: Mapping[str, str], source: str) -> Images:
    addresses: dict[str, str] = {}
    origins: set[str] = set()
    refused: list[str] = []

    for item, address in found.items():
        if data.items.get(item) is None:
            refused.append(f"item {item[:60]!r}: no such item")
        elif not _of_web(address):
            refused.append(
                f"item {item[:60]!r}: {address[:60]!r} is no plain http or https address"
            )
        else:
            origin = _origin(address)
            if origin not in origins and len(origins) >= _MOST_ORIGINS:
                refused.append(f"item {item[:60]!r}: more than {_MOST_ORIGINS} hosts")
            else:
                origins.add(origin)
                addresses[item] = address

    if not addresses:
        why = f" {refused[0]}." if refused else ""
        raise ConfigError(
            f"images: {source!r} gives no picture.{why} Pictures come from http and https "
            "addresses alone."
        )

    return Images(addresses, tuple(sorted(origins)), tuple(refused))


def _of_web(address: str) -> bool:
    """Return whether an address is of the web and fits into a policy as it is."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(_HOST.fullmatch(parts.hostname or ""))
        port = parts.port is None or parts.port > 0
    except ValueError:
        return False

    plain = address.isascii() and address.isprintable() and not set(address) & set(" \"'<>;,\\")
    return usable and port and plain and "@" not in parts.netloc and len(address) <= _LONGEST


def _origin(address: str) -> str:
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"
