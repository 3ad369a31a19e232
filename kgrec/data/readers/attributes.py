"""Item attributes as a knowledge graph: columns become relations, values entities."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import RawTriples, assemble
from kgrec.data.readers.interactions import ITEM_NAMES
from kgrec.data.readers.items import TITLE_NAMES, title_column
from kgrec.data.records.report import Dropped, TableColumn
from kgrec.data.records.triples import COLUMN, Triples
from kgrec.data.tables.binning import BINS
from kgrec.data.tables.cell_values import Reading, values_of
from kgrec.data.tables.column_kinds import (
    MISSING,
    UNNAMED,
    Guess,
    as_text,
    flag_groups,
    guess,
    look_alikes,
    plain_form,
)
from kgrec.data.tables.delimited import Table, as_ids, find_column, known_names, read_table
from kgrec.data.tables.list_cells import are_lists
from kgrec.data.tables.ordering import one_per_key
from kgrec.data.tables.roles import item_key
from kgrec.errors import ConfigError, FormatError, nearest
from kgrec.process import refuse_after_fork

_log = logging.getLogger("kgrec.data")

KINDS = ("category", "list", "path", "number", "year", "date", "boolean", "text")
YEARS = ("year", "decade")
BROADER = "broader"  # from a level of a path to the one above it
_RARE_FROM = 1_000
_MOST_PLACES = 5
_STRING = "http://www.w3.org/2001/XMLSchema#string"


@dataclass(frozen=True, slots=True)
class TableSettings:
    """How the columns of a table of items become triples; see ``triples_from_table``.

    Raises:
        ConfigError: If a setting is unknown or out of range.
    """

    title: str | None = None
    columns: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    kinds: Mapping[str, str] | None = None
    separators: Mapping[str, str] | None = None
    spaces: Mapping[str, str] | None = None
    flags: str | None = None
    bins: int = BINS
    years: str = "year"
    min_count: int | None = None
    missing: Sequence[str] = MISSING
    fold: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check each setting that does not depend on a table."""
        for column, kind in (self.kinds or {}).items():
            if kind not in KINDS:
                raise ConfigError(
                    f"kinds: {column}={kind!r} is unknown.{nearest(str(kind), KINDS)} Known: "
                    f"{', '.join(KINDS)}."
                )

        if self.years not in YEARS:
            raise ConfigError(f"years: {self.years!r} is neither 'year' nor 'decade'.")
        if self.bins < 2:
            raise ConfigError(f"bins: {self.bins} is too few. Give 2 or more.")
        if self.min_count is not None and self.min_count < 1:
            raise ConfigError(f"min_count: {self.min_count} is too few. 1 keeps every value.")

        for column, separator in (self.separators or {}).items():
            if not separator:
                raise ConfigError(
                    f"separators: that of {column!r} is empty. Give the text between two values."
                )


_SETTINGS = tuple(f.name for f in fields(TableSettings))


