"""Publish a run in the layout of model hubs: into a folder, or to the Hugging Face Hub."""

import importlib
import json
import tempfile
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgrec.data.io.writing import beside
from kgrec.errors import CheckpointError, ConfigError
from kgrec.runs.card import CARD, model_card
from kgrec.runs.folder import CONFIG, PUBLISHED, read_config
from kgrec.serving.write_tables import Choice, write_tables

if TYPE_CHECKING:
    from kgrec.runs.run import Run

HUB = "hf://"
SERVING = "serving"


def publish(run: "Run", to: str | PathLike[str], *, with_data: bool = False) -> str:
    """Write what can be published of a run, and return where it is.

    Without ``with_data``: the card, ``config.json`` and tables from which ``kgrec serve`` makes
    lists for anyone's history; no interaction and no user, neither id nor vector. With it: the
    whole run, which opens, resumes nothing, and holds every training interaction and user id. In
    neither is the path of the dataset.

    Args:
        run: The run.
        to: A folder that is not there yet or was published before, or ``hf://OWNER/NAME``.
        with_data: Whether interactions and user ids go along.

    Raises:
        CapabilityError: If the model cannot be served without its interactions.
        CheckpointError: If something else is at the folder.
        ConfigError: If the name on the hub is none, or ``huggingface_hub`` is not installed.
    """
    place = str(to)
    if not place.startswith(HUB):
        _write(run, Path(place), with_data)
        return place

    repository = place.removeprefix(HUB)
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ConfigError(f"{place}: not of the form {HUB}OWNER/NAME.")

    hub = _hub()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        _write(run, folder, with_data)
        api = hub.HfApi()
        api.create_repo(repository, repo_type="model", exist_ok=True)
        api.upload_folder(repo_id=repository, repo_type="model", folder_path=str(folder))

    return place


def _write(run: "Run", place: Path, with_data: bool) -> None:
    """Write the folder, whole or not at all."""
    if place.exists() and not _is_published(place):
        raise CheckpointError(f"{place}: exists and was not published. Choose another folder.")

    dataset = {"name": run.dataset.get("name"), "path": None, "checksum": None}
    # receipts hold paths, and hashes by which those who were forgotten could be guessed
    bare = replace(
        run, dataset=dataset, path=None, summary=_without_paths(run.summary), _receipts=None
    )
    with beside(place) as scratch:
        if with_data:
            bare.save(scratch / "run")
            for file in (scratch / "run").iterdir():
                file.rename(scratch / file.name)
            (scratch / "run").rmdir()
            return

        write_tables(bare, scratch / SERVING, Choice(with_users=False))
        record = _record(bare)
        (scratch / CONFIG).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        card = model_card(
            run.chosen, run.data, run.summary, seed=run.seed, refit=run.refit, use=_USE
        )
        (scratch / CARD).write_text(card, encoding="utf-8")


def _without_paths(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a run without what names folders of this machine."""
    found = dict(summary)
    for name, inner in (("start", "path"), ("update", "notes")):
        if name in found:
            found[name] = {key: value for key, value in found[name].items() if key != inner}

    return found


_USE = f"""Published without interactions and users: it makes lists for anyone's history.

```sh
pip install 'kgrec[serve]'
kgrec serve {SERVING}   # POST /recommend with {{"history": ["ITEM", ...]}}, see docs/serving.md
```"""


def _record(run: "Run") -> dict[str, Any]:
    """Return ``config.json``: what the model is, its settings and its figures."""
    return {
        "format": PUBLISHED,
        "version": 1,
        "model_type": run.name,
        "config": asdict(run.chosen.config),
        "train": asdict(run.chosen.train),
        "seed": run.seed,
        "dataset": run.data.name,
        "figures": {part: run.summary.get(part) for part in ("valid", "test")},
    }


def _is_published(place: Path) -> bool:
    """Return whether a folder was written here, so that it can be replaced."""
    if not place.is_dir():
        return False
    if not any(place.iterdir()):
        return True

    try:
        known: Any = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        if isinstance(known, dict) and known.get("format") == PUBLISHED:
            return True
        return bool(read_config(place)["dataset"].get("checksum") is None)
    except (OSError, ValueError):
        return False


def _hub() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise ConfigError(
            "publishing on the hub needs huggingface_hub, which is not installed. Install it: pip "
            "install 'kgrec[hub]', or publish into a folder."
        ) from None
