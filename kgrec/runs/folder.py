"""What a run's folder holds, and how it is written: whole or not at all."""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kgrec._version import __version__
from kgrec.data.io.files import check_fields, check_version, existing, read_record
from kgrec.data.io.writing import find_again, write_file, write_whole
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.storage import open_dataset, save_dataset
from kgrec.errors import CheckpointError, DataError
from kgrec.explanation.core.placebos import Placebos
from kgrec.models.factorization.placed import Placed
from kgrec.models.fallback import FallbackChoice
from kgrec.runs.settings import Chosen
from kgrec.training.checkpoint import check_history

FORMAT, VERSION = "kgrec-run", 1
PUBLISHED = "kgrec-published"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"
STATE = "state.safetensors"
DATA, REFIT_DATA = "data", "data-refit"
PLACEBOS = "placebos.json"
RECEIPTS = "forgotten.json"
TRAINING, DONE = "training", "done"


def identity(data: Dataset, out: Path | None = None) -> dict[str, Any]:
    """Return what a run in the folder ``out`` remembers of its dataset: where it is, and its
    checksum.
    """
    if data.path is None:
        path = None
    else:
        path = str(Path(data.path).resolve())

    found = {"name": data.name, "path": path, "checksum": data.checksum}
    if out is None:
        return found

    return seen_from(out, found)


def seen_from(out: Path, dataset: dict[str, Any]) -> dict[str, Any]:
    """Return what a run remembers of its dataset, with its place as seen from the run's folder, so
    that both can move together.
    """
    found = {key: value for key, value in dataset.items() if key != "relative"}
    if found.get("path"):
        relative = _relative(found["path"], out)
    else:
        relative = None

    if relative is None:
        return found

    return found | {"relative": relative}


def read_placebos(folder: Path) -> Placebos | None:
    """Return the placebos that are stored with a run; None where there are none.

    Raises:
        ExplanationError: If the file holds something else.
    """
    path = folder / PLACEBOS
    if not path.exists():
        return None

    return Placebos.from_dict(read_record(path))


def write_placebos(folder: Path, placebos: Placebos) -> None:
    """Store placebos with a run."""
    text = json.dumps(placebos.to_dict(), indent=1) + "\n"
    write_file(folder / PLACEBOS, lambda path: path.write_text(text, encoding="utf-8"))


def _relative(path: str, out: Path) -> str | None:
    """Return a path as seen from a folder, None where they share no parent but the root."""
    folder = str(out.resolve())
    try:
        shared = os.path.commonpath([path, folder])
    except ValueError:  # two drives
        return None

    if os.path.dirname(shared) == shared:
        return None

    return os.path.relpath(path, folder)


def find_dataset(
    folder: Path,
    dataset: dict[str, Any],
    given: "Dataset | str | os.PathLike[str] | None" = None,
    remedy: str = "Name it: --dataset DIR (in Python dataset=)",
) -> Dataset:
    """Return the dataset that a run was trained on, checked by its sum.

    Args:
        folder: The run's.
        dataset: What the run remembers of it.
        given: The dataset or its folder; None looks where it was, as seen from the run and on this
            machine.
        remedy: What to do where it is not found.

    Raises:
        DataError: If it was never saved.
        CheckpointError: If it is not there, or has changed.
    """
    name, path, expected = (dataset.get(key) for key in ("name", "path", "checksum"))
    if given is not None:
        data = given if isinstance(given, Dataset) else open_dataset(given)
        if not expected or data.checksum != expected:
            held = (
                "its own was never saved, and the run holds it"
                if not expected
                else "the sums differ"
            )
            raise CheckpointError(
                f"{given if not isinstance(given, Dataset) else data.name}: not the dataset of "
                f"{folder} ({held})."
            )

        return data

    if not path:
        raise DataError(
            f"{folder} holds no test part, and its dataset was never saved. Save the dataset and "
            "train again."
        )

    relative = dataset.get("relative")
    places = [Path(os.path.normpath(folder.resolve() / relative))] if relative else []
    places = [place for place in dict.fromkeys([*places, Path(path)]) if _is_there(place)]
    if not places:
        raise CheckpointError(
            f"{folder}: its dataset {name} is no longer at {path}. {remedy}, or train again."
        )

    for place in places:
        try:
            data = open_dataset(place)
        except CheckpointError:
            if place == places[-1]:
                raise
            continue
        if data.checksum == expected:
            return data

    raise CheckpointError(
        f"{folder}: the dataset at {places[-1]} has changed since training. {remedy}, or train "
        "again on it."
    )


