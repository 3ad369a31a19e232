"""What a run's folder holds, and how it is written: whole or not at all."""

import hashlib
import json
import platform
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kgrec.data.dataset import Dataset
from kgrec.data.files import existing
from kgrec.data.interactions import Interactions
from kgrec.data.storage import save_dataset
from kgrec.errors import CheckpointError
from kgrec.models.fallback import FallbackChoice
from kgrec.settings import Chosen

FORMAT, VERSION = "kgrec-run", 1
CONFIG, WEIGHTS, CHECKPOINT, DATA = "config.json", "model.safetensors", "checkpoint.safetensors", "data"


def identity(data: Dataset) -> dict[str, Any]:
    """Return what a run remembers of its dataset: where it is, and its checksum."""
    path = None if data.path is None else str(Path(data.path).resolve())
    return {"name": data.name, "path": path, "checksum": data.checksum}


def record_of(
    chosen: Chosen,
    seed: int,
    dataset: dict[str, Any],
    refit: bool,
    summary: dict[str, Any],
    history: list[dict[str, Any]],
    status: str,
    fallback: FallbackChoice,
) -> dict[str, Any]:
    """Return what the configuration file of a run holds, JSON-ready."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "status": status,
        "model": chosen.name,
        "preset": chosen.preset,
        "config": asdict(chosen.config),
        "train": asdict(chosen.train),
        "seed": seed,
        "refit": refit,
        "fallback": asdict(fallback),
        "dataset": dataset,
        "summary": summary,
        "history": history,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("kgrec", "torch", "numpy")}},
    }


def write_config(folder: Path, record: dict[str, Any]) -> None:
    """Write the record that makes a folder a run, whole or not at all."""
    scratch = folder / f".{CONFIG}.tmp"
    stored = {**record, "sha256": _digest(record)}
    scratch.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    scratch.replace(folder / CONFIG)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the record of a run's folder.

    Raises:
        MissingFileError: If there is no such folder.
        CheckpointError: If it is not a run, or of another format version.
    """
    existing(folder, folder=True)
    try:
        record = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(record["format"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"{folder}: not a kgrec run (no readable {CONFIG}). Give the folder that kgrec train wrote.") from None
    if record.get("version") != VERSION:
        found = record.get("version")
        raise CheckpointError(f"{folder}: format version {found}, this kgrec reads {VERSION}. Update kgrec, or train again.")
    if record.pop("sha256", None) != _digest(record):
        raise CheckpointError(
            f"{folder / CONFIG}: its SHA-256 does not hold, the file was changed or damaged. Train again, or copy it anew."
        )
    missing = {"status", "model", "preset", "config", "train", "seed", "refit", "dataset", "summary", "history"} - set(record)
    if missing or not isinstance(record["dataset"], dict):
        raise CheckpointError(f"{folder}: {CONFIG} lacks {', '.join(sorted(missing)) or 'a dataset'}. Train again, or copy it anew.")
    return dict(record)


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def write_data(data: Dataset, place: Path) -> None:
    """Store what ranking and explaining need.

    The test part, and the labels, lists and triples that only judging needs, stay with the dataset, unless that was never saved.
    """
    if data.path:
        negatives = {name: part for name, part in data.negatives.items() if name == "train"}
        impressions = {name: part for name, part in data.impressions.items() if name == "train"}
        data = replace(data, test=Interactions(), negatives=negatives, impressions=impressions, held_triples={})
    save_dataset(data, place)


def refuse_foreign(place: Path, overwrite: bool) -> None:
    """Refuse a place that holds something else, or (without ``overwrite``) anything at all.

    Raises:
        CheckpointError: If the place is taken.
    """
    if place.is_file() or (place.is_dir() and any(place.iterdir()) and not is_run(place)):
        raise CheckpointError(f"{place}: exists and is not a kgrec run. Choose another folder, or remove it.")
    if not overwrite and place.is_dir() and any(place.iterdir()):
        raise CheckpointError(f"{place}: exists. Choose another folder, or pass overwrite=True.")


def is_run(place: Path) -> bool:
    """Return whether a folder holds a run of any state."""
    try:
        read_config(place)
    except CheckpointError:
        return False
    return True
