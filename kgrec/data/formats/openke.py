"""OpenKE's files: ``entity2id.txt``, ``relation2id.txt``, and triples as head, tail, relation in
``train2id.txt`` and its like.
"""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import Facts, assemble
from kgrec.data.io.files import FilePath, read_text
from kgrec.data.records.triples import Triples
from kgrec.errors import FormatError

ENTITIES, RELATIONS = "entity2id.txt", "relation2id.txt"
PARTS = {"train": "train2id.txt", "valid": "valid2id.txt", "test": "test2id.txt"}

_LONGEST_NUMBER = 20


def read_openke(folder: Path) -> tuple[Triples, dict[str, pl.DataFrame]]:
    """Return the training triples, and the held-out ones by part under the keys of their ends.

    Raises:
        FormatError: If a file does not begin with the number of its lines, a line is not what it
            should be, or an id is in no list.
    """
    entities = _names(folder / ENTITIES)
    relations = _names(folder / RELATIONS)
    train = _rows(folder / PARTS["train"], len(entities), len(relations))
    triples = assemble(
        [
            Facts(
                (str(folder / PARTS["train"]),),
                pl.concat([entities, relations]),
                train[:, 0],
                train[:, 2] + len(entities),
                train[:, 1],
                locator=np.arange(2, len(train) + 2),
            )
        ]
    )
    held = {}
    for part in ("valid", "test"):
        path = folder / PARTS[part]
        if path.is_file():
            rows = _rows(path, len(entities), len(relations))
        else:
            rows = train[:0]
        if len(rows):
            columns = {"head": (entities, 0), "relation": (relations, 2), "tail": (entities, 1)}
            held[part] = pl.DataFrame(
                {
                    name: keys.gather(pl.Series(rows[:, column]))
                    for name, (keys, column) in columns.items()
                }
            )
    return triples, held


def _is_number(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit() and len(text) < _LONGEST_NUMBER


def _lines(path: FilePath) -> list[str]:
    """Return the lines below the first, which counts them."""
    first, *lines = read_text(path).replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if not _is_number(first) or int(first) != len(lines):
        raise FormatError(
            f"{path}:1: {first[:40]!r} is not the number of the {len(lines)} lines below. "
            "Correct it."
        )
    return lines


def _names(path: FilePath) -> pl.Series:
    """Return names in the order of their numbers."""
    names: dict[int, str] = {}
    for at, line in enumerate(_lines(path), start=2):
        name, tab, number = line.rpartition("\t")
        if tab:
            name = name
            number = number
        else:
            name = line.rpartition(" ")[0]
            number = line.rpartition(" ")[2]
        if not name or not _is_number(number) or int(number) in names:
            raise FormatError(
                f"{path}:{at}: not a name and a number of its own with a tab between. Correct "
                "the line."
            )
        names[int(number)] = name
    if sorted(names) != list(range(len(names))):
        raise FormatError(
            f"{path}: the numbers are not 0 to {len(names) - 1}. Number the names without gaps."
        )
    keys = pl.Series("key", [names[number] for number in range(len(names))], dtype=pl.String)
    if keys.n_unique() < len(keys):
        raise FormatError(
            f"{path}: {keys.filter(keys.is_duplicated())[0][:60]!r} occurs twice. Names must be "
            "distinct."
        )
    return keys


def _rows(path: FilePath, entities: int, relations: int) -> np.ndarray:
    """Return head, tail, relation as numbers, int64 (n, 3)."""
    lines = (
        pl.Series(_lines(path), dtype=pl.String)
        .str.strip_chars()
        .str.replace_all(r"[ \t]+", " ")
        .str.split(" ")
    )
    widths = lines.list.len() == 3
    if not widths.all():
        raise FormatError(
            f"{path}:{widths.not_().arg_true()[0] + 2}: expected three numbers: head, tail, "
            "relation. Correct the line."
        )
    columns = []
    for place, (what, below) in enumerate(
        (("head", entities), ("tail", entities), ("relation", relations))
    ):
        if len(lines):
            numbers = lines.list.get(place).cast(pl.Int64, strict=False)
        else:
            numbers = pl.Series([], dtype=pl.Int64)
        wrong = ~numbers.is_between(0, below - 1).fill_null(False)
        if wrong.any():
            raise FormatError(
                f"{path}:{wrong.arg_true()[0] + 2}: the {what} is not a number from 0 to "
                f"{below - 1}. Correct the line."
            )
        columns.append(numbers.to_numpy())
    return np.stack(columns, axis=1)
