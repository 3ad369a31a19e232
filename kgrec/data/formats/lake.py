"""Folders of Parquet parts, as Spark, Ray Data, Dask, DuckDB and the like write them.

    DIR/interactions/*.parquet  user, item: text or whole number; time: whole number; weight: number;
                                split: train, valid or test
    DIR/triples/*.parquet       head, relation, tail: text
    DIR/links.parquet           item: text or whole number; entity: text
    DIR/labels.parquet          entity, label: text; lang: text
    DIR/manifest.json           {"format": "kgrec-lake", "version": 1,
                                 "files": {"triples/a.parquet": {"rows": 7, "sha256": "..."}}}

Any number of parts in any order; other columns are left. One of the two folders must be there, all
else may be missing, and so may the columns behind the first two of the interactions and ``lang``.
"""

import glob
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats.base import Format
from kgrec.data.graphs.assemble import RawTriples, assemble
from kgrec.data.graphs.kept_labels import LABEL_PREDICATES
from kgrec.data.io.files import existing, listed, read_record, sha256
from kgrec.data.io.folders import MANIFEST
from kgrec.data.io.writing import write_file
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.parts import PARTS
from kgrec.data.records.triples import Triples
from kgrec.data.tables.columnar import lazy_parquet, parquet_height
from kgrec.data.tables.partitions import keys_of
from kgrec.errors import CheckpointError, FormatError
from kgrec.log import progress

_TEXT = "text"
_KEY = "text or whole numbers"
_WHOLE = "whole numbers"
_NUMBER = "numbers"
_TABLES: Mapping[str, Mapping[str, str]] = {
    "interactions": {
        "user": _KEY,
        "item": _KEY,
        "time": _WHOLE,
        "weight": _NUMBER,
        "split": _TEXT,
    },
    "triples": {"head": _TEXT, "relation": _TEXT, "tail": _TEXT},
    "links": {"item": _KEY, "entity": _TEXT},
    "labels": {"entity": _TEXT, "label": _TEXT, "lang": _TEXT},
}
_OPTIONAL = ("time", "weight", "split", "lang")
_FOLDERS = ("interactions", "triples")
_PICKLES = ("pkl", "pickle", "pt", "pth", "joblib", "npy", "npz")
_KIND, _VERSION = "kgrec-lake", 1
_LONGEST = 1 << 26
_ROWS = 1 << 20
_MOST = 20


@dataclass(frozen=True, slots=True)
class LakeReport:
    """What a folder of parts holds, and what is wrong with it.

    Attributes:
        files: Number of parts of each table.
        rows: Number of rows of each table.
        problems: What is wrong, a sentence each.
        notes: What is left unread.
        manifest: Whether there is a manifest.
    """

    files: dict[str, int]
    rows: dict[str, int]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    manifest: bool

    def summary(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "files": self.files,
            "rows": self.rows,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "manifest": self.manifest,
        }


def recognize(folder: Path) -> bool:
    """Return whether a folder has a folder of interactions or triples in Parquet."""
    return any(any((folder / name).glob("*.parquet")) for name in _FOLDERS)


def check_lake(
    path: str | os.PathLike[str], *, values: bool = True, manifest: bool = True
) -> LakeReport:
    """Check a folder of parts.

    Args:
        path: The folder.
        values: Whether the cells are read as well, and not only what the files say of themselves
            and their sums.
        manifest: Whether the manifest is compared, where there is one.

    Raises:
        MissingFileError: If there is no such folder.
    """
    folder = existing(path, folder=True)
    problems: list[str] = []
    notes: list[str] = []
    parts = _parts(folder, problems, notes)
    rows: dict[str, int] = {}
    heights: dict[str, int] = {}
    for table, files in parts.items():
        sound = _check_schemas(table, folder, files, problems, notes)
        heights |= sound
        rows[table] = sum(sound.values())
        if values:
            for name in sound:
                _check_values(table, folder, name, problems)

        if len(sound) == len(files) and not rows[table] and table in _FOLDERS:
            problems.append(f"{folder / table}: no rows. Write at least one.")

    there = manifest and (folder / MANIFEST).exists()
    if there:
        _check_manifest(folder, heights, [n for files in parts.values() for n in files], problems)

    counts = {table: len(found) for table, found in parts.items()}
    return LakeReport(counts, rows, tuple(problems), tuple(notes), there)


