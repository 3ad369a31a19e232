"""RecBole's atomic files: ``.inter`` by part, ``.kg``, ``.link``, ``.item``, ``.user``."""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Names, Written

_FLOATS = {"time": "timestamp:float", "rating": "rating:float"}


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``NAME.train.inter`` and its like; see ``Format``."""
    written = Written()
    names = base.carried(data, base.fits_cell)
    names.write_lists(folder)
    names.note(written)
    _write_parts(data, folder, name, names, written)
    if len(data.triples):
        columns = base.triple_columns(data, names)
        base.write_rows(
            folder / f"{name}.kg",
            columns,
            "\t",
            "head_id:token\trelation_id:token\ttail_id:token\n",
        )
        _write_links(data, folder, name, names, written)
    _write_items(data, folder, name, names, written)
    if len(data.user_facts):
        _write_users(data, folder, name, names, written)
    written.notes.append(
        f"In RecBole: dataset={name}, data_path=the folder above, benchmark_filename=['train', "
        "'valid', 'test']."
    )
    return written


def _write_parts(data: Dataset, folder: Path, name: str, names: Names, written: Written) -> None:
    present = [column for column in _FLOATS if base.timed(data, column)]
    for column, what in (("time", base.TIMES), ("rating", base.RATINGS)):
        if column not in present:
            written.lose(
                f"{what}: some interactions have none, and a column must be full",
                base.ASPECTS[what](data),
                what,
            )
    header = (
        "\t".join(["user_id:token", "item_id:token", *(_FLOATS[column] for column in present)])
        + "\n"
    )
    for part, rows in base.parts_of(data).items():
        columns = [base.at(names.users, rows.user), base.at(names.items, rows.item)]
        columns += [
            pl.Series(getattr(rows, column)).cast(pl.String)
            if len(rows)
            else pl.Series([], dtype=pl.String)
            for column in present
        ]
        base.write_rows(folder / f"{name}.{part}.inter", columns, "\t", header)


def _write_links(data: Dataset, folder: Path, name: str, names: Names, written: Written) -> None:
    """Write which item is which entity, for the items that are in the graph."""
    keys = names.entities[: data.num_items]
    stated = np.zeros(data.num_entities, dtype=bool)
    stated[data.triples.head] = stated[data.triples.tail] = True
    own = pl.Series(stated[: data.num_items])
    base.write_rows(
        folder / f"{name}.link",
        [names.items.filter(own), keys.filter(own)],
        "\t",
        "item_id:token\tentity_id:token\n",
    )
    base.lose_links(data, written, described=False)


def _write_items(data: Dataset, folder: Path, name: str, names: Names, written: Written) -> None:
    labels = data.triples.labels[: data.num_items]
    texts = data.content.texts
    if texts is None or texts.equals(labels, null_equal=True):
        own = [labels]
    else:
        own = [labels, texts]
    columns = [pl.Series([base.cell(text) for text in cells], dtype=pl.String) for cells in own]
    written.lose(
        "tabs and line ends in titles and texts, now blanks",
        sum(base.changed(cells) for cells in own),
    )
    header = (
        "\t".join(["item_id:token", "title:token_seq", *["text:token_seq"][: len(own) - 1]]) + "\n"
    )
    base.write_rows(folder / f"{name}.item", [names.items, *columns], "\t", header)


def _write_users(data: Dataset, folder: Path, name: str, names: Names, written: Written) -> None:
    columns = base.user_columns(data, written)
    header = (
        "\t".join(
            ["user_id:token", *(f"{base.cell(key).replace(':', '_')}:token" for key in columns)]
        )
        + "\n"
    )
    cells = [
        pl.Series([base.cell(text) for text in column], dtype=pl.String)
        for column in columns.values()
    ]
    base.write_rows(folder / f"{name}.user", [names.users, *cells], "\t", header)


RECBOLE = Format(
    "NAME.train.inter, NAME.valid.inter, NAME.test.inter, NAME.kg, NAME.link, NAME.item, NAME.user",
    frozenset(
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
    write,
    needs=base.INTERACTIONS,
)
