"""Store a dataset as a folder: JSON for people, Parquet for tables, ``.npy`` for arrays."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from kgrec.data.io.files import FilePath, bare_suffix, read_record, write_parquet
from kgrec.data.io.folders import check_folder, combined_sum, new_folder
from kgrec.data.io.mapped import blocks
from kgrec.data.rdf.reader import FORMATS as RDF
from kgrec.data.records.content import Content, Impressions, Vectors
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.parts import PARTS
from kgrec.data.records.report import BuildReport, Dropped
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.records.wording import Wording
from kgrec.errors import CheckpointError, DataError
from kgrec.process import refuse_after_fork, return_freed_memory

KIND = "dataset"
VERSION = 1

_ABOUT = "dataset.json"
_NPY_START = 512
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00[\x00-\xff]{2}"
    rb"\{'descr': '(?P<dtype>[<|]\w\d)', 'fortran_order': False, 'shape': \((?P<shape>[\d, "
    rb"]{1,40})\), \} *\n"
)
_KEYED = {"key": pl.String, "label": pl.String}
_TYPES = {"entity": pl.Int32, "type": pl.String}
_ATTRIBUTES = {
    "entity": pl.Int32,
    "name": pl.String,
    "value": pl.String,
    "datatype": pl.String,
    "language": pl.String,
}
_TEXT = {"text": pl.String}
_KEY = {"key": pl.String}
_HELD = ("valid", "test")


def save_dataset(dataset: Dataset, path: FilePath) -> Dataset:
    """Write a dataset as a folder, whole or not at all, and return it as stored there.

    Raises:
        CheckpointError: If something that is not a dataset stands at ``path``.
    """
    refuse_after_fork(f"{path}: writing a dataset or run")
    with new_folder(path, KIND, VERSION) as folder:
        triples = dataset.triples
        _write_table(folder, "users", dataset.users.series, dataset.user_labels)
        _write_table(folder, "items", dataset.items.series, None)
        _write_table(folder, "entities", triples.entities.series, triples.labels)
        _write_table(folder, "relations", triples.relations.series, triples.relation_labels)
        write_parquet(triples.types.select(list(_TYPES)), folder / "types.parquet")
        write_parquet(triples.attributes.select(list(_ATTRIBUTES)), folder / "attributes.parquet")

        if len(triples.graph):
            write_parquet(
                pl.DataFrame({"key": triples.graphs.cast(pl.String)}), folder / "graphs.parquet"
            )

        for name, column in _texts_of(dataset.content).items():
            write_parquet(column.to_frame(), folder / f"{name}.parquet")

        for name, array in (_arrays(dataset) | _further_arrays(dataset)).items():
            _write_array(folder / f"{name}.npy", np.ascontiguousarray(array))

        (folder / _ABOUT).write_text(
            json.dumps(_about(dataset), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    return_freed_memory()
    return _opened(path, written=True)


def _about(dataset: Dataset) -> dict[str, Any]:
    about = {
        "name": dataset.name,
        "settings": dataset.settings,
        "report": {k: v for k, v in asdict(dataset.report).items() if k != "roles"},
        "sources": list(dataset.triples.sources),
        "formats": list(dataset.triples.formats),
        "read": dict(dataset.triples.counts),
        "dropped": [asdict(d) for d in dataset.triples.dropped],
    }
    if dataset.wording != Wording():
        about["wording"] = dataset.wording.to_dict()

    return about


def _write_table(folder: Path, name: str, keys: pl.Series, labels: pl.Series | None) -> None:
    if labels is None:
        label_column = pl.Series("label", [None] * len(keys), dtype=pl.String)
    else:
        label_column = labels.cast(pl.String)
    write_parquet(pl.DataFrame({"key": keys, "label": label_column}), folder / f"{name}.parquet")


def _write_array(path: Path, array: np.ndarray) -> None:
    """Write what ``numpy.save`` would.

    A full disk is the system's own error, which ``numpy.save`` rewords.
    """
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, np.lib.format.header_data_from_array_1_0(array)
        )
        for block in blocks(array):
            stream.write(block.reshape(-1).view(np.uint8).data)


def _arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    triples = dataset.triples
    arrays = {
        "triple_head": triples.head,
        "triple_relation": triples.relation,
        "triple_tail": triples.tail,
        "triple_source": triples.source,
        "triple_locator": triples.locator,
        "user_facts": dataset.user_facts,
    }
    if len(triples.graph):
        arrays |= {"triple_graph": triples.graph}

    for name, part in zip(PARTS, (dataset.train, dataset.valid, dataset.test), strict=True):
        arrays |= _columns(name, part)

    return arrays


def _columns(name: str, part: Interactions | Impressions) -> dict[str, np.ndarray]:
    """Return the columns of a record of arrays by file name."""
    columns = {column.name: getattr(part, column.name) for column in fields(part)}
    return {f"{name}_{column}": array for column, array in columns.items() if array is not None}


def _texts_of(content: Content) -> dict[str, pl.Series]:
    """Return the columns of text by file name, only those that are there."""
    columns: dict[str, pl.Series] = {}
    if content.texts is not None:
        columns["texts"] = content.texts.cast(pl.String).rename("text")

    for name, vectors in (("words", content.words), ("entity_vectors", content.entities)):
        if vectors is not None:
            columns[name] = vectors.keys.cast(pl.String).rename("key")

    return columns


def _further_arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the arrays that not every dataset has."""
    content = dataset.content
    arrays: dict[str, np.ndarray] = {}
    if len(content.mentions):
        arrays["mentions"] = content.mentions

    if content.features is not None:
        arrays["features"] = content.features

    for name, vectors in (("words", content.words), ("entity_vectors", content.entities)):
        if vectors is not None:
            arrays[name] = vectors.values

    for part in PARTS:
        if part in dataset.negatives:
            arrays |= _columns(f"negatives_{part}", dataset.negatives[part])
        if part in dataset.impressions:
            arrays |= _columns(f"impressions_{part}", dataset.impressions[part])

    return arrays | {
        f"held_triples_{part}": dataset.held_triples[part]
        for part in _HELD
        if part in dataset.held_triples
    }


