"""Bytes and text from files, plain or compressed; whatever is wrong with them becomes one clear line."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import polars as pl

from kgrec.data.compressed import SUFFIXES, Limits, unpacked
from kgrec.errors import FormatError, MissingFileError, nearest

FilePath = str | PathLike[str]

_LIMITS = Limits()
_TEXT_LIMITS = Limits(max_bytes=1 << 32)


def existing(path: FilePath, folder: bool = False) -> Path:
    """Return the path of a file (or folder) that is there.

    Raises:
        MissingFileError: If nothing is there; the message gives the nearest name beside it.
        FormatError: If a folder stands where a file was expected, or the other way round.
    """
    found = Path(path)
    kind = "folder" if folder else "file"
    try:
        there = found.exists()
    except ValueError:
        raise MissingFileError(f"{str(path)!r}: not a possible path. Check the name.") from None
    if not there:
        beside = sorted(p.name for p in found.parent.iterdir()) if found.parent.is_dir() else []
        left = next((name for name in beside if name.startswith(f".{found.name}.old-")), None)
        if left is not None:
            raise MissingFileError(f"{path}: no such {kind}. A killed replacement left {left}: rename it to {found.name}.")
        raise MissingFileError(f"{path}: no such {kind}.{nearest(found.name, beside)} Check the path.")
    if found.is_dir() != folder:
        raise FormatError(f"{path}: is a {'file' if folder else 'folder'}, expected a {kind}. Name the {kind} itself.")
    return found


def bare_suffix(path: FilePath) -> str:
    """Return the lower-case extension without the dot, looking through that of a compressed file.

    >>> bare_suffix("films.NT.gz"), bare_suffix("films.ttl.zst"), bare_suffix("train")
    ('nt', 'ttl', '')
    """
    suffixes = [s.lower() for s in Path(path).suffixes]
    if suffixes and suffixes[-1] in SUFFIXES:
        suffixes.pop()
    return suffixes[-1][1:] if suffixes else ""


@contextmanager
def reading(path: FilePath, limits: Limits = _LIMITS) -> Iterator[io.BufferedReader]:
    """Open a file for its bytes, unpacked where its first bytes say gzip, bzip2, xz or zstd.

    Raises:
        MissingFileError: If the file is not there.
        ConfigError: If it is zstd and the library for that is not installed.
        FormatError: If a compressed stream is damaged, cut short or beyond the limits; raised from wherever the bytes are consumed.
    """
    with open(existing(path), "rb") as raw:
        yield unpacked(raw, str(path), limits)


def read_text(path: FilePath) -> str:
    """Return the text of a UTF-8 file without its byte-order mark.

    Raises:
        FormatError: If the file is empty, is not UTF-8, or holds NUL bytes; the message names the line.
    """
    with reading(path, _TEXT_LIMITS) as stream:
        data = stream.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(f"{path}:1: the file is UTF-16. Save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8. Convert the file to UTF-8.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FormatError(f"{path}:{line}: a NUL byte. The file is binary or damaged; give a text file.")
    if not text.strip():
        raise FormatError(f"{path}: the file is empty. Give a file with at least one row.")
    return text


def sha256(path: FilePath) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_parquet(frame: pl.DataFrame, path: FilePath) -> None:
    """Write a frame as Parquet.

    Raises:
        OSError: If the place takes no more, where polars would raise an error of its own.
    """
    packed = io.BytesIO()
    frame.write_parquet(packed, compression_level=1)  # as small as level 3, three times as fast
    Path(path).write_bytes(packed.getbuffer())
