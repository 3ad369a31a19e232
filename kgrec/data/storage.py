"""A dataset as a folder: JSON for what people read, Parquet for ids and tables, ``.npy`` for arrays."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.dataset import BuildReport, Dataset
from kgrec.data.files import FilePath, write_parquet
from kgrec.data.folders import check_folder, combined_sum, new_folder
from kgrec.data.interactions import Dropped, Interactions
from kgrec.data.triples import Triples
from kgrec.data.vocabulary import Vocabulary
from kgrec.errors import CheckpointError, DataError

KIND = "dataset"
VERSION = 1

_ABOUT = "dataset.json"
_NPY_START = 512
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00[\x00-\xff]{2}"
    rb"\{'descr': '(?P<dtype>[<|]\w\d)', 'fortran_order': False, 'shape': \((?P<shape>[\d, ]{1,40})\), \} *\n"
)
_PARTS = ("train", "valid", "test")
_KEYED = {"key": pl.String, "label": pl.String}
_TYPES = {"entity": pl.Int32, "type": pl.String}
_ATTRIBUTES = {"entity": pl.Int32, "name": pl.String, "value": pl.String, "datatype": pl.String, "language": pl.String}


def save_dataset(dataset: Dataset, path: FilePath) -> Dataset:
    """Write a dataset as a folder, whole or not at all, and return it as stored there.

    Raises:
        CheckpointError: If something that is not a dataset stands at ``path``.
    """
    with new_folder(path, KIND, VERSION) as folder:
        triples = dataset.triples
        _write_table(folder, "users", dataset.users.series, dataset.user_labels)
        _write_table(folder, "items", dataset.items.series, None)
        _write_table(folder, "entities", triples.entities.series, triples.labels)
        _write_table(folder, "relations", triples.relations.series, triples.relation_labels)
        write_parquet(triples.types.select(list(_TYPES)), folder / "types.parquet")
        write_parquet(triples.attributes.select(list(_ATTRIBUTES)), folder / "attributes.parquet")
        for name, array in _arrays(dataset).items():
            _write_array(folder / f"{name}.npy", np.ascontiguousarray(array))
        (folder / _ABOUT).write_text(json.dumps(_about(dataset), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return open_dataset(path)


def _about(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "settings": dataset.settings,
        "report": asdict(dataset.report),
        "sources": list(dataset.triples.sources),
        "dropped": [asdict(d) for d in dataset.triples.dropped],
    }


def _write_table(folder: Path, name: str, keys: pl.Series, labels: pl.Series | None) -> None:
    own = pl.Series("label", [None] * len(keys), dtype=pl.String) if labels is None else labels.cast(pl.String)
    write_parquet(pl.DataFrame({"key": keys, "label": own}), folder / f"{name}.parquet")


def _write_array(path: Path, array: np.ndarray) -> None:
    """Write what ``numpy.save`` would; a full disk is the system's own error, which ``numpy.save`` rewords."""
    with open(path, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.reshape(-1).view(np.uint8).data)


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
    for name, part in zip(_PARTS, (dataset.train, dataset.valid, dataset.test), strict=True):
        columns = {"user": part.user, "item": part.item, "time": part.time, "rating": part.rating}
        arrays |= {f"{name}_{column}": array for column, array in columns.items() if array is not None}
    return arrays


def open_dataset(path: FilePath) -> Dataset:
    """Return the dataset stored in a folder, every file checked against its sum; arrays stay on disk, memory-mapped.

    Raises:
        MissingFileError: If there is no such folder.
        CheckpointError: If the folder is not a dataset, of another version, damaged, or contradicts itself.
    """
    sums = check_folder(path, KIND, VERSION)
    opened = _Opened(Path(path), frozenset(sums))
    try:
        return _assemble(opened, str(path), combined_sum(sums))
    except (KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{opened.folder / _ABOUT}: a field is missing or of the wrong kind ({reason}). Build the dataset again."
        ) from None
    except DataError as error:
        raise CheckpointError(f"{path}: {error} Build the dataset again.") from None


def _assemble(opened: "_Opened", path: str, checksum: str) -> Dataset:
    about = opened.about()
    (users, user_labels), (items, _) = opened.keyed("users", "user"), opened.keyed("items", "item")
    (entities, labels), (relations, relation_labels) = opened.keyed("entities", "entity"), opened.keyed("relations", "relation")
    if len(entities) < len(items):
        raise CheckpointError(f"{path}: {len(entities)} entities for {len(items)} items. Build the dataset again.")
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
        dropped=_dropped(about["dropped"]),
    )
    train, valid, test = (opened.part(name, len(users), len(items)) for name in _PARTS)
    return Dataset(
        name=str(about["name"]),
        users=users,
        items=items,
        triples=triples,
        train=train,
        valid=valid,
        test=test,
        user_facts=opened.facts(len(users), len(relations), len(entities)),
        user_labels=None if user_labels.null_count() == len(user_labels) else user_labels,
        report=_report(about["report"]),
        settings=dict(about["settings"]),
        path=path,
        checksum=checksum,
    )


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _dropped(rows: Sequence[dict[str, Any]]) -> tuple[Dropped, ...]:
    return tuple(Dropped(str(row["what"]), str(row["why"]), int(row["count"])) for row in rows)


