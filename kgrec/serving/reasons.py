"""Reasons of a list: what may be said of an explanation, in one sentence with its numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from kgrec.data.io.files import existing
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, ExplanationError
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.core.records import Path as ReasonPath
from kgrec.explanation.render.sentences import claim_kind, headline, reason
from kgrec.runs.processes.parts import read_parts

_LONGEST_LINE = 1 << 24


class Measured(msgspec.Struct, frozen=True, omit_defaults=True):
    """What removing parts of a reason does to the score.

    Attributes:
        drop: Without the like and the facts.
        like_drop: Without the like alone.
        facts_drop: Without the facts alone.
        share: The drop beside the score.
    """

    drop: float | None = None
    like_drop: float | None = None
    facts_drop: float | None = None
    share: float | None = None


class Reason(msgspec.Struct, frozen=True):
    """Why an item is in a list.

    Attributes:
        text: A sentence, which claims what was measured and no more.
        because: Whether a cause is claimed; else it is a connection.
        claim: "both", "like", "facts", "depends" or "none": what is a cause.
        basis: How the numbers came about: "exact", "measured", "post-hoc", ...
        measured: The numbers.
        facts: The facts that are named, as ``relation(from, to)``.
    """

    text: str
    because: bool
    claim: str
    basis: str
    measured: Measured
    facts: list[str]


def reason_of(explanation: Explanation) -> Reason | None:
    """Return what may be said of an item, None where no path leads to it."""
    if not explanation.paths:
        return None

    path = headline(explanation)
    drop = path.drop_delete
    share = None if drop is None or not explanation.score else drop / abs(explanation.score)
    measured = Measured(drop, path.like_drop, path.facts_drop, share)
    said = reason(explanation)
    return Reason(said, path.causal, claim_kind(path), path.basis, measured, _facts(path))


def _facts(path: ReasonPath) -> list[str]:
    found = []
    for hop in path.hops:
        if hop.liked:
            continue
        for relation in hop.relations:
            ends = (hop.source, hop.target) if relation.forward else (hop.target, hop.source)
            found.append(f"{relation.label}({ends[0].label}, {ends[1].label})")

    return found


def read_reasons(
    path: Path, data: Dataset, column: np.ndarray, parameters: str = ""
) -> tuple[np.ndarray, Sequence[str]]:
    """Return the keys (user row times items plus column) and the reasons, as JSON, of a file of
    explanations, the keys ascending.

    Args:
        path: JSON Lines of ``kgrec explain-batch``, or its folder of parts.
        data: The dataset of the run.
        column: Position of each item row in the tables.
        parameters: Sum of the run's parameters, which the explanations must be of; "" for any.

    Raises:
        ConfigError: If a line is none, or of another run.
        UnknownIdError: If a user or item is not known.
    """
    found: dict[int, str] = {}
    for place, explanation in _explanations(path):
        if parameters and explanation.manifest.get("parameters") != parameters:
            raise ConfigError(f"{place}: explains another run. Make it again: kgrec explain-batch.")
        if explanation.history:
            continue  # of someone whom no row stands for

        said = reason_of(explanation)
        if said is None:
            continue

        user, item = data.users.row(explanation.user), data.items.row(explanation.item)
        found[user * data.num_items + int(column[item])] = msgspec.json.encode(said).decode()

    keys = np.array(sorted(found), dtype=np.uint64)
    return keys, [found[key] for key in sorted(found)]


def _explanations(path: Path) -> Iterator[tuple[str, Explanation]]:
    """Yield explanations, each with its place in words."""
    for place, line in _texts(path):
        try:
            yield place, Explanation.from_json(line.decode())
        except (ExplanationError, UnicodeDecodeError) as error:
            raise ConfigError(f"{place}: no explanation ({error}).") from None


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for place, frame in read_parts(path, "kgrec-reasons", ["explanation"]):
            lines = frame["explanation"].cast(pl.String).to_list()
            yield from ((f"{place}:{row}", line.encode()) for row, line in enumerate(lines, 1))
        return

    with existing(path).open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), b""), 1):
            yield f"{path}:{number}", line