def write_manifest(path: str | os.PathLike[str]) -> None:
    """Write rows and SHA-256 of every part of a folder into its manifest."""
    folder = Path(path)
    files = [name for names in _parts(folder, [], []).values() for name in names]
    entries = {
        name: {"rows": parquet_height([folder / name]), "sha256": sha256(folder / name)}
        for name in files
    }
    text = json.dumps({"format": _KIND, "version": _VERSION, "files": entries}, indent=1)
    write_file(folder / MANIFEST, lambda goal: goal.write_text(text + "\n", encoding="utf-8"))


def _parts(folder: Path, problems: list[str], notes: list[str]) -> dict[str, list[str]]:
    """Return the parts of each table, by their names within the folder."""
    found: dict[str, list[str]] = {}
    for table in _TABLES:
        if table in _FOLDERS:
            place = folder / table
            paths = sorted(place.rglob("*")) if place.is_dir() else []
            names = [p.relative_to(folder).as_posix() for p in paths if p.is_file()]
        else:
            names = [f"{table}.parquet"] if (folder / f"{table}.parquet").is_file() else []

        names = [n for n in names if not any(part[0] in "._" for part in n.split("/"))]
        other = [name for name in names if not name.endswith(".parquet")]
        problems.extend(_stranger(folder / name) for name in other)
        names = [name for name in names if name not in other]
        if names:
            found[table] = names

    if not found.keys() & set(_FOLDERS):
        problems.append(
            f"{folder}: neither interactions/*.parquet nor triples/*.parquet. Write one of them."
        )

    known = {*_FOLDERS, "links.parquet", "labels.parquet", MANIFEST}
    for path in sorted(folder.iterdir()):
        if path.name in known or path.name[0] in "._":
            continue
        if path.suffix[1:].lower() in _PICKLES:
            problems.append(_stranger(path))
        else:
            notes.append(f"{path}: not part of the contract, left unread.")

    return found


def _stranger(path: Path) -> str:
    if path.suffix[1:].lower() in _PICKLES:
        return f"{path}: a pickle or array file, which may run code and is never opened. Remove it."
    return f"{path}: is no .parquet file. Remove it, or write it as Parquet."


def _schema(path: Path) -> dict[str, Any]:
    return dict(lazy_parquet(path).collect_schema())


def _check_schemas(
    table: str, folder: Path, files: list[str], problems: list[str], notes: list[str]
) -> dict[str, int]:
    """Return the rows of the parts that are sound, and note what is wrong with the others."""
    sound: dict[str, int] = {}
    first: dict[str, Any] = {}
    if len({frozenset(keys_of(Path(name))) for name in files}) > 1:
        problems.append(
            f"{folder / table}: some parts are in folders such as day=7, others are not. Write all "
            "of them alike."
        )

    for name in files:
        path = folder / name
        try:
            schema = _schema(path)
            height = parquet_height([path])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            problems.append(
                f"{path}: no readable Parquet file ({path.stat().st_size:,} bytes): cut short, "
                "damaged or of another format. Write it again."
            )
            continue

        wrong = list(_wrong_columns(table, schema))
        wanted = {column: kind for column, kind in schema.items() if column in _TABLES[table]}
        if not wrong and first and _shape(wanted) != _shape(first):
            wrong = [
                f"two schemas: {_said(wanted)} here, {_said(first)} in {files[0]}. Write all "
                "parts with one"
            ]

        problems += [f"{path}: {words}." for words in wrong]
        if not wrong:
            sound[name] = height
            if not first:
                further = sorted(set(schema) - set(_TABLES[table]))
                first = wanted
                if further:
                    notes.append(f"{table}: columns left unread: {listed(further)}.")

    return sound


def _shape(schema: Mapping[str, Any]) -> dict[str, bool]:
    """Return columns and whether they are text: integers of other widths are alike."""
    return {column: kind == pl.String for column, kind in sorted(schema.items())}