def open_dataset(path: FilePath) -> Dataset:
    """Return the dataset stored in a folder, every file checked against its sum.

    Arrays stay on disk, memory-mapped.

    Raises:
        MissingFileError: If there is no such folder.
        CheckpointError: If the folder is not a dataset, of another version, damaged, or contradicts
            itself.
    """
    return _opened(path, written=False)


def _opened(path: FilePath, *, written: bool) -> Dataset:
    refuse_after_fork(f"{path}: opening a dataset or run")
    sums = check_folder(path, KIND, VERSION, written=written)
    opened = _Opened(Path(path), frozenset(sums))

    try:
        return _assemble(opened, str(path), combined_sum(sums))
    except CheckpointError:
        raise
    except DataError as error:
        raise CheckpointError(f"{path}: {error} Build the dataset again.") from None
    except (
        *(KeyError, TypeError, ValueError, AttributeError, OverflowError),
        msgspec.ValidationError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{opened.folder / _ABOUT}: a field is missing or of the wrong kind ({reason}). "
            "Build the dataset again."
        ) from None


def _assemble(opened: "_Opened", path: str, checksum: str) -> Dataset:
    about = opened.about()
    (users, user_labels), (items, _) = opened.keyed("users", "user"), opened.keyed("items", "item")
    (entities, labels), (relations, relation_labels) = (
        opened.keyed("entities", "entity"),
        opened.keyed("relations", "relation"),
    )
    if len(entities) < len(items):
        raise CheckpointError(
            f"{path}: {len(entities)} entities for {len(items)} items. Build the dataset again."
        )

    sources = _texts(about["sources"])
    size = opened.length("triple_head")
    triples = Triples(
        entities,
        relations,
        head=opened.rows("triple_head", np.int32, size, len(entities)),
        relation=opened.rows("triple_relation", np.int32, size, len(relations)),
        tail=opened.rows("triple_tail", np.int32, size, len(entities)),
        source=opened.rows("triple_source", np.uint16, size, max(len(sources), 1)),
        locator=opened.array("triple_locator", np.int64, (size,)),
        sources=sources,
        labels=labels,
        relation_labels=relation_labels,
        types=opened.described("types", _TYPES, len(entities)),
        attributes=opened.described("attributes", _ATTRIBUTES, len(entities)),
        dropped=msgspec.convert(about["dropped"], tuple[Dropped, ...]),
        formats=_texts(about["formats"]) if "formats" in about else _former_formats(sources),
        counts={str(name): int(count) for name, count in about.get("read", {}).items()},
        **_graphs(opened, size),
    )
    sizes = len(users), len(items)
    train, valid, test = (opened.part(name, *sizes) for name in PARTS)

    return Dataset(
        name=str(about["name"]),
        users=users,
        items=items,
        triples=triples,
        train=train,
        valid=valid,
        test=test,
        user_facts=opened.numbered("user_facts", (len(users), len(relations), len(entities))),
        user_labels=None if user_labels.null_count() == len(user_labels) else user_labels,
        content=_content(opened, len(items), len(entities)),
        negatives={
            name: opened.part(f"negatives_{name}", *sizes)
            for name in PARTS
            if opened.has(f"negatives_{name}_user.npy")
        },
        impressions={
            name: _impressions(opened, name, *sizes)
            for name in PARTS
            if opened.has(f"impressions_{name}_user.npy")
        },
        held_triples={
            name: opened.numbered(
                f"held_triples_{name}", (len(entities), len(relations), len(entities))
            )
            for name in _HELD
            if opened.has(f"held_triples_{name}.npy")
        },
        report=msgspec.convert(about["report"], BuildReport),
        settings=dict(about["settings"]),
        wording=Wording.from_dict(about.get("wording", {})),
        path=path,
        checksum=checksum,
    )


