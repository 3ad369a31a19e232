"""The field's standard data sets: what they are, and how they become folders."""

import csv
import json
import logging
import shlex
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from kgrec.data.io.archives import unzip
from kgrec.data.io.downloads import PART, Pinned, blob_sha1, fetch
from kgrec.data.io.files import FilePath, existing, read_record
from kgrec.data.io.web import Address, Manners, address
from kgrec.data.io.writing import discard, locked, write_whole
from kgrec.errors import CheckpointError, ConfigError, DataError, FetchError, FormatError, nearest

_log = logging.getLogger("kgrec.data")

RECORD = "SOURCE.json"
_LONGEST_RECORD = 1 << 20
_UNPACKING = ".unpacking-"
_FILES, _SETS = "files.tsv", "sets.toml"


@dataclass(frozen=True, slots=True)
class PublicFile:
    """A file of a data set.

    Attributes:
        name: In the folder.
        url: Where it was published, pinned to a commit.
        pinned: What it must be.
    """

    name: str
    url: str
    pinned: Pinned


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A data set that others have published.

    Attributes:
        name: Such as "kgat/last-fm".
        files: Its files.
        papers: Whose figures are on it.
        origin: Where the data come from.
        terms: What is known of the terms of use.
        prepare: What is done with files when they are there: ("unzip", "kg_final.txt.zip").
        build: What follows ``kgrec build``; ``{dir}`` is the folder.
        needs: What else one has to find, "" where nothing.
        verb: What users did, in the past tense; "" where the data do not say, or say it by ratings.
    """

    name: str
    files: tuple[PublicFile, ...]
    papers: str
    origin: str
    terms: str
    prepare: tuple[tuple[str, str], ...] = ()
    build: str = "{dir}"
    needs: str = ""
    verb: str = ""

    @property
    def size(self) -> int:
        """Bytes of the files whose sizes are known."""
        return sum(file.pinned.size or 0 for file in self.files)

    @property
    def whole(self) -> bool:
        """Whether the sizes of all files are known."""
        return all(file.pinned.size is not None for file in self.files)

    def next_command(self, folder: FilePath) -> str:
        """Return the command that makes a dataset of it."""
        return f"kgrec build {self.build.replace('{dir}', shlex.quote(str(folder)))} --out DATASET"


@cache
def public_sets() -> dict[str, PublicSet]:
    """Return every data set that kgrec knows, by name."""
    package = files("kgrec.data.public")
    about: dict[str, dict[str, Any]] = tomllib.loads((package / _SETS).read_text(encoding="utf-8"))
    found: dict[str, list[PublicFile]] = {name: [] for name in about}

    for row in csv.DictReader(
        (package / _FILES).read_text(encoding="utf-8").splitlines(), delimiter="\t"
    ):
        pinned = Pinned(row["git_blob_sha1"], int(row["bytes"]) if row["bytes"] else None)
        found[row["dataset"]].append(PublicFile(row["file"], row["url"], pinned))

    return {
        name: PublicSet(
            name,
            tuple(found[name]),
            **entry | {"prepare": tuple((what, file) for what, file in entry.get("prepare", ()))},
        )
        for name, entry in about.items()
    }


def public_set(name: str) -> PublicSet:
    """Return a data set.

    Raises:
        ConfigError: If kgrec knows none of that name; the message gives the nearest.
    """
    known = public_sets()
    found = known.get(name.strip().lower())
    if found is None:
        raise ConfigError(
            f"no public data set {name!r}.{nearest(name, known)} Known: {', '.join(known)}."
        )

    return found


def download(
    name: str, folder: FilePath, *, mirror: str | None = None, manners: Manners | None = None
) -> list[Path]:
    """Fetch the files of a data set into a folder and return those that were not there before.

    Files that are there are checked and left; what an interrupted call has begun goes on.

    Args:
        name: Of the data set.
        folder: Made where it is not there.
        mirror: Address to fetch from instead, under which the files lie as ``NAME/FILE`` or by the
            paths of their published addresses.
        manners: How patiently to ask.

    Raises:
        ConfigError: If there is no such data set, or the mirror is no http or https address.
        CheckpointError: If the folder holds another data set.
        FetchError: If a file cannot be had, or another file came in its place; if another call is
            at work there.
    """
    chosen = public_set(name)
    if mirror is None:
        base = None
    else:
        base = address(mirror)

    target = Path(folder)
    if target.is_dir():
        held = recorded(target)
    else:
        held = None

    if held not in (None, chosen.name):
        raise CheckpointError(f"{folder}: holds {held}. Choose another folder for {chosen.name}.")

    target.mkdir(parents=True, exist_ok=True)
    with locked(
        target / RECORD, "kgrec data get", error=FetchError
    ):  # what lies beside the folder is not ours, and may not take a lock
        return _filled(chosen, target, base, manners or Manners())


def _filled(chosen: PublicSet, target: Path, base: Address | None, manners: Manners) -> list[Path]:
    for left in target.glob(f"{_UNPACKING}*"):
        discard(left)

    made = []
    for file in chosen.files:
        if fetch(_addresses(chosen, file, base), target / file.name, file.pinned, manners):
            _log.info("%s: fetched, its SHA-1 is the published one", target / file.name)
            made.append(target / file.name)

    made += _prepare(chosen, target)
    record = {
        "data set": chosen.name,
        "origin": chosen.origin,
        "terms": chosen.terms,
        "from": [file.url for file in chosen.files],
    }

    write_whole(
        target / RECORD,
        lambda file: file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8"),
    )

    return made


def _addresses(chosen: PublicSet, file: PublicFile, mirror: Address | None) -> tuple[Address, ...]:
    """Return where a file may be fetched."""
    if mirror is None:
        return (address(file.url),)

    parts = urlsplit(mirror.url)
    tails = (f"{chosen.name}/{file.name}", urlsplit(file.url).path.lstrip("/"))
    urls = [parts._replace(path=f"{parts.path.rstrip('/')}/{tail}").geturl() for tail in tails]
    shown = [f"{mirror.shown.partition('?')[0].rstrip('/')}/{tail}" for tail in tails]
    return tuple(
        Address(url, entry, mirror.authorization) for url, entry in zip(urls, shown, strict=True)
    )


def recorded(folder: FilePath) -> str | None:
    """Return which data set ``download`` put into a folder, None where none that kgrec knows."""
    try:
        name = read_record(Path(folder) / RECORD, _LONGEST_RECORD).get("data set")
    except (OSError, CheckpointError):
        return None

    if isinstance(name, str) and name in public_sets():
        return name

    return None


def recorded_verb(folder: FilePath) -> str | None:
    """Return what users did in the data set that ``download`` put into a folder, None where it is
    not known.
    """
    name = recorded(folder)
    return None if name is None else public_sets()[name].verb or None


def _unquoted(path: Path, folder: Path) -> list[Path]:
    """Write a CSV of quoted cells between semicolons as TSV, each cell without its first and last
    sign, as the papers' code reads it.
    """
    goal = folder / f"{path.stem}.tsv"
    with (
        open(path, encoding="utf-8", newline="\n") as stream,
        open(goal, "w", encoding="utf-8", newline="\n") as out,
    ):
        for number, line in enumerate(stream, start=1):
            cells = [cell[1:-1] for cell in line.strip().split(";")]
            if len(cells) != 3 or any("\t" in cell for cell in cells):
                raise FormatError(
                    f"{path}:{number}: expected three quoted cells. Get the file again."
                )

            out.write("\t".join(("user_id", "item_id", "rating") if number == 1 else cells) + "\n")

    return [goal]


def _lines_of_array(path: Path, folder: Path) -> list[Path]:
    """Write an array of whole numbers as text, a row a line."""
    try:
        with open(path, "rb") as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FormatError(
            f"{path}: not an array ({' '.join(str(error).split())[:120]}). Get the file again."
        ) from None

    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise FormatError(f"{path}: not a table of whole numbers. Get the file again.")

    goal = folder / f"{path.stem}.txt"
    np.savetxt(goal, array, fmt="%d", delimiter="\t")
    return [goal]


_STEPS: dict[str, Callable[[Path, Path], list[Path]]] = {
    "unzip": unzip,
    "text": _lines_of_array,
    "unquote": _unquoted,
}


def _prepare(chosen: PublicSet, folder: Path) -> list[Path]:
    """Make what a data set's files hold, and return what was not there before."""
    made = []
    for what, name in chosen.prepare:
        with tempfile.TemporaryDirectory(prefix=_UNPACKING, dir=folder) as scratch:
            for fresh in _STEPS[what](folder / name, Path(scratch)):
                goal = folder / fresh.name
                if not goal.exists():
                    fresh.replace(goal)
                    made.append(goal)
                elif blob_sha1(goal) != blob_sha1(fresh):
                    raise FetchError(
                        f"{goal}: is there and is not what {name} holds. Move it away and get it "
                        "again."
                    )

    return made


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found about a file.

    Attributes:
        file: Its name.
        state: "as published", "missing", "incomplete" or "another file".
    """

    file: str
    state: str

    @property
    def holds(self) -> bool:
        """Whether it is as published."""
        return self.state == "as published"


def verify(folder: FilePath) -> tuple[PublicSet, list[Verdict]]:
    """Check the files of a data set against their published SHA-1, and what was made of them.

    Args:
        folder: A folder that ``download`` filled, or one that holds the files of a data set under
            their names.

    Raises:
        DataError: If it is not known which data set that is.
    """
    target = existing(folder, folder=True)
    chosen = public_set(recorded(target) or _guessed(target))
    found = [Verdict(file.name, _state(target, file)) for file in chosen.files]
    whole = {verdict.file for verdict in found if verdict.holds}

    for what, name in chosen.prepare:
        if name in whole:
            with tempfile.TemporaryDirectory(prefix="kgrec-verify-") as scratch:
                fresh = _STEPS[what](target / name, Path(scratch))
                found += [
                    Verdict(
                        made.name,
                        _state(target, PublicFile(made.name, "", Pinned(blob_sha1(made)))),
                    )
                    for made in fresh
                ]

    return chosen, found


def _state(folder: Path, file: PublicFile) -> str:
    path = folder / file.name
    if not path.is_file():
        if path.with_name(path.name + PART).exists():
            return "incomplete"
        return "missing"

    if file.pinned.fits(path):
        return "as published"

    return "another file"


def _guessed(folder: Path) -> str:
    """Return the data set whose files lie in a folder without a record: the one that most of them
    are of.
    """
    there = {path.name for path in folder.iterdir() if path.is_file()}
    counts = {
        chosen.name: sum(
            file.name in there and file.pinned.fits(folder / file.name) for file in chosen.files
        )
        for chosen in public_sets().values()
    }
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        raise DataError(
            f"{folder}: holds no file of a public data set as published. `kgrec data list` names "
            "them all."
        )

    return best


def present(folder: FilePath) -> dict[str, tuple[Path, int]]:
    """Return the data sets in a folder and in the folders up to two steps below it: where, and how
    many of their files are there.
    """
    base = Path(folder)
    found: dict[str, tuple[Path, int]] = {}

    for pattern in (RECORD, f"*/{RECORD}", f"*/*/{RECORD}"):
        for path in sorted(base.glob(pattern)):
            name = recorded(path.parent)
            if name is not None and name not in found:
                found[name] = (
                    path.parent,
                    sum((path.parent / file.name).is_file() for file in public_sets()[name].files),
                )

    return found