def _said(schema: Mapping[str, Any]) -> str:
    return ", ".join(f"{column} ({kind})" for column, kind in schema.items())


def _wrong_columns(table: str, schema: Mapping[str, Any]) -> Iterator[str]:
    for column, kind in _TABLES[table].items():
        found = schema.get(column)
        if found is None:
            if column not in _OPTIONAL:
                yield f"no column {column!r} ({kind}). Found: {listed(list(schema), 12)}"
        elif found.is_nested():
            yield f"column {column!r} is nested ({found}). Write plain {kind}, a row for each"
        elif not _fits(found, kind):
            yield f"column {column!r} is {found}, not {kind}. Cast it before writing"


def _fits(found: Any, kind: str) -> bool:
    if kind == _NUMBER:
        return bool(found.is_numeric())
    if kind == _WHOLE:
        return bool(found.is_integer())
    return found == pl.String or (kind == _KEY and bool(found.is_integer()))


def _check_values(table: str, folder: Path, name: str, problems: list[str]) -> None:
    """Read a part, and note cells that are empty or out of range."""
    path = folder / name
    schema = _schema(path)
    columns = [column for column in _TABLES[table] if column in schema]
    bad = [
        (column, words, where)
        for column in columns
        for words, where in _bad(column, schema[column])
    ]
    counts = np.zeros(len(bad), dtype=np.int64)
    lazy = lazy_parquet(path).select(columns)
    checks = [where.sum().alias(str(number)) for number, (_, _, where) in enumerate(bad)]
    try:
        with progress(f"checking {name}", parquet_height([path])) as bar:
            done = 0
            for block in lazy.collect_batches(chunk_size=_ROWS, maintain_order=True):
                counts += np.array(block.select(checks).row(0), dtype=np.int64)
                done += block.height
                bar.update(done)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        problems.append(f"{path}: cannot be read to its end ({reason}). Write it again.")
        return

    for (column, words, _), count in zip(bad, counts.tolist(), strict=True):
        if count:
            problems.append(f"{path}: column {column!r}: {count:,} {words}.")


def _bad(column: str, kind: Any) -> list[tuple[str, pl.Expr]]:
    """Return what cells of a column must not be, in words and as a condition."""
    cells = pl.col(column)
    found = []
    if column not in ("lang", "label"):
        found.append(("empty cells. Leave these rows out, or fill them", cells.is_null()))
    if kind == pl.String and column not in ("lang", "label", "split"):
        found.append(("empty texts. Leave these rows out", (cells == "").fill_null(False)))
    if column == "split":
        wrong = ~cells.is_in(list(PARTS)).fill_null(True)
        found.append((f"cells are none of {', '.join(PARTS)}", wrong))
    if column == "weight":
        wrong = (cells < 0) | ~cells.cast(pl.Float64).is_finite()
        found.append(("weights are negative or no numbers", wrong.fill_null(False)))
    if column in ("user", "item") and kind != pl.String:
        found.append(("ids are negative. Write such ids as text", (cells < 0).fill_null(False)))
    return found