def _graphs(opened: "_Opened", size: int) -> dict[str, Any]:
    """Return which graph each triple stands in, where there are named ones."""
    if not opened.has("triple_graph.npy"):
        return {}

    graphs = Vocabulary(opened.strings("graphs", _KEY), kind="graph").series

    return {
        "graph": opened.rows("triple_graph", np.int32, size, len(graphs), first=-1),
        "graphs": graphs.rename("graph"),
    }


def _former_formats(sources: Sequence[str]) -> tuple[str, ...]:
    """Return formats for a dataset of kgrec 0.1.0, which counted the statements of every RDF
    file.
    """
    return tuple("RDF" if bare_suffix(source) in RDF else "" for source in sources)


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _content(opened: "_Opened", items: int, entities: int) -> Content:
    texts = features = None
    mentions = Content().mentions
    if opened.has("texts.parquet"):
        texts = opened.strings("texts", _TEXT)

    if texts is not None and len(texts) != items:
        raise CheckpointError(
            f"{opened.folder / 'texts.parquet'}: {len(texts)} texts for {items} items. Build the "
            "dataset again."
        )

    if opened.has("mentions.npy"):
        mentions = _mentions(opened, texts, items, entities)

    if opened.has("features.npy"):
        features = opened.finite("features", (items, None))

    return Content(
        texts=texts,
        mentions=mentions,
        features=features,
        words=_vectors(opened, "words"),
        entities=_vectors(opened, "entity_vectors"),
    )