def _is_there(place: Path) -> bool:
    find_again(place)
    return place.is_dir()


def record_of(
    chosen: Chosen,
    seed: int,
    dataset: dict[str, Any],
    refit: bool,
    summary: dict[str, Any],
    history: list[dict[str, Any]],
    status: str,
    fallback: FallbackChoice,
    **further: Any,
) -> dict[str, Any]:
    """Return what the configuration file of a run holds, JSON-ready.

    ``further`` may be ``data``, the folder of the run's data where that is another than ``DATA``,
    and ``state``, the file of the last training state where a finished run keeps one.
    """
    return further | {
        "format": FORMAT,
        "version": VERSION,
        "status": status,
        **_settings(chosen, seed),
        "refit": refit,
        "fallback": asdict(fallback),
        "dataset": dataset,
        "summary": summary,
        "history": history,
        "versions": {
            "python": platform.python_version(),
            "kgrec": __version__,
            **{name: version(name) for name in ("torch", "numpy")},
        },
    }


def _settings(chosen: Chosen, seed: int) -> dict[str, Any]:
    members = [_settings(*member) for member in chosen.members]
    return {
        "model": chosen.name,
        **({"class": chosen.outside} if chosen.outside else {}),
        "preset": chosen.preset,
        "config": asdict(chosen.config),
        "train": asdict(chosen.train),
        "seed": seed,
        **({"members": members} if members else {}),
        **({"placed": True} if chosen.model is Placed else {}),
    }