def triples_from_table(
    source: object,
    *,
    item: str | None = None,
    names: Sequence[str] | None = None,
    separator: str | None = None,
    on_error: str = "stop",
    **settings: Any,
) -> Triples:
    """Make a knowledge graph from a table of item attributes.

    A column becomes a relation, and each of its values an entity with the key ``column=value``.
    What a column holds is found from its cells, and ``Triples.columns`` says what was found:
    categories; lists of values (``a|b``, ``a;b``, with good evidence ``a, b``, and JSON lists);
    numbers, which become ranges with about as many items each; years, and dates, of which the year
    counts; booleans, of which the rows that say yes count; columns of flags that together are one
    attribute. Titles become the items' labels. Left out, with a word: free text, identifiers and
    addresses of which every row has its own, and columns in which every row says the same. Several
    rows of one item add up. The locator of a triple is the line (of frames and Parquet the row)
    that it comes from.

    Args:
        source: CSV, TSV, JSON Lines, Parquet or RecBole ``.item`` file, or a polars or pandas
            frame.
        item: Column of the item ids; a well-known name, else the first column, where None.
        names: Names of the columns, for a file without a header.
        separator: Between the cells of a text file; found where None.
        on_error: "stop" at a malformed row or an empty id, or "skip" it and count it.
        settings: ``title``: column of titles, found by its name where None. ``columns``: only these
            are used, whatever they seem to hold; none where it is empty. ``exclude``: columns left
            out. ``kinds``: kind by column, one of category, list, path (``A > B > C``, joined by edges
            ``broader``), number, year, date, boolean, text
            (kept as an attribute). ``separators``: text between the values of a cell, by column.
            ``spaces``: what the values of a column are, by column: with
            ``{"director": "person", "actor": "person"}`` somebody who directs and acts is one
            entity. ``flags``: name of the relation that columns of flags become whose names have no
            beginning in common. ``bins``: ranges of a number, 10. ``years``: "year" or "decade".
            ``min_count``: values that fewer items have are left out; where None, 2 for tables of
            1,000 rows or more, since a value of one item links it to nothing, else 1. ``missing``:
            cells that say nothing. ``fold``: columns whose values are one where they differ by case
            or white space alone, the most frequent form being kept; "all" folds every column.

    Raises:
        MissingFileError: If the file is not there.
        FormatError: If a row, a column or the file cannot be read; the message names file and line.
        ConfigError: If a setting or a column is unknown.
    """
    refuse_after_fork("Reading a table")
    chosen = _settings(settings)
    table = attribute_table(source, item=item, names=names, separator=separator, on_error=on_error)
    if not table.frame.height:
        raise FormatError(
            f"{table.name}: a header and no rows. Give a table with at least one item."
        )

    key = item_key(table, item).column
    if len(table.frame.columns) == 1:
        raise FormatError(
            f"{table.name}: one column, expected item ids and attributes. Is the separator "
            "right? Pass separator=."
        )

    triples = assemble([_facts(table, key, chosen, on_error)])
    _log.info(
        "%s: %d triples of %d columns",
        table.name,
        len(triples),
        len({c.relation for c in triples.columns if c.relation}),
    )

    return triples


def attribute_table(
    source: object,
    *,
    item: str | None = None,
    names: Sequence[str] | None = None,
    separator: str | None = None,
    on_error: str = "stop",
) -> Table:
    """Return a table of items; ``names`` are those of its columns where the file has no header.

    Raises:
        FormatError: If it cannot be read.
        ConfigError: If there are not as many different names as columns.
    """
    known = known_names((*ITEM_NAMES, *TITLE_NAMES), item)
    table = read_table(
        source, separator=separator, known=known, on_error=on_error, header=names is None
    )
    if names is None or isinstance(source, Table):
        return table

    return _named(table, names)


def table_settings(given: Mapping[str, object]) -> dict[str, Any]:
    """Return settings of ``triples_from_table`` by name.

    Lists, pairs and numbers may come as text, as on the command line.

    Lists have commas ("director,actor"), pairs also a colon or an equals sign
    ("director:person,actor:person").

    Raises:
        ConfigError: If a name is unknown, or a value cannot be read.
    """
    known = [*_SETTINGS, "names", "separator"]
    settings: dict[str, Any] = {}

    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"items: {name!r} is no setting of triples_from_table.{nearest(name, known)} "
                f"Known: {', '.join(known)}."
            )
        if isinstance(value, str):
            settings[name] = _parsed(name, value)
        else:
            settings[name] = value

    _settings(
        {name: value for name, value in settings.items() if name not in ("names", "separator")}
    )
    return settings


def _parsed(name: str, value: str) -> object:
    if name in ("columns", "exclude", "names", "missing", "fold"):
        return [part.strip() for part in value.split(",") if part.strip()]

    if name in ("kinds", "separators", "spaces"):
        if name != "separators":
            pairs = [part.strip() for part in value.split(",") if part.strip()]
        else:
            pairs = [value]

        split = [
            (column.strip(), text)
            for column, mark, text in (part.partition(":") for part in pairs)
            if mark
        ]
        if len(split) < len(pairs):
            raise ConfigError(
                f"items: {name}={value!r} has no colon. Write {name}=column:value, several with "
                "commas between them."
            )

        return dict(split)

    if name in ("bins", "min_count"):
        if not (value.isascii() and value.isdigit()):
            raise ConfigError(f"items: {name}={value!r} is not a whole number.")
        return int(value)

    return value


