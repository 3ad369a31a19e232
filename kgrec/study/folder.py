"""A study's folder: what it was started with, one process at a time, files whole or not there."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kgrec.data.dataset import PARTS, Dataset
from kgrec.errors import CheckpointError, ConfigError, DataError

STUDY = "study.json"
VERSION = 1


@contextmanager
def study_folder(path: Path, kind: str, started: Mapping[str, Any]) -> Iterator[Path]:
    """Give the folder of a study, new or one to go on with, and keep other processes out of it.

    A new folder is removed again if bad input turns up before the first result.

    Args:
        path: The folder.
        kind: "tune" or "ablate".
        started: What may not change from one session to the next, JSON-ready.

    Raises:
        CheckpointError: If the folder holds something else, a study started otherwise, or one that another process works on.
    """
    record = {"format": f"kgrec-{kind}", "version": VERSION, **plain(started)}
    fresh = not _going_on(path, kind, record)
    if fresh:
        path.mkdir(parents=True, exist_ok=True)
        write_whole(path / STUDY, lambda file: file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8"))
    with open(path / STUDY, "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(f"{path}: another kgrec {kind} is at work there. Wait for it, or take another folder.") from None
        try:
            yield path
        except (ConfigError, DataError):
            if fresh:
                shutil.rmtree(path)
            raise


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside its place, and move it there."""
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        write(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """Return what JSON makes of a value: lists for tuples."""
    return json.loads(json.dumps(value))


def fingerprint(data: Dataset) -> str:
    """Return what tells one dataset from another: its checksum, or a sum over ids, interactions and triples where it was never saved."""
    if data.checksum:
        return data.checksum
    digest = hashlib.sha256()
    for keys in (data.users, data.items, data.triples.entities, data.triples.relations):
        digest.update("\n".join(keys.series.to_list()).encode())
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    columns = [column for part in PARTS for column in (parts[part].user, parts[part].item)]
    for array in (*columns, data.triples.head, data.triples.relation, data.triples.tail, data.user_facts):
        digest.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _going_on(path: Path, kind: str, record: dict[str, Any]) -> bool:
    """Return whether a study of this kind, started alike, is in the folder."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise CheckpointError(f"{path}: exists and is not a folder. Choose another place.")
    if not path.exists() or not any(path.iterdir()):
        return False
    found = _read(path / STUDY)
    if found.get("format") != record["format"] or found.get("version") != VERSION:
        raise CheckpointError(f"{path}: exists and was not made by this kgrec {kind}. Choose another folder, or remove it.")
    for key, value in record.items():
        if found.get(key) != value:
            told = "on another state of the dataset" if key == "dataset" else f"with {key} {found.get(key)}, not {value}"
            raise CheckpointError(f"{path}: was started {told}. Go on with the same, or choose another folder.")
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