def _report(about: dict[str, Any]) -> BuildReport:
    counts = {str(name): int(count) for name, count in about["counts"].items()}
    return BuildReport(_texts(about["sources"]), _dropped(about["dropped"]), _texts(about["notes"]), counts)


class _Opened:
    """Reads the files of a folder whose sums hold; believes nothing else about them.

    Array files are read by their exact form rather than with ``numpy.load``, which would also take older and looser ones.
    """

    def __init__(self, folder: Path, names: frozenset[str]) -> None:
        self.folder = folder
        self._names = names

    def _path(self, name: str) -> Path:
        if name not in self._names:
            raise CheckpointError(f"{self.folder / name}: not in the manifest. Build the dataset again.")
        return self.folder / name

    def about(self) -> dict[str, Any]:
        path = self._path(_ABOUT)
        try:
            about = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            raise CheckpointError(f"{path}: not valid JSON. Build the dataset again.") from None
        if not isinstance(about, dict):
            raise CheckpointError(f"{path}: not an object. Build the dataset again.")
        return about

    def _frame(self, name: str, schema: dict[str, Any]) -> pl.DataFrame:
        path = self._path(f"{name}.parquet")
        try:
            frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise CheckpointError(f"{path}: not a readable Parquet file. Build the dataset again.") from None
        if dict(frame.schema) != schema:
            raise CheckpointError(f"{path}: its columns are not {', '.join(schema)}. Build the dataset again.")
        return frame

    def keyed(self, name: str, kind: str) -> tuple[Vocabulary, pl.Series]:
        frame = self._frame(name, _KEYED)
        return Vocabulary(frame["key"], kind=kind), frame["label"]

    def described(self, name: str, schema: dict[str, Any], entities: int) -> pl.DataFrame:
        frame = self._frame(name, schema)
        self._check_range(f"{name}.parquet", frame["entity"].to_numpy(), entities)
        if frame["entity"].null_count():
            raise CheckpointError(f"{self.folder / name}.parquet: a row without an entity. Build the dataset again.")
        return frame

    def array(self, name: str, dtype: Any, shape: tuple[int | None, ...]) -> np.ndarray:
        path = self._path(f"{name}.npy")
        with open(path, "rb") as stream:
            start = stream.read(_NPY_START)
        found = _NPY_HEADER.match(start)
        have = tuple(int(size) for size in found["shape"].split(b",") if size.strip()) if found else ()
        fits = len(have) == len(shape) and all(want in (None, size) for want, size in zip(shape, have, strict=True))
        if not found or found["dtype"].decode() != np.dtype(dtype).str or not fits:
            raise CheckpointError(f"{path}: not an array of {np.dtype(dtype)} with the shape expected. Build the dataset again.")
        if path.stat().st_size != found.end() + math.prod(have) * np.dtype(dtype).itemsize:
            raise CheckpointError(f"{path}: its length is not that of its shape {have}. Build the dataset again.")
        if not math.prod(have):
            return np.empty(have, dtype=dtype)
        return np.memmap(path, dtype=dtype, mode="r", offset=found.end(), shape=have)

    def length(self, name: str) -> int:
        return len(self.array(name, np.int32, (None,)))

    def _check_range(self, name: str, rows: np.ndarray, below: int) -> None:
        if len(rows) and not (rows.min() >= 0 and rows.max() < below):
            raise CheckpointError(f"{self.folder / name}: a row number outside 0..{below - 1}. Build the dataset again.")

    def rows(self, name: str, dtype: Any, size: int, below: int) -> np.ndarray:
        array = self.array(name, dtype, (size,))
        self._check_range(f"{name}.npy", array, below)
        return array

    def part(self, name: str, users: int, items: int) -> Interactions:
        size = self.length(f"{name}_user")
        further = {
            column: self.array(f"{name}_{column}", dtype, (size,)) if f"{name}_{column}.npy" in self._names else None
            for column, dtype in (("time", np.float64), ("rating", np.float32))
        }
        user, item = self.rows(f"{name}_user", np.int32, size, users), self.rows(f"{name}_item", np.int32, size, items)
        return Interactions(user, item, further["time"], further["rating"])

    def facts(self, users: int, relations: int, entities: int) -> np.ndarray:
        facts = self.array("user_facts", np.int32, (None, 3))
        for column, below in enumerate((users, relations, entities)):
            self._check_range("user_facts.npy", facts[:, column], below)
        return facts