def _mentions(opened: "_Opened", texts: pl.Series | None, items: int, entities: int) -> np.ndarray:
    path = opened.folder / "mentions.npy"
    if texts is None:
        raise CheckpointError(f"{path}: mentions without texts. Build the dataset again.")

    lengths = texts.str.len_chars().fill_null(0).to_numpy()
    if len(lengths):
        longest = int(lengths.max()) + 1
    else:
        longest = 0

    mentions = opened.numbered("mentions", (items, longest, longest, entities))
    if (mentions[:, 1] >= mentions[:, 2]).any() or (mentions[:, 2] > lengths[mentions[:, 0]]).any():
        raise CheckpointError(
            f"{path}: a mention that is no part of its text. Build the dataset again."
        )

    return mentions


def _vectors(opened: "_Opened", name: str) -> Vectors | None:
    if not opened.has(f"{name}.parquet"):
        return None
    keys = Vocabulary(opened.strings(name, _KEY), kind=name).series
    return Vectors(keys, opened.finite(name, (len(keys), None)))


def _impressions(opened: "_Opened", part: str, users: int, items: int) -> Impressions:
    name = f"impressions_{part}"
    size, shown, read = (
        opened.length(f"{name}_{column}") for column in ("user", "item", "history")
    )
    return Impressions(
        user=opened.rows(f"{name}_user", np.int32, size, users),
        time=opened.optional(f"{name}_time", np.float64, size),
        start=opened.starts(f"{name}_start", size, shown),
        item=opened.rows(f"{name}_item", np.int32, shown, items),
        clicked=opened.flags(f"{name}_clicked", shown),
        history_start=opened.starts(f"{name}_history_start", size, read),
        history=opened.rows(f"{name}_history", np.int32, read, items),
    )


def _in_order(part: Interactions) -> bool:
    """Return whether interactions are sorted by user, then time, those without a time last."""
    if part.time is None:
        return all((user[1:] >= user[:-1]).all() for user in blocks(part.user, 1))

    for user, time in zip(blocks(part.user, 1), blocks(part.time, 1), strict=True):
        within = (user[1:] == user[:-1]) & ((time[1:] >= time[:-1]) | np.isnan(time[1:]))
        if not ((user[1:] > user[:-1]) | within).all():
            return False

    return True


