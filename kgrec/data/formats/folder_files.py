"""What the readers of formats share: the files of a folder by name, and what they begin with."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kgrec.data.io.files import bare_suffix, reading
from kgrec.data.rdf.reader import FORMATS as RDF
from kgrec.data.records.interactions import InteractionLog

# Names that the files of a part have, without their suffix.
PART_STEMS = {
    "train": ("train",),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test",),
}

_LONGEST_LINE = 1 << 16


def with_suffix(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder with one of the suffixes, compressed or not, sorted."""
    return [p for p in sorted(folder.iterdir()) if p.is_file() and bare_suffix(p) in suffixes]


def graph_files(folder: Path) -> tuple[str, ...]:
    """Return the RDF files of a folder."""
    return tuple(str(p) for p in with_suffix(folder, *RDF))


def text_file(folder: Path, *stems: str) -> Path | None:
    """Return the first file that is called a stem and ``.txt``, or ``.txt.gz``."""
    names = (f"{stem}.txt{packed}" for stem in stems for packed in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def kg_final(folder: Path) -> tuple[str, ...] | None:
    """Return KGAT's ``kg_final.txt`` as the knowledge graph, None where it is not there."""
    path = text_file(folder, "kg_final")
    return None if path is None else (str(path),)


def part_file(folder: Path, part: str, suffixes: Sequence[str]) -> Path | None:
    """Return the file of a part of a split: a name of the part, and the first suffix there is."""
    names = (
        f"{stem}.{suffix}{packed}"
        for stem in PART_STEMS[part]
        for suffix in suffixes
        for packed in ("", ".gz")
    )
    return next((folder / name for name in names if (folder / name).is_file()), None)


def first_line(path: Path | None) -> bytes:
    """Return the beginning of a file, up to its first line end; nothing where there is no file."""
    if path is None:
        return b""
    with reading(path) as stream:
        return stream.readline(_LONGEST_LINE)


def has_rows(path: Path) -> bool:
    """Return whether a table has anything below its header."""
    with reading(path) as stream:
        stream.readline()
        return any(line.strip() for line in stream)


def empty_log(source: str) -> InteractionLog:
    """Return the interactions of a part whose file is there and empty."""
    return InteractionLog(pl.DataFrame(schema={"user": pl.String, "item": pl.String}), (source,))


def known_part(path: Path) -> str | InteractionLog:
    """Return a part as it is read later: the path of its table, or no rows where it has none."""
    if has_rows(path):
        return str(path)
    return empty_log(str(path))
