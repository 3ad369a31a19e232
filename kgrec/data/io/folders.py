"""Folders that are written whole or not at all, and that know when they are broken.

A folder carries ``manifest.json``: what it is, its format version, and the size and SHA-256 of
every file. Datasets and runs are both stored this way.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kgrec.data.io.files import (
    FilePath,
    check_fields,
    check_version,
    existing,
    read_record,
    sha256,
)
from kgrec.data.io.writing import beside
from kgrec.errors import CheckpointError

MANIFEST = "manifest.json"
_LONGEST_MANIFEST = 1 << 22
_FIELDS = ("format", "version", "files")


@contextmanager
def new_folder(path: FilePath, kind: str, version: int) -> Iterator[Path]:
    """Yield an empty folder to fill; on leaving, add its manifest and move it to ``path``.

    It is made beside its place and renamed, so that no reader sees half of it and a failure leaves
    nothing behind. A folder of the same kind at ``path`` is replaced, an empty one too.

    Raises:
        CheckpointError: If something that is not a folder of this kind stands at ``path``.
    """
    target = Path(path)
    check_replaceable(target, kind)

    with beside(target) as fresh:
        yield fresh
        _write_manifest(fresh, kind, version)
        check_replaceable(target, kind)


def check_replaceable(path: FilePath, kind: str) -> None:
    """Refuse a path where something stands that is not an empty folder or a folder of this kind.

    Raises:
        CheckpointError: If the path is taken; the message says by what.
    """
    target = Path(path)
    if not target.exists() and not target.is_symlink():
        return
    if target.is_symlink():
        raise CheckpointError(
            f"{path}: exists and is a link. Name the folder that it leads to, or another path."
        )
    if not target.is_dir():
        raise CheckpointError(f"{path}: exists and is not a folder. Choose another path.")
    if any(target.iterdir()) and folder_kind(target) != kind:
        raise CheckpointError(
            f"{path}: exists and is not a {kind} folder. Choose another path, or remove it "
            "yourself."
        )


def folder_kind(path: FilePath) -> str | None:
    """Return what a folder's manifest says it is, or None where there is no manifest of ours."""
    try:
        read = read_record(Path(path) / MANIFEST, _LONGEST_MANIFEST)
    except (OSError, CheckpointError):
        return None

    kind = read.get("format")
    if isinstance(kind, str) and kind.startswith("kgrec-"):
        return kind.removeprefix("kgrec-")

    return None


def check_folder(
    path: FilePath, kind: str, version: int, *, written: bool = False
) -> dict[str, str]:
    """Return the SHA-256 per file of a stored folder, after checking them all.

    Args:
        path: The folder.
        kind: What it must be.
        version: The version that it must have.
        written: Whether this process has just written it: the sums then are those of that time.

    Raises:
        MissingFileError: If there is no such folder.
        CheckpointError: If it is not of this kind or version, or a file is missing, of another
            size, or of another sum.
    """
    folder = existing(path, folder=True)
    if not os.path.lexists(folder / MANIFEST):
        raise CheckpointError(
            f"{path}: not a kgrec {kind} folder: {MANIFEST} is missing. Name a folder that kgrec "
            "wrote."
        )

    manifest = read_record(folder / MANIFEST, _LONGEST_MANIFEST)
    if manifest.get("format") != f"kgrec-{kind}":
        raise CheckpointError(
            f"{folder / MANIFEST}: is a {str(manifest.get('format'))[:40]!r} folder, expected "
            f"'kgrec-{kind}'. Name another folder, or make a {kind} of this one first."
        )

    check_version(folder / MANIFEST, manifest.get("version"), version, f"make the {kind} again")
    check_fields(folder / MANIFEST, manifest, _FIELDS)
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise CheckpointError(f"{folder / MANIFEST}: names no files. Make the {kind} again.")

    return {name: _checked(folder, name, entry, kind, written) for name, entry in files.items()}


def combined_sum(sums: dict[str, str]) -> str:
    """Return one SHA-256 over the names and sums of a folder's files."""
    return hashlib.sha256(
        "".join(f"{name} {sums[name]}\n" for name in sorted(sums)).encode()
    ).hexdigest()


def _checked(folder: Path, name: str, entry: object, kind: str, written: bool) -> str:
    if (
        not isinstance(entry, dict)
        or Path(name).name != name
        or name in ("", ".", "..", MANIFEST)
        or "\\" in name
        or "\0" in name
    ):
        raise CheckpointError(
            f"{folder / MANIFEST}: the entry {name[:80]!r} is not a file of this folder. Make "
            f"the {kind} again."
        )

    file = folder / name
    if not file.is_file() or file.is_symlink():
        raise CheckpointError(f"{file}: missing. Make the {kind} again, or copy it whole.")
    if file.stat().st_size != entry.get("bytes"):
        raise CheckpointError(
            f"{file}: {file.stat().st_size} bytes, not {repr(entry.get('bytes'))[:20]} as the "
            f"manifest says. Make the {kind} again."
        )

    found = str(entry.get("sha256")) if written else sha256(file)
    if found != entry.get("sha256"):
        raise CheckpointError(
            f"{file}: its SHA-256 is not the manifest's: the file was changed or damaged. Make "
            f"the {kind} again."
        )

    return found


def _write_manifest(folder: Path, kind: str, version: int) -> None:
    names = sorted(p.name for p in folder.iterdir())
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
        for name in names
    }
    manifest = {"format": f"kgrec-{kind}", "version": version, "files": files}

    with open(folder / MANIFEST, "w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