class _Opened:
    """Reads the files of a folder whose sums hold; believes nothing else about them.

    Array files are read by their exact form rather than with ``numpy.load``, which would also take
    older and looser ones.
    """

    def __init__(self, folder: Path, names: frozenset[str]) -> None:
        self.folder = folder
        self._names = names

    def has(self, name: str) -> bool:
        return name in self._names

    def _path(self, name: str) -> Path:
        if name not in self._names:
            raise CheckpointError(
                f"{self.folder / name}: not in the manifest. Build the dataset again."
            )
        return self.folder / name

    def about(self) -> dict[str, Any]:
        return read_record(self._path(_ABOUT))

    def _frame(self, name: str, schema: dict[str, Any]) -> pl.DataFrame:
        path = self._path(f"{name}.parquet")
        try:
            frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise CheckpointError(
                f"{path}: not a readable Parquet file. Build the dataset again."
            ) from None

        if dict(frame.schema) != schema:
            raise CheckpointError(
                f"{path}: its columns are not {', '.join(schema)}. Build the dataset again."
            )

        return frame

    def keyed(self, name: str, kind: str) -> tuple[Vocabulary, pl.Series]:
        frame = self._frame(name, _KEYED)
        return Vocabulary(frame["key"], kind=kind), frame["label"]

    def described(self, name: str, schema: dict[str, Any], entities: int) -> pl.DataFrame:
        frame = self._frame(name, schema)
        self._check_range(f"{name}.parquet", frame["entity"].to_numpy(), entities)

        if frame["entity"].null_count():
            raise CheckpointError(
                f"{self.folder / name}.parquet: a row without an entity. Build the dataset again."
            )

        return frame

    def array(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> np.ndarray:
        path = self._path(f"{name}.npy")
        with open(path, "rb") as stream:
            start = stream.read(_NPY_START)

        found = _NPY_HEADER.match(start)
        if found:
            have = tuple(int(size) for size in found["shape"].split(b",") if size.strip())
        else:
            have = ()

        fits = len(have) == len(shape) and all(
            want in (None, size) for want, size in zip(shape, have, strict=True)
        )
        if not found or found["dtype"].decode() != np.dtype(dtype).str or not fits:
            raise CheckpointError(
                f"{path}: not an array of {np.dtype(dtype)} with the shape expected. Build the "
                "dataset again."
            )
        if path.stat().st_size != found.end() + math.prod(have) * np.dtype(dtype).itemsize:
            raise CheckpointError(
                f"{path}: its length is not that of its shape {have}. Build the dataset again."
            )
        if not math.prod(have):
            return np.empty(have, dtype=dtype)

        return np.memmap(path, dtype=dtype, mode="r", offset=found.end(), shape=have)

    def length(self, name: str) -> int:
        return len(self.array(name, np.int32, (None,)))

    def _check_range(self, name: str, rows: np.ndarray, below: int, first: int = 0) -> None:
        if len(rows) and not all(
            some.min() >= first and some.max() < below for some in blocks(rows)
        ):
            raise CheckpointError(
                f"{self.folder / name}: a row number outside {first}..{below - 1}. Build the "
                "dataset again."
            )

    def rows(self, name: str, dtype: Any, size: int, below: int, first: int = 0) -> np.ndarray:
        array = self.array(name, dtype, (size,))
        self._check_range(f"{name}.npy", array, below, first)
        return array

    def optional(self, name: str, dtype: Any, size: int) -> np.ndarray | None:
        return self.array(name, dtype, (size,)) if self.has(f"{name}.npy") else None

    def _time_type(self, name: str) -> Any:
        """Return the type of a part's times: int64 where float64 does not hold them."""
        if not self.has(f"{name}_time.npy"):
            return np.float64

        with open(self._path(f"{name}_time.npy"), "rb") as stream:
            found = _NPY_HEADER.match(stream.read(_NPY_START))

        return np.int64 if found and found["dtype"] == b"<i8" else np.float64

    def part(self, name: str, users: int, items: int) -> Interactions:
        size = self.length(f"{name}_user")
        further = {
            column: self.optional(f"{name}_{column}", dtype, size)
            for column, dtype in (
                ("time", self._time_type(name)),
                ("rating", np.float32),
                ("weight", np.float32),
                ("event", np.int16),
            )
        }
        user = self.rows(f"{name}_user", np.int32, size, users)
        item = self.rows(f"{name}_item", np.int32, size, items)
        found = Interactions(user, item, **further)
        if not _in_order(found):
            raise CheckpointError(
                f"{self.folder / name}_user.npy: not sorted by user, and by time within a user. "
                "Build the dataset again."
            )

        return found

    def numbered(self, name: str, below: tuple[int, ...]) -> np.ndarray:
        """Return an array of rows whose columns count things of which there are so many."""
        rows = self.array(name, np.int32, (None, len(below)))
        for column, end in enumerate(below):
            self._check_range(f"{name}.npy", rows[:, column], end)
        return rows

    def starts(self, name: str, lists: int, size: int) -> np.ndarray:
        """Return where each of the lists begins that together have ``size`` members."""
        starts = self.array(name, np.int64, (lists + 1,))
        if starts[0] != 0 or starts[-1] != size or (np.diff(starts) < 0).any():
            raise CheckpointError(
                f"{self.folder / name}.npy: the lists do not follow one another. Build the "
                "dataset again."
            )

        return starts

    def finite(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        values = self.array(name, np.float32, shape)
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{self.folder / name}.npy: a number that is not finite. Build the dataset again."
            )
        return values

    def flags(self, name: str, size: int) -> np.ndarray:
        flags = self.array(name, np.bool_, (size,))
        if (flags.view(np.uint8) > 1).any():
            raise CheckpointError(
                f"{self.folder / name}.npy: neither true nor false. Build the dataset again."
            )
        return flags

    def strings(self, name: str, schema: dict[str, Any]) -> pl.Series:
        return self._frame(name, schema).to_series()
