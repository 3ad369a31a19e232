"""Write a dataset in a format of the field, and state what that format could not carry."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kgrec.data.formats import base
from kgrec.data.formats.base import ASPECTS, Format
from kgrec.data.formats.load import load
from kgrec.data.formats.registry import writable
from kgrec.data.formats.statement import KIND, STATEMENT, VERSION, read_statement
from kgrec.data.io.files import FilePath
from kgrec.data.io.writing import beside
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.wording import Wording
from kgrec.errors import CheckpointError, ConfigError, nearest
from kgrec.process import refuse_after_fork


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a dataset.

    Attributes:
        to: Name of the format.
        path: The folder written.
        files: Name and size in bytes of each file.
        carried: What the files hold, in words, and how many.
        lost: What the format could not carry, in words, and how many.
        notes: What a reader of the files should know.
    """

    to: str
    path: str
    files: dict[str, int] = field(default_factory=dict)
    carried: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return it JSON-ready: the form of ``kgrec convert --json``."""
        return {
            "to": self.to,
            "path": self.path,
            "files": self.files,
            "carried": self.carried,
            "lost": self.lost,
            "notes": list(self.notes),
        }


def convert(
    dataset: Dataset | FilePath, to: str, path: FilePath, *, force: bool = False
) -> Conversion:
    """Write a dataset in a format of the field, whole or not at all.

    Beside the files stands ``conversion.json``: what they hold, and what the format could not
    carry. ``kgrec build`` reads the folder.

    Args:
        dataset: A dataset, or what ``kgrec.load`` opens.
        to: Name of the format: a key of ``kgrec.data.FORMATS`` that can be written.
        path: The folder to write. An empty one is filled.
        force: Replace a folder that was written by a conversion before.

    Raises:
        ConfigError: If the format is unknown, or needs what the dataset has not (interactions,
            triples, impressions).
        CheckpointError: If something else stands at ``path``, or a conversion without ``force``.
    """
    refuse_after_fork(f"{path}: converting a dataset")
    form = find_format(to)
    to = to.lower()
    target = Path(path)
    check_free(target, force)
    data = dataset if isinstance(dataset, Dataset) else load(dataset)
    if form.needs is not None and not ASPECTS[form.needs](data):
        raise ConfigError(
            f"{data.name}: has no {form.needs}, without which there is no {to}. Choose another "
            f"of {', '.join(writable())}."
        )

    with beside(target) as fresh:
        assert form.write is not None
        written = form.write(data, fresh, _file_name(target))
        files = {
            str(p.relative_to(fresh)): p.stat().st_size
            for p in sorted(fresh.rglob("*"))
            if p.is_file()
        }
        counts = {what: count(data) for what, count in ASPECTS.items()}
        carries = form.carries
        words = replace(data.wording, labels={})
        if form.verb is not None and words == Wording({"": form.verb}):
            carries |= {base.WORDS}  # what is read from this format has that verb

        lost = {what: count for what, count in counts.items() if count and what not in carries}
        lost |= {
            what: count for what, count in _entities(data, form).items() if count
        } | written.lost
        carried = {
            what: count - written.fewer.get(what, 0)
            for what, count in counts.items()
            if what in carries
        }
        carried = {what: count for what, count in carried.items() if count > 0}
        done = Conversion(to, str(path), files, carried, lost, tuple(written.notes))
        statement = {
            "format": KIND,
            "version": VERSION,
            "dataset": {"name": data.name, "checksum": data.checksum},
        } | done.summary()
        del statement["path"]
        (fresh / STATEMENT).write_text(
            json.dumps(statement, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        check_free(target, force)

    return done


def find_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: If there is no such format.
    """
    formats = writable()
    found = formats.get(name.lower())
    if found is None:
        raise ConfigError(
            f"format: {name!r} is unknown.{nearest(name, formats)} Known: {', '.join(formats)}."
        )

    return found


def check_free(target: Path, force: bool) -> None:
    """Refuse a path where anything stands but an empty folder or, with ``force``, a conversion.

    Raises:
        CheckpointError: If the path is taken; the message says by what.
    """
    if target.is_symlink():
        raise CheckpointError(
            f"{target}: exists and is a link. Name the folder that it leads to, or another path."
        )
    if not target.exists():
        return
    if not target.is_dir():
        raise CheckpointError(f"{target}: exists and is not a folder. Choose another path.")
    if not any(target.iterdir()):
        return
    if read_statement(target) is None:
        raise CheckpointError(
            f"{target}: exists and was not written by kgrec convert. Choose another path, or "
            "remove it yourself."
        )
    if not force:
        raise CheckpointError(
            f"{target}: exists. Choose another path, or pass --force (force=True) to replace it."
        )


def _file_name(target: Path) -> str:
    """Return the name of the folder, where files can bear it."""
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in target.resolve().name)
    return name.strip("-") or "dataset"


def _entities(data: Dataset, form: Format) -> dict[str, int]:
    """Return how many entities only facts or texts name that the format does not carry."""
    kept = base.in_triples(data)
    kept[: data.num_items] = True
    if base.USER_FACTS in form.carries:
        kept[data.user_facts[:, 2]] = True

    if base.MENTIONS in form.carries:
        kept[data.content.mentions[:, 3]] = True

    if base.TRIPLES in form.carries:
        return {"entities without a triple": int((~kept).sum())}

    return {}