def _check_manifest(
    folder: Path, heights: Mapping[str, int], files: list[str], problems: list[str]
) -> None:
    path = folder / MANIFEST
    try:
        record = read_record(path, _LONGEST)
    except CheckpointError as error:
        problems.append(str(error))
        return

    entries = record.get("files")
    if (record.get("format"), record.get("version")) != (_KIND, _VERSION) or not isinstance(
        entries, dict
    ):
        problems.append(
            f"{path}: is not the manifest of such a folder: expected format {_KIND!r}, version "
            f"{_VERSION} and files. Write it with kgrec check-folder --write-manifest."
        )
        return

    for name in files:
        entry = entries.get(name)
        if not isinstance(entry, dict):
            problems.append(f"{path}: does not name {name}. Write the manifest last.")
        elif name in heights and entry.get("rows") != heights[name]:
            problems.append(
                f"{folder / name}: {heights[name]:,} rows, not {str(entry.get('rows'))[:20]} as the "
                "manifest says. Write it again."
            )
        elif entry.get("sha256") != sha256(folder / name):
            problems.append(
                f"{folder / name}: its SHA-256 is not the manifest's: changed or damaged. Write it "
                "again."
            )

    gone = sorted(set(map(str, entries)) - set(files))[:_MOST]
    problems.extend(
        f"{path}: names {name[:80]!r}, which is not there. Copy the folder whole." for name in gone
    )


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of parts, once it is sound.

    Raises:
        FormatError: If something is wrong with it, the cells apart, which are read later on.
    """
    report = check_lake(folder, values=False)
    if report.problems:
        others = len(report.problems) - 1
        more = f" ({others:,} more: kgrec check-folder lists them)" if others else ""
        raise FormatError(f"{report.problems[0]}{more}")

    parts = _parts(folder, [], [])
    given: dict[str, Any] = {}
    if "interactions" in parts:
        given |= _interactions(folder, parts["interactions"])
    elif "triples" in parts:
        given["held"] = {}

    graphs: list[object] = []
    if "triples" in parts:
        graphs.append(f"{glob.escape(str(folder))}/triples/**/*.parquet")
    if "labels" in parts and graphs:
        graphs.append(_labels(folder / "labels.parquet"))
    if "links" in parts and graphs:
        links = lazy_parquet(folder / "links.parquet").select("item", "entity").collect()
        given["links"] = links.cast(pl.String)

    return DatasetSources(**given, kg=tuple(graphs) or None, name=folder.resolve().name)


def _interactions(folder: Path, files: list[str]) -> dict[str, Any]:
    """Return the log, or the parts of the split that a column names."""
    source = str(folder / "interactions")
    columns = _schema(folder / files[0])
    names = [name for name in ("user", "item", "time", "weight") if name in columns]
    named: dict[str, Any] = dict(zip(names, names, strict=True))
    if "split" not in columns:
        return {"interactions": source, **named}

    wanted = [name for name in ("user", "item", "time") if name in columns]
    frame = pl.concat(
        [
            lazy_parquet(folder / name)
            .select(*wanted, "split")
            .cast({"user": pl.String, "item": pl.String})
            .collect()
            for name in files
        ],
        how="vertical_relaxed",
    )
    if "time" in wanted:
        frame = frame.cast({"time": pl.Float64})

    if frame.null_count().sum_horizontal()[0]:
        raise FormatError(f"{source}: empty cells. kgrec check-folder says in which part.")

    split = {
        part: InteractionLog(frame.filter(pl.col("split") == part).drop("split"), (source,))
        for part in PARTS
        if (frame["split"] == part).any()
    }
    other = frame.filter(~pl.col("split").is_in(list(PARTS)))
    if other.height:
        raise FormatError(
            f"{source}: split {str(other['split'][0])[:40]!r} is none of {', '.join(PARTS)}."
        )

    return split


def _labels(path: Path) -> Triples:
    """Return labels as a graph without triples, English ones preferred, then those without a
    language.
    """
    frame = lazy_parquet(path).collect()
    if "lang" not in frame.columns:
        frame = frame.with_columns(lang=pl.lit(None, dtype=pl.String))

    frame = frame.filter(pl.col("entity").is_not_null() & pl.col("label").is_not_null())
    terms = frame["entity"].unique().sort()
    number = pl.DataFrame({"entity": terms, "term": np.arange(len(terms), dtype=np.int32)})
    rows = frame.join(number, on="entity", maintain_order="left")
    tag = pl.col("lang").fill_null("").str.to_lowercase()
    rank = pl.when(tag.str.starts_with("en")).then(0).when(tag == "").then(1).otherwise(2)
    nothing = np.empty(0, dtype=np.int64)
    raw = RawTriples(
        (str(path),),
        terms,
        nothing,
        nothing,
        nothing,
        nothing,
        labels=rows.select("term", text="label", rank=rank.cast(pl.Int32)),
        attributes=rows.select(
            "term",
            name=pl.lit(LABEL_PREDICATES[0]),
            value="label",
            datatype=pl.lit(None, dtype=pl.String),
            language=pl.col("lang"),
        ),
    )
    return assemble([raw], keep_labels=LABEL_PREDICATES[:1])


LAKE = Format(
    "lake",
    "interactions/*.parquet or triples/*.parquet, with links.parquet and labels.parquet",
    recognize,
    read,
)