def _settings(given: Mapping[str, Any]) -> TableSettings:
    unknown = next((name for name in given if name not in _SETTINGS), None)
    if unknown is not None:
        raise ConfigError(
            f"unknown setting {unknown!r}.{nearest(unknown, _SETTINGS)} Known: "
            f"{', '.join(_SETTINGS)}."
        )

    lists = {
        name: [given[name]]
        for name in ("columns", "exclude", "missing", "fold")
        if isinstance(given.get(name), str)
    }

    return TableSettings(**{**given, **lists})


def _named(table: Table, names: Sequence[str]) -> Table:
    width = len(table.frame.columns)
    if len(names) != width or len(set(names)) != width:
        raise ConfigError(
            f"names: {len(set(names))} different names for the {width} columns of {table.name}. "
            "Give every column its own."
        )

    return replace(
        table,
        frame=table.frame.rename(dict(zip(table.frame.columns, names, strict=True))),
        header=True,
    )


@dataclass(frozen=True, slots=True)
class _Items:
    """The rows of a table by item.

    Attributes:
        keys: Item ids in order of first appearance.
        row: Number of the item of each row of the table, -1 for none.
        titles: Title per item, null if there is none.
    """

    keys: pl.Series
    row: np.ndarray
    titles: pl.Series


@dataclass(frozen=True, slots=True)
class _Made:
    """What a column became.

    Attributes:
        report: What is said of it.
        values: Columns ``row`` (of the table) and ``label``.
        space: What the values are.
        single: Whether an item has no value twice.
        lost: Cells that could not be read as what the column holds.
        mark: Between the levels of paths.
    """

    report: TableColumn
    values: pl.DataFrame
    space: str = ""
    single: bool = False
    lost: tuple[Dropped, ...] = ()
    mark: str = ""


_NO_VALUES = {"row": pl.Int32, "label": pl.String}
_UNREADABLE = ("nested", "empty")


def _facts(table: Table, key: str, settings: TableSettings, on_error: str) -> RawTriples:
    """Return what a table says of the items in its column ``key``."""
    if settings.title is not None:
        title = find_column(table, settings.title, ())
    else:
        title = title_column(table, key)

    _check_columns(table, settings)
    items = _items(table, as_ids(table, key, on_error), title)
    columns = [name for name in table.frame.columns if name not in (key, title)]
    cells = {name: _cells(table.frame[name], settings.missing) for name in columns}
    guesses = {name: _guessed(name, cells[name], table, settings) for name in columns}
    flags = _flags(cells, guesses, settings)
    made = [
        _made(name, cells[name], guesses[name], flags.get(name), table, items, settings)
        for name in columns
    ]
    known = [
        TableColumn(
            table.name,
            key,
            "item id",
            "",
            len(items.keys),
            int((items.row >= 0).sum()),
            0,
            "the items",
        )
    ]

    if title is not None:
        titled = items.titles.drop_nulls()
        known.append(
            TableColumn(
                table.name,
                title,
                "title",
                "",
                titled.n_unique(),
                len(titled),
                0,
                "the items' labels",
            )
        )

    return _assembled(table, items, known, made, settings)


def _check_columns(table: Table, settings: TableSettings) -> None:
    columns = table.frame.columns
    groups = [group for group, _ in flag_groups(columns)]

    for setting in ("columns", "exclude", "kinds", "separators", "spaces", "fold"):
        if setting == "spaces":
            known = [*columns, *groups, *([settings.flags] if settings.flags else [])]
        else:
            known = [*columns, "all"] if setting == "fold" else columns
        for column in getattr(settings, setting) or ():
            if column not in known:
                raise ConfigError(
                    f"{setting}: {table.name} has no column {column!r}.{nearest(column, columns)}"
                )


