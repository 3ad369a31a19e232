"""A study's folder: what it was started with, one process at a time, files whole or not there."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kgrec.data.io.files import check_fields, check_version, read_record
from kgrec.data.io.writing import (
    discard,
    filling,
    locked,
    naming,
    put_back,
    sweep_beside,
    sweep_inside,
    take_place,
)
from kgrec.errors import CheckpointError, ConfigError, DataError
from kgrec.scale.world import World

STUDY = "study.json"
VERSION = 1


@contextmanager
def study_folder(
    path: Path, kind: str, started: Mapping[str, Any], world: World | None = None
) -> Iterator[Path]:
    """Give the folder of a study, new or one to continue, and keep other processes out of it.

    A new folder is removed again if bad input turns up before the first result. Of a world of
    several processes the first one opens the folder, the others enter when it is there, and it is
    let go when all have left it.

    Args:
        path: The folder.
        kind: "tune", "ablate", "curves" or "experiment".
        started: What may not change from one session to the next, JSON-ready.
        world: The processes that work on it together; None is this one alone.

    Raises:
        CheckpointError: If the folder holds something else, a study started otherwise, or one that
            another process works on.
        WorldError: If another process of the world has been started otherwise.
    """
    world = world or World()
    world.agree({kind: plain(started)})
    if not world.first:
        world.hear()
        yield path
        world.gather(None, patient=True)
        return

    record = {"format": f"kgrec-{kind}", "version": VERSION, **plain(started)}
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise CheckpointError(f"{path}: exists and is not a folder. Choose another place.")

    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path, f"kgrec {kind}"):
            put_back(path)
            fresh = not _going_on(path, kind, record)
            sweep_beside(path)

            if fresh:
                with filling(path) as folder:
                    text = json.dumps(record, indent=1) + "\n"
                    (folder / STUDY).write_text(text, encoding="utf-8")
                    take_place(folder, path)

            sweep_inside(path)
            world.hear()
            try:
                yield path
                world.gather(None, patient=True)
            except (ConfigError, DataError):
                if fresh:
                    discard(path)
                raise


def plain(value: Any) -> Any:
    """Return what JSON makes of a value: lists for tuples."""
    return json.loads(json.dumps(value))


def _going_on(path: Path, kind: str, record: dict[str, Any]) -> bool:
    """Return whether a study of this kind, started alike, is in the folder."""
    if not path.exists() or {one.name for one in path.iterdir()} <= {
        f".{STUDY}.tmp"
    }:  # version 0.1, killed as it began
        return False
    if not os.path.lexists(path / STUDY):
        raise CheckpointError(
            f"{path}: exists and was not made by this kgrec {kind}. Choose another folder, or "
            "remove it."
        )

    found = read_record(path / STUDY)
    if found.get("format") != record["format"]:
        raise CheckpointError(
            f"{path}: exists and was not made by this kgrec {kind}. Choose another folder, or "
            "remove it."
        )

    check_version(path / STUDY, found.get("version"), VERSION, "choose another folder")
    check_fields(path / STUDY, found, record)

    for key, value in record.items():
        if found.get(key) != value:
            if key == "dataset":
                difference = "on another state of the dataset"
            else:
                difference = _other(key, found.get(key), value)
            raise CheckpointError(
                f"{path}: was started {difference}. Continue with the same, or choose another folder."
            )

    return True


def _other(key: str, found: Any, value: Any) -> str:
    """Return which value differs; of settings, the one."""
    if isinstance(found, dict) and isinstance(value, dict):
        name = next(name for name in (*value, *found) if found.get(name) != value.get(name))
        return _other(f"{key} {name}", found.get(name), value.get(name))
    return f"with {key} {str(found)[:80]}, not {str(value)[:80]}"
