"""RecBole's atomic files: ``.inter`` by part, ``.kg``, ``.link``, ``.item``, ``.user``."""

from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import (
    PART_STEMS,
    first_line,
    graph_files,
    known_part,
    with_suffix,
)
from kgrec.data.formats.original_ids import under_ids
from kgrec.data.formats.writing import Names
from kgrec.data.records.dataset import Dataset
from kgrec.errors import FormatError

_INTERACTIONS = {
    "user": "user_id:token",
    "item": "item_id:token",
    "time": "timestamp:float",
    "rating": "rating:float",
}
_TRIPLES = "head_id:token\trelation_id:token\ttail_id:token\n"
_LINKS = "item_id:token\tentity_id:token\n"
_TITLE, _TEXT = "title:token_seq", "text:token_seq"


def recognize(folder: Path) -> bool:
    """Return whether a folder holds a ``.inter`` file."""
    return bool(with_suffix(folder, "inter"))


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of atomic files.

    Raises:
        FormatError: If there are several files of a kind.
    """
    logs = with_suffix(folder, "inter")
    by_part = {part: [p for p in logs if _stem(p).endswith(f".{part}")] for part in PART_STEMS}
    whole = [p for p in logs if not any(p in some for some in by_part.values())]
    if len(whole) > 1 or any(len(some) > 1 for some in by_part.values()):
        raise FormatError(
            f"{folder}: several .inter files ({', '.join(p.name for p in logs)}). Name one as "
            "interactions."
        )

    found: dict[str, Any] = {part: str(some[0]) for part, some in by_part.items() if some}
    if by_part["valid"]:
        found["valid"] = known_part(by_part["valid"][0])

    name = _stem((whole or logs)[0])
    for part in PART_STEMS:
        name = name.removesuffix(f".{part}")

    if whole:
        found["interactions"] = str(whole[0])

    kg = _one(folder, "kg")
    if kg is not None:
        found["kg"] = (kg,)

    items = _one(folder, "item")
    if items is not None and first_line(Path(items)).rstrip(b"\r\n").endswith(
        f"\t{_TEXT}".encode()
    ):
        found["texts"] = ("text",)

    sources = DatasetSources(
        **found,
        links=_one(folder, "link"),
        items=items,
        users=_one(folder, "user"),
        name=name,
        beside=graph_files(folder),
    )

    return under_ids(folder, sources)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]


def _one(folder: Path, suffix: str) -> str | None:
    found = with_suffix(folder, suffix)
    if len(found) > 1:
        raise FormatError(
            f"{folder}: several .{suffix} files ({', '.join(p.name for p in found)}). Leave one, "
            "or name the parts one by one."
        )

    return str(found[0]) if found else None


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``NAME.train.inter`` and its like; see ``Format``."""
    written = Written()
    names = writing.carried(data, writing.fits_cell)
    names.write_lists(folder)
    names.note(written)
    writing.write_interactions(
        data, names, written, _INTERACTIONS, lambda part: folder / f"{name}.{part}.inter"
    )

    if len(data.triples):
        columns = writing.triple_columns(data, names)
        writing.write_rows(folder / f"{name}.kg", columns, "\t", _TRIPLES)
        _write_links(data, folder / f"{name}.link", names, written)

    _write_items(data, folder / f"{name}.item", names, written)
    if len(data.user_facts):
        _write_users(data, folder / f"{name}.user", names, written)

    written.notes.append(
        f"In RecBole: dataset={name}, data_path=the folder above, benchmark_filename=['train', "
        "'valid', 'test']."
    )

    return written


def _write_links(data: Dataset, path: Path, names: Names, written: Written) -> None:
    """Write which item is which entity, for the items that are in the graph."""
    keys = names.entities[: data.num_items]
    stated = pl.Series(base.in_triples(data)[: data.num_items])
    writing.write_rows(path, [names.items.filter(stated), keys.filter(stated)], "\t", _LINKS)
    writing.lose_links(data, written, described=False)


def _write_items(data: Dataset, path: Path, names: Names, written: Written) -> None:
    labels = data.triples.labels[: data.num_items]
    texts = data.content.texts
    columns = {_TITLE: labels}
    if texts is not None and not texts.equals(labels, null_equal=True):
        columns[_TEXT] = texts

    written.lose(
        "tabs and line ends in titles and texts, now blanks",
        sum(writing.changed(column) for column in columns.values()),
    )
    header = "\t".join(["item_id:token", *columns]) + "\n"
    writing.write_rows(path, [names.items, *map(_cells, columns.values())], "\t", header)


def _write_users(data: Dataset, path: Path, names: Names, written: Written) -> None:
    columns = writing.user_columns(data, written)
    kinds = (f"{writing.cell(key).replace(':', '_')}:token" for key in columns)
    header = "\t".join(["user_id:token", *kinds]) + "\n"
    writing.write_rows(path, [names.users, *map(_cells, columns.values())], "\t", header)


def _cells(texts: pl.Series) -> pl.Series:
    return pl.Series([writing.cell(text) for text in texts], dtype=pl.String)


RECBOLE = Format(
    "recbole",
    "NAME.inter, and .kg .link .item .user",
    recognize,
    read,
    carries=frozenset(
        {
            base.INTERACTIONS,
            base.SPLIT,
            base.TIMES,
            base.RATINGS,
            base.IDLE_ITEMS,
            base.ITEM_LABELS,
            base.TEXTS,
            base.TRIPLES,
            base.LINKS,
            base.USER_FACTS,
        }
    ),
    write=write,
    needs=base.INTERACTIONS,
)