def _items(table: Table, ids: pl.Series, title: str | None) -> _Items:
    frame = pl.DataFrame({"key": ids}).with_row_index("position")
    keys = frame.drop_nulls().unique("key", keep="first", maintain_order=True)
    numbered = keys.select("key", row=pl.int_range(pl.len(), dtype=pl.Int32))
    row = (
        frame.join(numbered, on="key", how="left", maintain_order="left")["row"]
        .fill_null(-1)
        .to_numpy()
    )
    titles = pl.Series("title", [None] * len(keys), dtype=pl.String)

    if title is not None:
        named = frame.with_columns(title=as_text(table.frame[title], ("",))).drop_nulls("key")
        titles = keys.join(
            one_per_key(named, "key", "title"), on="key", how="left", maintain_order="left"
        )["title"]

    return _Items(keys["key"], row, titles)


def _cells(cells: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Return the cells of a column, null where they say nothing."""
    if cells.dtype in (pl.String, pl.Categorical, pl.Null) or isinstance(cells.dtype, pl.Enum):
        return as_text(cells.cast(pl.String), missing)
    if cells.dtype.is_float():
        return cells.set(~cells.is_finite().fill_null(False), None)
    return cells


def _guessed(name: str, cells: pl.Series, table: Table, settings: TableSettings) -> Guess:
    """Return what a column holds: what the settings say, else what its cells look like."""
    kinds = settings.kinds or {}
    separators = settings.separators or {}
    chosen = settings.columns is None or name in (*settings.columns, *kinds, *separators)
    if name in settings.exclude or not chosen:
        return Guess(
            "unused",
            left_out="excluded" if name in settings.exclude else "not among the columns chosen",
        )

    found = guess(name, cells.drop_nulls(), table.frame.height, name in table.sequences)
    if found.kind in _UNREADABLE:
        return found
    if name in separators:
        return Guess("path" if kinds.get(name) == "path" else "list", separators[name])

    kind = kinds.get(name)
    if kind not in (None, "list") and isinstance(cells.dtype, pl.List | pl.Array):
        raise ConfigError(
            f"kinds: column {name!r} of {table.name} holds lists and cannot be {kind!r}. Leave "
            "it a list, or exclude it."
        )
    if kind == "text":
        return Guess("text", left_out="kept as text of the items")

    if kind is not None:
        if kind == "path":
            return Guess(kind, found.separator if found.kind == "path" else ">")
        if kind == "list":
            return Guess(kind, found.separator or _given_list(name, cells, table))
        return Guess(kind)

    if found.left_out and settings.columns is not None:
        return Guess("category")

    return found


def _given_list(name: str, cells: pl.Series, table: Table) -> str:
    if cells.dtype == pl.String and not are_lists(cells).any():
        raise ConfigError(
            f"kinds: no separator was found in column {name!r} of {table.name}. Give it with "
            "separators."
        )
    return ""


def _flags(
    cells: Mapping[str, pl.Series], guesses: Mapping[str, Guess], settings: TableSettings
) -> dict[str, tuple[str, str]]:
    """Return relation and value of each column that is a flag of an attribute."""
    names = [
        name
        for name, found in guesses.items()
        if name not in (settings.kinds or {}) and _is_flag(cells[name], found)
    ]
    found = flag_groups(names)

    return {
        name: (settings.flags or group if group in UNNAMED else group, value)
        for group, columns in found
        for name, value in columns
    }


def _is_flag(cells: pl.Series, found: Guess) -> bool:
    if found.kind not in ("boolean", "constant") or cells.null_count():
        return False
    return bool(as_text(cells).str.to_lowercase().is_in(("0", "1", "true", "false")).all())


def _made(
    name: str,
    cells: pl.Series,
    found: Guess,
    flag: tuple[str, str] | None,
    table: Table,
    items: _Items,
    settings: TableSettings,
) -> _Made:
    """Return what a column became."""
    rows = pl.Series("row", np.arange(len(cells), dtype=np.int32))
    kept = pl.DataFrame([rows, cells.rename("cell")]).filter(
        pl.Series(items.row >= 0) & pl.col("cell").is_not_null()
    )
    report = TableColumn(table.name, name, found.kind, rows=kept.height, note=found.left_out)
    spaces = settings.spaces or {}
    single = kept.height <= len(items.keys) == len(items.row)

    if flag is not None:
        relation, value = flag
        yes = values_of("boolean", kept, Reading(None, settings.bins, False))[0].with_columns(
            label=pl.lit(value)
        )
        report = replace(report, kind="flag", relation=relation, note="rows that say yes")
        return _Made(report, yes, spaces.get(name, spaces.get(relation, relation)), single)

    if found.left_out:
        return _Made(replace(report, distinct=found.distinct), pl.DataFrame(schema=_NO_VALUES))

    values, note = values_of(
        found.kind, kept, Reading(found.separator, settings.bins, settings.years == "decade")
    )
    if found.kind in ("category", "list", "path"):
        values, note = _folded(name, values, note, settings)

    lost = (
        ()
        if found.kind in ("list", "path", "boolean")
        else _lost(kept, values, found.kind, name, table)
    )

    return _Made(
        replace(report, relation=name, note=note),
        values,
        spaces.get(name, name),
        single and found.kind not in ("list", "path"),
        lost,
        (found.separator or ">").strip() if found.kind == "path" else "",
    )


def _folded(
    name: str, values: pl.DataFrame, note: str, settings: TableSettings
) -> tuple[pl.DataFrame, str]:
    """Return values that differ by case or white space alone as one where that is wanted, else
    with a word about them.
    """
    counts = values["label"].value_counts(name="n").sort("n", "label", descending=[True, False])
    counts = counts.with_columns(plain=plain_form(counts["label"]))
    alike = counts.filter(pl.len().over("plain") > 1)
    if not alike.height:
        return values, note

    first = alike.filter(pl.col("plain") == alike["plain"][0])["label"].head(3)
    shown = ", ".join(first)
    if name not in settings.fold and "all" not in settings.fold:
        said = f"{alike.height} values differ by case or white space alone ({shown}): fold={name}"
    else:
        forms = alike.select("label", form=pl.col("label").first().over("plain"))
        changed = values["label"].replace(forms["label"], forms["form"])
        values = values.with_columns(label=changed)
        said = f"{alike.height} values folded ({shown})"

    return values, f"{note}; {said}" if note else said


def _lost(
    kept: pl.DataFrame, values: pl.DataFrame, kind: str, name: str, table: Table
) -> tuple[Dropped, ...]:
    """Return the cells that gave no value."""
    if values.height == kept.height:
        return ()
    cells = kept.join(values, on="row", how="anti", maintain_order="left")
    where = tuple(table.at(row) for row in cells["row"].head(_MOST_PLACES))
    return (Dropped("cells", f"no {kind}, in column {name} of {table.name}", cells.height, where),)


def _assembled(
    table: Table,
    items: _Items,
    known: Sequence[TableColumn],
    made: Sequence[_Made],
    settings: TableSettings,
) -> RawTriples:
    """Return the values of all columns as facts."""
    used = [one for one in made if one.report.relation]
    stated, values, cut = _numbered(
        items, used, settings.min_count or (2 if table.frame.height >= _RARE_FROM else 1)
    )
    values, levels = _levels(values, used, items)
    names = [one.report.relation for one in used] + [BROADER] * (len(levels) > 0)
    relations = {name: position for position, name in enumerate(dict.fromkeys(names))}
    first = len(items.keys)
    of_column = np.array([relations[one.report.relation] for one in used], dtype=np.int64)
    column = np.repeat(np.arange(len(used)), [len(row) for row, _ in stated])
    row = np.concatenate([np.empty(0, np.int32), *(row for row, _ in stated)])
    value = np.concatenate([np.empty(0, np.int64), *(value for _, value in stated)])
    labels = pl.concat(
        [
            pl.DataFrame(
                {"term": pl.int_range(first, dtype=pl.Int32, eager=True), "text": items.titles}
            ).drop_nulls(),
            values.select(term=(first + pl.col("value")).cast(pl.Int32), text="label"),
        ]
    )

    texts = [
        one.report
        for one in made
        if one.report.kind == "text" and (settings.kinds or {}).get(one.report.column) == "text"
    ]

    return RawTriples(
        sources=(table.name,) * max(1, len(used)),
        terms=pl.concat(
            [
                items.keys,
                values["key"].rename("key"),
                pl.Series("key", list(relations), dtype=pl.String),
            ]
        ),
        head=np.concatenate([items.row[row], first + levels[:, 0]]).astype(np.int32),
        relation=np.concatenate(
            [
                (first + values.height + of_column[column]) if used else column,
                np.full(len(levels), first + values.height + relations.get(BROADER, 0)),
            ]
        ).astype(np.int32),
        tail=np.concatenate([first + value, first + levels[:, 1]]).astype(np.int32),
        locator=np.concatenate(
            [table.line.cast(pl.Int64).to_numpy()[row], np.zeros(len(levels), dtype=np.int64)]
        ),
        labels=labels.with_columns(rank=pl.lit(0, dtype=pl.Int32)),
        types=values.select(term=(first + pl.col("value")).cast(pl.Int32), type="space"),
        attributes=_texts(table, items, [report.column for report in texts]),
        dropped=(
            *table.dropped,
            *_without_id(table, items),
            *(lost for one in made for lost in one.lost),
            *cut,
        ),
        source=np.concatenate([column, levels[:, 2]]).astype(np.uint16),
        formats=tuple(COLUMN + one.report.column for one in used) or ("",),
        counts=_counts(items),
        columns=(*known, *_reports(made, stated)),
    )


def _numbered(
    items: _Items, used: Sequence[_Made], least: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], pl.DataFrame, list[Dropped]]:
    """Return row and value of each column's statements, the values (``value``, ``key``, ``label``,
    ``space``), and what was cut.
    """
    stated: list[tuple[np.ndarray, np.ndarray]] = [
        (np.empty(0, np.int32), np.empty(0, np.int64))
    ] * len(used)
    values: list[pl.DataFrame] = []
    cut = []
    first = 0
    spaces: dict[str, list[int]] = {}
    for position, one in enumerate(used):
        spaces.setdefault(one.space, []).append(position)

    for space, members in spaces.items():
        labels, codes = _coded([used[position].values["label"] for position in members])
        rows = [used[position].values["row"].to_numpy() for position in members]
        said = [items.row[row] for row in rows]
        once = [
            _once(code, item, len(items.keys), used[position].single)
            for code, item, position in zip(codes, said, members, strict=True)
        ]
        together = [
            (code[mask], item[mask]) for code, item, mask in zip(codes, said, once, strict=True)
        ]
        counts = _items_of(together, len(labels), len(items.keys))
        kept = counts >= least
        if any(used[position].report.kind == "path" for position in members):
            kept[:] = True  # what few items have is near others by its upper levels

        position_of = np.where(kept, first + np.cumsum(kept) - 1, -1)

        for position, code, row, mask in zip(members, codes, rows, once, strict=True):
            mask &= kept[code]
            stated[position] = row[mask], position_of[code[mask]]

        if not kept.all():
            cut.append(
                Dropped(
                    "values", f"{space}: fewer than {least} items have them", int((~kept).sum())
                )
            )

        chosen = labels.filter(pl.Series(kept))
        values.append(
            pl.DataFrame({"label": chosen, "key": f"{space}=" + chosen}).with_columns(
                space=pl.lit(space)
            )
        )
        first += len(chosen)

    schema = {"label": pl.String, "key": pl.String, "space": pl.String}
    every = pl.concat([pl.DataFrame(schema=schema), *values]).with_row_index("value")
    return stated, every.with_columns(key=_free(every["key"], items.keys)), cut


def _levels(
    values: pl.DataFrame, used: Sequence[_Made], items: _Items
) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the values with the upper levels of paths, and which level is below which: value,
    the value above it, position of the column, int64 (n, 3).
    """
    marks = {
        one.space: (position, one.mark)
        for position, one in enumerate(used)
        if one.report.kind == "path"
    }
    known = {
        (space, label): value
        for value, label, space in values.select("value", "label", "space").iter_rows()
        if space in marks
    }
    further: list[tuple[str, str]] = []
    edges = []
    for space, label in list(known):
        position, mark = marks[space]
        below = label
        while f" {mark} " in below:
            above = below.rpartition(f" {mark} ")[0]
            new = (space, above) not in known
            if new:
                known[space, above] = values.height + len(further)
                further.append((above, space))

            edges.append((known[space, below], known[space, above], position))
            below = above
            if not new:
                break

    rows = np.array(edges, dtype=np.int64).reshape(-1, 3)
    if not further:
        return values, rows

    more = pl.DataFrame(further, schema={"label": pl.String, "space": pl.String}, orient="row")
    more = more.with_columns(key=pl.col("space") + "=" + pl.col("label"))
    numbers = np.arange(values.height, values.height + len(further))
    more = more.with_columns(value=pl.Series(numbers).cast(values.schema["value"]))
    more = more.with_columns(key=_free(more["key"], items.keys)).select(values.columns)
    return pl.concat([values, more]), rows


