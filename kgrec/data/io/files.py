"""Read bytes and text, plain or compressed; every problem becomes one clear line."""

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

from kgrec.data.io.compression import SUFFIXES, Limits, unpacked
from kgrec.data.io.writing import find_again
from kgrec.data.records.report import Skipped
from kgrec.errors import CheckpointError, FormatError, MissingFileError, nearest
from kgrec.log import Progress, progress
from kgrec.process import refuse_after_fork

FilePath = str | PathLike[str]

_LIMITS = Limits()
_TEXT_LIMITS = Limits(max_bytes=1 << 32)
_LONGEST_LINE = 1 << 26
_LONGEST_RECORD = 1 << 26
MOST_LINES = 40_000_000  # of text that is held in memory; each takes some 100 bytes beside its own
_LARGE = 1 << 26  # bytes from which reading is long work


def existing(path: FilePath, folder: bool = False) -> Path:
    """Return the path of a file (or folder) that is there.

    Raises:
        MissingFileError: If nothing is there; the message gives the nearest name beside it.
        FormatError: If a folder stands where a file was expected, or the other way round.
    """
    found = Path(path)
    kind = "folder" if folder else "file"
    if folder:
        find_again(found)

    try:
        there = found.exists()
    except ValueError:
        raise MissingFileError(f"{str(path)!r}: not a possible path. Check the name.") from None

    if not there:
        if found.parent.is_dir():
            beside = sorted(p.name for p in found.parent.iterdir())
        else:
            beside = []

        left = next((name for name in beside if name.startswith(f".{found.name}.old-")), None)
        if left is not None:
            raise MissingFileError(
                f"{path}: no such {kind}. A killed replacement left {left}: rename it to "
                f"{found.name}."
            )

        raise MissingFileError(
            f"{path}: no such {kind}.{nearest(found.name, beside)} Check the path."
        )

    if found.is_dir() != folder:
        raise FormatError(
            f"{path}: is a {'file' if folder else 'folder'}, expected a {kind}. Name the {kind} "
            "itself."
        )
    if not folder and not found.is_file():
        raise FormatError(
            f"{path}: is a pipe or device, and files are read more than once. Write it to a file "
            "first."
        )

    return found


def read_record(path: FilePath, longest: int = _LONGEST_RECORD) -> dict[str, Any]:
    """Return the object in a JSON file that kgrec wrote; nothing else about it is believed.

    Raises:
        MissingFileError: If the file is not there.
        CheckpointError: If it is no plain file, longer than ``longest`` bytes, or no JSON object;
            if a key stands twice in it, or a text is none.
    """
    if Path(path).is_dir() or (Path(path).exists() and not Path(path).is_file()):
        raise CheckpointError(f"{path}: not a plain file. Make it again, or copy it again.")

    with open(existing(path), "rb") as stream:
        data = stream.read(longest + 1)

    if len(data) > longest:
        raise CheckpointError(
            f"{path}: longer than {longest:,} bytes, which no such file is. Make it again, or "
            "copy it again."
        )

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct)
        if b"\\ud" in data.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            why = "nested too deeply"
        else:
            why = " ".join(str(error).split())[:80]
        raise CheckpointError(
            f"{path}: not valid JSON ({why}). Make it again, or copy it again."
        ) from None

    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: not an object. Make it again, or copy it again.")

    return found


def check_version(where: FilePath, found: object, reads: int, remedy: str) -> None:
    """Refuse a record of another format version than the one this kgrec reads.

    Args:
        where: The file or folder, for the message.
        found: The version that the record states.
        reads: The version that is read.
        remedy: What to do where updating kgrec does not help, in lower case.

    Raises:
        CheckpointError: If the versions differ.
    """
    if found != reads:
        raise CheckpointError(
            f"{where}: format version {repr(found)[:20]}, this kgrec reads {reads}. Update kgrec, "
            f"or {remedy}."
        )


