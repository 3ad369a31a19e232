"""Folders that are recognized by what lies in them, and ``load``, which makes a dataset of one."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.building.build import build_dataset
from kgrec.data.building.sources import Parts, build_from_parts, override
from kgrec.data.formats import bundled, graph_folders, mind
from kgrec.data.formats.ctr import read_ratings
from kgrec.data.formats.dkn import Clicks, read_numbered, read_raw
from kgrec.data.formats.id_lists import IdLists
from kgrec.data.formats.original_ids import news_under_ids, under_ids, under_keys
from kgrec.data.formats.parquet import is_parquet_folder, read_parquet_folder
from kgrec.data.io.files import FilePath, bare_suffix, existing, reading
from kgrec.data.io.folders import folder_kind
from kgrec.data.io.writing import find_again
from kgrec.data.rdf.reader import FORMATS as RDF
from kgrec.data.readers.interactions import read_item_lists
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.splitting.strategies import TEST, TRAIN
from kgrec.data.storage import KIND, open_dataset
from kgrec.errors import ConfigError, FormatError, nearest
from kgrec.process import refuse_after_fork

_PART_STEMS = {
    "train": ("train",),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test",),
}
_DKN_TABS = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """A folder layout.

    Attributes:
        holds: The files that make it, in words.
        recognize: Whether a folder is one.
        parts: The parts in such a folder.
        lenient: Whether ``parts`` also takes what to do at a malformed line, "stop" or "skip";
            where not, its files are read later on.
    """

    holds: str
    recognize: Callable[[Path], bool]
    parts: Callable[..., Parts]
    lenient: bool = False


def load(source: FilePath, **settings: Any) -> Dataset:
    """Return the dataset of a recognized folder, a bundled name, or a dataset folder built before.

    Args:
        source: RecBole folder (``.inter``, ``.kg``, ``.link``, ``.item``, ``.user``); LightGCN or
            KGAT text (``train.txt``, ``test.txt``, ``kg_final.txt``); click-through text
            (``ratings_final.txt``, ``kg_final.txt``); MIND (``news.tsv``, ``behaviors.tsv``, and
            vectors beside them); DKN text (``raw_train.txt``, ``raw_test.txt``, or the numbered
            ``train.txt``, ``test.txt``); parts of a split (``train.tsv``, ``val.tsv``,
            ``test.tsv``) with or without RDF beside them; OpenKE (``train2id.txt``); a folder that
            ``kgrec convert`` wrote; a dataset built before; or a name such as "films".
        settings: Parts that replace the folder's own (``interactions``, ``train``, ``valid``,
            ``test``, ``kg``, ``links``, ``items``, ...; see ``Parts``) and settings of
            ``build_dataset``. ``user_attributes=True`` takes the folder's own.

    Raises:
        FormatError: If the folder is not recognized.
        ConfigError: If a setting is unknown.
    """
    refuse_after_fork(f"{source}: loading a dataset")
    given, further = _divide(settings)
    find_again(Path(source))
    if Path(source).is_dir() and folder_kind(source) == KIND:
        if settings:
            raise ConfigError(
                f"{source}: a dataset built before; {', '.join(settings)} cannot be applied to "
                "it. Build it anew from its sources."
            )
        return open_dataset(source)
    parts = read_parts(source, further.get("on_error", "stop"))
    if further.get("link_by") is not None:
        parts = replace(parts, links=None)
    return build_from_parts(override(parts, given), **further)


def read_parts(source: FilePath, on_error: str = "stop") -> Parts:
    """Return the parts in a recognized folder, or of a bundled name.

    Raises:
        MissingFileError: If there is no such folder or name.
        FormatError: If the folder is not recognized; the message says what is, and what was found.
    """
    if not Path(source).exists() and str(source) in bundled.names():
        return bundled.read_folder(bundled.folder(str(source)))
    folder = existing(source, folder=True)
    for layout in LAYOUTS.values():
        if layout.recognize(folder):
            if layout.lenient:
                return layout.parts(folder, on_error)
            return layout.parts(folder)
    found = sorted(p.name for p in folder.iterdir())
    shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    known = "; ".join(f"{name} ({layout.holds})" for name, layout in LAYOUTS.items())
    raise FormatError(
        f"{source}: not a recognized folder. Found: {shown or 'nothing'}. Recognized: {known}. "
        "Or name the parts one by one."
    )


def _divide(settings: dict[str, Any]) -> tuple[Parts, dict[str, Any]]:
    """Return the parts among the settings, and the other settings."""
    own = {f.name for f in fields(Parts)} - {"notes", "beside"}
    accepted = (
        own
        | {"separator"}
        | set(inspect.signature(build_dataset).parameters)
        - {"log", "triples", "item_labels", "notes"}
    )
    for name in settings:
        if name not in accepted:
            raise ConfigError(
                f"unknown setting {name!r}.{nearest(name, sorted(accepted))} Known: "
                f"{', '.join(sorted(accepted))}."
            )
    parts = {name: value for name, value in settings.items() if name in own}
    kg = parts.get("kg")
    if kg is not None and not isinstance(kg, list | tuple):
        parts["kg"] = (kg,)
    return Parts(**parts), {name: value for name, value in settings.items() if name not in own}


def _with_suffix(folder: Path, *suffixes: str) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_file() and bare_suffix(p) in suffixes]


def _graph_files(folder: Path) -> tuple[str, ...]:
    return tuple(str(p) for p in _with_suffix(folder, *RDF))


def _is_recbole(folder: Path) -> bool:
    return bool(_with_suffix(folder, "inter"))


def _recbole(folder: Path) -> Parts:
    logs = _with_suffix(folder, "inter")
    by_part = {part: [p for p in logs if _stem(p).endswith(f".{part}")] for part in _PART_STEMS}
    whole = [p for p in logs if not any(p in some for some in by_part.values())]
    if len(whole) > 1 or any(len(some) > 1 for some in by_part.values()):
        raise FormatError(
            f"{folder}: several .inter files ({', '.join(p.name for p in logs)}). Name one as "
            "interactions."
        )
    kg = _one(folder, "kg")
    split: dict[str, Any] = {part: str(some[0]) for part, some in by_part.items() if some}
    if "valid" in split and not _has_rows(Path(split["valid"])):
        split["valid"] = _no_log(split["valid"])
    name = (
        _stem(whole[0] if whole else logs[0])
        .removesuffix(".train")
        .removesuffix(".valid")
        .removesuffix(".test")
    )
    items = _one(folder, "item")
    parts = Parts(
        interactions=str(whole[0]) if whole else None,
        **split,
        kg=None if kg is None else (kg,),
        links=_one(folder, "link"),
        items=items,
        texts=("text",)
        if items is not None
        and _first_line(Path(items)).rstrip(b"\r\n").endswith(b"\ttext:token_seq")
        else None,
        users=_one(folder, "user"),
        name=name,
        beside=_graph_files(folder),
    )
    return under_ids(folder, parts)


def _has_rows(path: Path) -> bool:
    """Return whether a table has anything below its header."""
    with reading(path) as stream:
        stream.readline()
        return any(line.strip() for line in stream)


def _no_log(source: str) -> InteractionLog:
    """Return the interactions of a part that is there and empty."""
    return InteractionLog(pl.DataFrame(schema={"user": pl.String, "item": pl.String}), (source,))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]


def _one(folder: Path, suffix: str) -> str | None:
    found = _with_suffix(folder, suffix)
    if len(found) > 1:
        raise FormatError(
            f"{folder}: several .{suffix} files ({', '.join(p.name for p in found)}). Leave one, "
            "or name the parts one by one."
        )
    if found:
        return str(found[0])
    return None


def _part_file(folder: Path, part: str, suffixes: Sequence[str]) -> Path | None:
    candidates = (
        folder / f"{stem}.{suffix}{packed}"
        for stem in _PART_STEMS[part]
        for suffix in suffixes
        for packed in ("", ".gz")
    )
    return next((p for p in candidates if p.is_file()), None)


def _is_ctr(folder: Path) -> bool:
    return _text_file(folder, "ratings_final") is not None


def _text_file(folder: Path, *stems: str) -> Path | None:
    return next(
        (
            p
            for stem in stems
            for p in (folder / f"{stem}.txt", folder / f"{stem}.txt.gz")
            if p.is_file()
        ),
        None,
    )


def _ctr(folder: Path, on_error: str) -> Parts:
    kg = _text_file(folder, "kg_final")
    parts = Parts(
        labelled=read_ratings(str(_text_file(folder, "ratings_final")), on_error=on_error),
        kg=None if kg is None else (str(kg),),
        name=folder.resolve().name,
        beside=_graph_files(folder),
    )
    return under_ids(folder, parts, on_error)


def _is_mind(folder: Path) -> bool:
    return bool(mind.find_parts(folder))


def _mind(folder: Path, on_error: str) -> Parts:
    news, impressions, vectors, notes = mind.read_mind(mind.find_parts(folder), on_error=on_error)
    parts = Parts(
        impressions=impressions,
        kg=(news.triples,),
        items=news.table,
        mentions=news.mentions,
        entity_vectors=vectors or None,
        name=folder.resolve().name,
        notes=notes,
        beside=_graph_files(folder),
    )
    return news_under_ids(folder, parts)


def _dkn_parts(folder: Path) -> tuple[Callable[..., Clicks], list[tuple[FilePath, int]]] | None:
    """Return what reads a folder of DKN text, and its files with their parts."""
    for prefix, reader in (("raw_", read_raw), ("", read_numbered)):
        found = [
            _text_file(folder, *(prefix + stem for stem in stems)) for stems in _PART_STEMS.values()
        ]
        if (
            found[TRAIN] is not None
            and found[TEST] is not None
            and _first_line(found[TRAIN]).count(b"\t") == _DKN_TABS
        ):
            return reader, [
                (str(path), part) for part, path in enumerate(found) if path is not None
            ]
    return None


def _is_dkn(folder: Path) -> bool:
    return _dkn_parts(folder) is not None


def _dkn(folder: Path, on_error: str) -> Parts:
    found = _dkn_parts(folder)
    assert found is not None
    reader, files = found
    clicks = reader(files, on_error=on_error)
    lists = IdLists.find(folder)
    mentions = clicks.mentions.with_columns(lists.entity_ids(clicks.mentions["entity"]))
    log = replace(
        clicks.log, frame=clicks.log.frame.with_columns(lists.user_ids(clicks.log.frame["user"]))
    )
    return Parts(
        labelled=log,
        items=clicks.table,
        mentions=mentions,
        name=folder.resolve().name,
        beside=_graph_files(folder),
    )


def _first_line(path: Path | None) -> bytes:
    if path is None:
        return b""
    with reading(path) as stream:
        return stream.readline(1 << 16)


def _is_lists(folder: Path) -> bool:
    train, test = (_part_file(folder, part, ("txt",)) for part in ("train", "test"))
    if train is None or test is None:
        return False
    return b"\t" not in _first_line(train)


def _lists(folder: Path, on_error: str) -> Parts:
    found = {part: _part_file(folder, part, ("txt",)) for part in _PART_STEMS}
    valid = found["valid"]
    empty = valid is not None and not valid.stat().st_size
    logs: dict[str, Any] = {"valid": _no_log(str(valid))} if empty else {}
    logs |= {
        part: read_item_lists(path, on_error=on_error)
        for part, path in found.items()
        if path is not None and part not in logs
    }
    kg = next(
        (p for p in (folder / "kg_final.txt", folder / "kg_final.txt.gz") if p.is_file()), None
    )
    parts = Parts(
        **logs,
        kg=None if kg is None else (str(kg),),
        name=folder.resolve().name,
        beside=_graph_files(folder),
    )
    return under_ids(folder, parts, on_error)


def _is_tables(folder: Path) -> bool:
    return all(_part_file(folder, part, ("tsv", "csv")) is not None for part in ("train", "test"))


def _tables(folder: Path) -> Parts:
    found = {part: _part_file(folder, part, ("tsv", "csv")) for part in _PART_STEMS}
    graph = _graph_files(folder)
    split: dict[str, Any] = {part: str(path) for part, path in found.items() if path is not None}
    if "valid" in split and not _has_rows(Path(split["valid"])):
        split["valid"] = _no_log(split["valid"])
    links = folder / "links.tsv"
    parts = Parts(
        **split,
        kg=graph or None,
        links=str(links) if links.is_file() else None,
        name=folder.resolve().name,
    )
    if graph_folders.was_written(folder, "ntriples", "nquads"):
        return under_keys(folder, parts)
    return parts


def _is_bundle(folder: Path) -> bool:
    return (folder / bundled.MANIFEST).is_file()


LAYOUTS: dict[str, Layout] = {
    "bundled": Layout("manifest.toml with [[files]]", _is_bundle, bundled.read_folder),
    "parquet": Layout(
        "items.parquet and entities.parquet, with train.parquet or triples.parquet",
        is_parquet_folder,
        read_parquet_folder,
    ),
    "neo4j": Layout(
        "entities.csv, triples.csv, interactions.csv, ... for Neo4j's bulk import",
        graph_folders.is_neo4j,
        graph_folders.neo4j,
    ),
    "graphml": Layout("one .graphml file", graph_folders.is_graphml, graph_folders.graphml),
    "networkx": Layout(
        "graph.json, node-link data", graph_folders.is_nodelink, graph_folders.nodelink
    ),
    "openke": Layout(
        "entity2id.txt, relation2id.txt and train2id.txt",
        graph_folders.is_openke,
        graph_folders.openke,
    ),
    "pykeen": Layout(
        "triples_train.tsv, 'head relation tail' between tabs",
        graph_folders.is_pykeen,
        graph_folders.pykeen,
    ),
    "recbole": Layout("NAME.inter, and .kg .link .item .user", _is_recbole, _recbole),
    "mind": Layout(
        "news.tsv and behaviors.tsv, here or in folders named train, dev, test",
        _is_mind,
        _mind,
        True,
    ),
    "ctr": Layout(
        "ratings_final.txt, 'user item label' per line; with kg_final.txt", _is_ctr, _ctr, True
    ),
    "dkn": Layout(
        "raw_train.txt and raw_test.txt, 'user title label id:entity;...' between tabs",
        _is_dkn,
        _dkn,
        True,
    ),
    "lightgcn": Layout(
        "train.txt and test.txt, 'user item item ...' per line; with kg_final.txt for KGAT",
        _is_lists,
        _lists,
        True,
    ),
    "split": Layout(
        "train.tsv and test.tsv, or val.tsv too, beside RDF files", _is_tables, _tables
    ),
    "rdf": Layout(
        "graph.nt or graph.nq as kgrec convert writes them", graph_folders.is_rdf, graph_folders.rdf
    ),
}