def _coded(columns: Sequence[pl.Series]) -> tuple[pl.Series, list[np.ndarray]]:
    """Return the distinct labels of some columns in order of first appearance, and the number of
    each label.
    """
    every = pl.concat(columns)
    labels = every.unique(maintain_order=True)
    numbers = pl.DataFrame({"label": labels, "number": np.arange(len(labels), dtype=np.int64)})
    found = (
        every.to_frame("label")
        .join(numbers, on="label", how="left", maintain_order="left")["number"]
        .to_numpy()
    )

    return labels, np.split(found, np.cumsum([len(column) for column in columns])[:-1])


def _once(value: np.ndarray, item: np.ndarray, items: int, single: bool) -> np.ndarray:
    """Return a mask of the first statement of each pair of value and item.

    All of them where a column says one thing of each item.
    """
    if single:
        return np.ones(len(value), dtype=bool)

    mask: np.ndarray = pl.Series(value * items + item).is_first_distinct().to_numpy().copy()
    return mask


def _items_of(
    columns: Sequence[tuple[np.ndarray, np.ndarray]], values: int, items: int
) -> np.ndarray:
    """Return of how many items each value is said."""
    if len(columns) == 1:
        return np.bincount(columns[0][0], minlength=values)

    pairs = (
        pl.Series(np.concatenate([value * items + item for value, item in columns]))
        .unique()
        .to_numpy()
    )

    return np.bincount(pairs // items, minlength=values)


def _free(keys: pl.Series, items: pl.Series) -> pl.Series:
    """Return the keys, with a prefix where an item has the same."""
    while (taken := keys.is_in(items.implode())).any():
        keys = pl.select(
            pl.when(taken).then("value:" + pl.lit(keys)).otherwise(pl.lit(keys)).alias("key")
        ).to_series()
    return keys


def _without_id(table: Table, items: _Items) -> tuple[Dropped, ...]:
    lost = np.flatnonzero(items.row < 0)
    where = tuple(table.at(int(row)) for row in lost[:_MOST_PLACES])
    if len(lost):
        return (Dropped("rows", f"without an item id in {table.name}", len(lost), where),)
    return ()


def _counts(items: _Items) -> dict[str, int]:
    rows = int((items.row >= 0).sum())
    counts = {
        "items in the table": len(items.keys),
        "rows of an item that an earlier row names": rows - len(items.keys),
    }
    alike = look_alikes(items.keys)
    counts["item ids that look like another one of the table"] = alike
    return {name: count for name, count in counts.items() if count}


def _texts(table: Table, items: _Items, columns: Sequence[str]) -> pl.DataFrame:
    """Return the cells of columns of text as attributes of the items."""
    schema = {
        "term": pl.Int32,
        "name": pl.String,
        "value": pl.String,
        "datatype": pl.String,
        "language": pl.String,
    }

    parts = [
        pl.DataFrame(
            {
                "term": items.row,
                "name": [column] * len(items.row),
                "value": as_text(table.frame[column]),
            }
        )
        .filter((pl.col("term") >= 0) & pl.col("value").is_not_null())
        .with_columns(datatype=pl.lit(_STRING), language=pl.lit(""))
        for column in columns
    ]

    return pl.concat([pl.DataFrame(schema=schema), *parts])


def _reports(
    made: Sequence[_Made], stated: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[TableColumn]:
    """Return what is said of each column, counted."""
    counted = iter(stated)
    reports = []

    for one in made:
        if one.report.relation:
            values = next(counted)[1]
        else:
            values = None

        if values is None:
            counts = (0, one.report.distinct)
        else:
            counts = (len(values), pl.Series(values).n_unique())

        reports.append(replace(one.report, triples=counts[0], distinct=counts[1]))

    return reports