def write_config(folder: Path, record: dict[str, Any]) -> None:
    """Write the record that makes a folder a run, whole or not at all."""
    text = json.dumps({**record, "sha256": _digest(record)}, indent=1, sort_keys=True) + "\n"
    write_whole(folder / CONFIG, lambda file: file.write_text(text, encoding="utf-8"))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the record of a run's folder.

    Raises:
        MissingFileError: If there is no such folder.
        CheckpointError: If it is not a run, or of another format version.
    """
    existing(folder, folder=True)
    if not os.path.lexists(folder / CONFIG):
        raise CheckpointError(
            f"{folder}: not a kgrec run (no {CONFIG}). Give the folder that kgrec train wrote."
        )

    record = read_record(folder / CONFIG)
    if record.get("format") == PUBLISHED:
        raise CheckpointError(
            f"{folder}: was published without its interactions, so it is served, not opened: kgrec "
            f"serve {folder / 'serving'}."
        )
    if record.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder}: not a kgrec run (no readable {CONFIG}). Give the folder that kgrec train "
            "wrote."
        )

    check_version(folder, record.get("version"), VERSION, "train again")
    if record.pop("sha256", None) != _digest(record):
        raise CheckpointError(
            f"{folder / CONFIG}: its SHA-256 does not hold, the file was changed or damaged. "
            "Train again, or copy it again."
        )

    check_fields(
        folder / CONFIG, record, (*_FIELDS, *_FURTHER, "format", "version", "fallback", "versions")
    )
    missing = _FIELDS.keys() - record.keys()
    if missing:
        raise CheckpointError(
            f"{folder}: {CONFIG} lacks {', '.join(sorted(missing))}. Train again, or copy it again."
        )

    wrong = [
        name
        for name, fits in (_FIELDS | _FURTHER).items()
        if name in record and not fits(record[name])
    ]
    if wrong:
        raise CheckpointError(
            f"{folder / CONFIG}: {wrong[0]} has a value of a wrong kind or size. Train again, or "
            "copy it again."
        )

    return record


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**1000


def _is_dataset(value: object) -> bool:
    if not isinstance(value, dict) or not all(
        isinstance(value.get(key), str | None) for key in ("name", "path", "checksum", "relative")
    ):
        return False
    return all("\0" not in (value.get(key) or "") for key in ("path", "relative"))


def _is_summary(value: object) -> bool:
    """Return whether what a run says of its training can be shown; what is not known here is not
    evaluated.
    """
    if not isinstance(value, dict):
        return False

    counts = ("epochs", "best_epoch", "full_epochs", "seed", "parameters", "peak_memory_bytes")
    numbers = ("seconds", "seconds_per_epoch")
    fits = all(_is_count(value[key]) for key in counts if key in value) and all(
        _is_number(value[key]) for key in numbers if key in value
    )
    parts = [value.get(part) for part in ("valid", "test")]
    known = all(
        part is None
        or (
            isinstance(part, dict) and not any(isinstance(one, str | bool) for one in part.values())
        )
        for part in parts
    )

    further = [value.get(name, {}) for name in ("start", "placed", "forgotten")]
    told = all(isinstance(one, dict) for one in further) and all(
        isinstance(number, bool) or _is_number(number)
        for one in further[1:]
        for number in one.values()
    )

    return fits and known and told and _is_text(value.get("model", ""))


def _is_history(value: object) -> bool:
    try:
        check_history(value)
    except TypeError:
        return False
    return True


_SETTINGS: dict[str, Callable[[object], bool]] = {
    "model": _is_text,
    "preset": _is_text,
    "config": lambda value: isinstance(value, dict),
    "train": lambda value: isinstance(value, dict),
    "seed": _is_count,
}


def _are_members(value: object) -> bool:
    """Return whether these are the settings of models that a blend is made of."""
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and _SETTINGS.keys() <= one.keys() <= {*_SETTINGS, "class"}
        and all(fits(one[name]) for name, fits in _SETTINGS.items())
        and _is_text(one.get("class", ""))
        for one in value
    )


_FIELDS: dict[str, Callable[[object], bool]] = {
    **_SETTINGS,
    "status": lambda value: value in (TRAINING, DONE),
    "refit": lambda value: isinstance(value, bool),
    "dataset": _is_dataset,
    "summary": _is_summary,
    "history": _is_history,
}
_FURTHER: dict[str, Callable[[object], bool]] = {
    "class": _is_text,
    "members": _are_members,
    "data": lambda value: value in (DATA, REFIT_DATA),
    "state": lambda value: value in (None, STATE),
    "placed": lambda value: value is True,
}


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def write_data(data: Dataset, place: Path) -> None:
    """Store what ranking and explaining need.

    The test part, and the labels, lists and triples that only judging needs, stay with the dataset,
    unless that was never saved.
    """
    if data.path:
        negatives = {name: part for name, part in data.negatives.items() if name == "train"}
        impressions = {name: part for name, part in data.impressions.items() if name == "train"}
        data = replace(
            data, test=Interactions(), negatives=negatives, impressions=impressions, held_triples={}
        )

    save_dataset(data, place)


def refuse_foreign(place: Path, overwrite: bool) -> None:
    """Refuse a place that holds something else, or (without ``overwrite``) anything at all.

    Raises:
        CheckpointError: If the place is taken.
    """
    if place.is_file() or (place.is_dir() and any(place.iterdir()) and not is_run(place)):
        raise CheckpointError(
            f"{place}: exists and is not a kgrec run. Choose another folder, or remove it."
        )
    if not overwrite and place.is_dir() and any(place.iterdir()):
        raise CheckpointError(f"{place}: exists. Choose another folder, or pass overwrite=True.")


def is_run(place: Path) -> bool:
    """Return whether a folder holds a run of any state."""
    try:
        read_config(place)
    except (CheckpointError, DataError):
        return False
    return True


def is_unfinished(place: Path) -> bool:
    """Return whether a folder holds a training that can be gone on with.

    One that was killed by version 0.1 in its last moment has its weights and neither a checkpoint
    nor the record that it is done: it opens, and is trained again.
    """
    return (
        (place / CONFIG).is_file()
        and read_config(place)["status"] != DONE
        and os.path.lexists(place / CHECKPOINT)
    )