def check_fields(where: FilePath, record: Iterable[str], known: Collection[str]) -> None:
    """Refuse a record with a field that this kgrec does not know.

    Raises:
        CheckpointError: If there is one; the message gives the nearest known names.
    """
    unknown = next((name for name in record if name not in known), None)
    if unknown is not None:
        raise CheckpointError(
            f"{where}: unknown field {unknown[:80]!r}.{nearest(unknown, known)} Update kgrec, or "
            "correct the field."
        )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def bare_suffix(path: FilePath) -> str:
    """Return the lower-case extension without the dot, looking through that of a compressed file.

    >>> bare_suffix("films.NT.gz"), bare_suffix("films.ttl.zst"), bare_suffix("train")
    ('nt', 'ttl', '')
    """
    suffixes = [s.lower() for s in Path(path).suffixes]
    if suffixes and suffixes[-1] in SUFFIXES:
        suffixes.pop()

    if suffixes:
        return suffixes[-1][1:]

    return ""


@contextmanager
def reading(path: FilePath, limits: Limits = _LIMITS) -> Iterator[io.BufferedReader]:
    """Open a file for its bytes, unpacked where its first bytes say gzip, bzip2, xz or zstd.

    Raises:
        MissingFileError: If the file is not there.
        ConfigError: If it is zstd and the library for that is not installed.
        FormatError: If a compressed stream is damaged, cut short or beyond the limits; raised from
            wherever the bytes are consumed.
    """
    file = existing(path)
    size = file.stat().st_size
    if size < _LARGE:
        with open(file, "rb") as raw:
            yield unpacked(raw, str(path), limits)
        return

    with (
        progress(f"reading {file.name}, MB", size // 1_000_000) as bar,
        _open(_Counted(file, bar)) as raw,
    ):
        yield unpacked(raw, str(path), limits)


def _open(file: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(file, 1 << 18)


class _Counted(io.FileIO):
    """A file that says how far it has been read."""

    def __init__(self, path: Path, bar: Progress) -> None:
        super().__init__(path)
        self._bar = bar

    def readinto(self, buffer: Any, /) -> int | None:
        found = super().readinto(buffer)
        self._bar.update(self.tell() // 1_000_000)
        return found


def read_text(path: FilePath, skipped: Skipped | None = None) -> str:
    """Return the text of a UTF-8 file without its byte-order mark.

    Args:
        path: The file.
        skipped: Where lines that are no text are noted; they are empty in what is returned.

    Raises:
        FormatError: If the file is empty, is not UTF-8, holds NUL bytes (the message names the
            line), or has more lines than memory is for.
    """
    with reading(path, _TEXT_LIMITS) as stream:
        data = stream.read()

    lines = data.count(b"\n")
    if lines > MOST_LINES:
        raise FormatError(
            f"{path}: {lines:,} lines, at most {MOST_LINES:,} are read at once. Split the file, "
            "or write it as Parquet."
        )

    text = _decoded(_unmarked(data, path), path, 1, skipped)
    if not text.strip():
        raise _empty(path)

    return text


def text_blocks(
    path: FilePath, skipped: Skipped | None = None, size: int = 1 << 22
) -> Iterator[tuple[str, int]]:
    """Yield the text of ``read_text`` in pieces of whole lines, each with the number of its first
    line, in little memory.

    Raises:
        FormatError: As ``read_text``, and for a line longer than 64 MiB.
    """
    line = 1
    rest = b""
    filled = False

    with reading(path) as stream:
        while data := stream.read(size):
            if line == 1 and not rest:
                data = _unmarked(data, path)

            whole, end, after = data.rpartition(b"\n")
            if not end and len(rest) + len(data) > _LONGEST_LINE:
                raise FormatError(
                    f"{path}:{line}: the line is longer than {_LONGEST_LINE:,} bytes. Is this "
                    "the right file?"
                )

            if end:
                text = _decoded(rest + whole + end, path, line, skipped)
                filled = filled or not text.isspace()
                yield text, line
                line += text.count("\n")

            if end:
                rest = after
            else:
                rest = rest + data

    if rest:
        text = _decoded(rest, path, line, skipped)
        filled = filled or bool(text.strip())
        yield text, line

    if not filled:
        raise _empty(path)


_PARQUET = "Write it as Parquet"
_BINARIES = (
    (b"ARROW1", "an Arrow (Feather) file", f"{_PARQUET}: polars.read_ipc, write_parquet."),
    (b"FEA1\0", "a Feather file of version 1", f"{_PARQUET}: pyarrow.feather.read_table."),
    (b"Obj\x01", "an Avro file", f"{_PARQUET}: polars.read_avro, write_parquet."),
    (b"ORC", "an ORC file", f"{_PARQUET}: pyarrow.orc.read_table."),
    (b"\x89HDF", "an HDF5 file", f"{_PARQUET}: pandas.read_hdf, to_parquet."),
    (b"\x93NUMPY", "an array of NumPy", "Write it as CSV: numpy.savetxt."),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", "Save the sheet as CSV."),
    *(
        (
            b"\x80" + bytes([version]),
            "a pickle, which could run code",
            f"{_PARQUET} or CSV where it was made.",
        )
        for version in range(2, 6)
    ),
)


def _unmarked(data: bytes, path: FilePath) -> bytes:
    """Return the bytes of a file without the mark that they may begin with."""
    if data.startswith(b"PK\x03\x04"):
        raise FormatError(
            f"{path}: is a zip archive or an Excel file. Unpack it, or save the sheet as CSV."
        )
    for start, what, remedy in _BINARIES:
        text = start == b"ORC" and b"\0" not in data[:65_536]  # a header like "ORCID"
        if data.startswith(start) and not text:
            raise FormatError(f"{path}: is {what}. {remedy}")

    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(f"{path}:1: the file is UTF-16. Save it as UTF-8.")

    return data.removeprefix(b"\xef\xbb\xbf")


def _decoded(data: bytes, path: FilePath, line: int, skipped: Skipped | None) -> str:
    """Return whole lines as text, the first of them numbered ``line``."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if skipped is None:
            line += data.count(b"\n", 0, error.start)
            remedy = "Convert the file to UTF-8, or leave such lines out with on_error skip."
            raise FormatError(
                f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8. {remedy}"
            ) from None
        text = "\n".join(
            _line_or_nothing(one, line + n, skipped) for n, one in enumerate(data.split(b"\n"))
        )

    if "\0" not in text:
        return text

    if skipped is None:
        line += text.count("\n", 0, text.index("\0"))
        raise FormatError(
            f"{path}:{line}: a NUL byte. The file is binary or damaged; give a text file."
        )

    lines = text.split("\n")
    bad = [n for n, one in enumerate(lines) if "\0" in one]
    skipped.extend(line + n for n in bad)
    for n in bad:
        lines[n] = ""

    return "\n".join(lines)


def _line_or_nothing(data: bytes, line: int, skipped: Skipped) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        skipped.add(line)
        return ""


def _empty(path: FilePath) -> FormatError:
    return FormatError(f"{path}: the file is empty. Give a file with at least one row.")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names for a message, dots for those beyond ``most``."""
    return ", ".join([*names[:most], *["..."][: max(0, len(names) - most)]])


def sha256(path: FilePath) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_parquet(frame: "pl.DataFrame", path: FilePath) -> None:
    """Write a frame as Parquet.

    Raises:
        OSError: If nothing more can be written there, where polars would raise an error of its own.
    """
    refuse_after_fork(f"{path}: writing a table")
    packed = io.BytesIO()
    frame.write_parquet(packed, compression_level=1)  # as small as level 3, three times as fast
    Path(path).write_bytes(packed.getbuffer())
