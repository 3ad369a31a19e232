"""Reasons for the best items of many people, written to a folder of parts."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from kgrec._version import __version__
from kgrec.data.io.files import sha256, write_parquet
from kgrec.explanation.questions.batch import Person, explanations
from kgrec.runs.processes.parts import CHUNK, parts_in
from kgrec.runs.run import Run
from kgrec.scale.world import World


def explain_all(
    run: Run,
    people: Sequence[str | Person],
    folder: Path,
    *,
    k: int = 10,
    top: int = 1,
    chunk: int = CHUNK,
    words: Mapping[str, Any] | None = None,
    world: World | None = None,
    **settings: Any,
) -> tuple[int, int]:
    """Write explanations of everyone's best items into a folder of Parquet parts; return how many
    parts it has, and how many of them were there before.

    A part has the columns ``user``, ``item`` and ``explanation``, which is a line of
    ``kgrec explain-batch --out FILE.jsonl``: JSON for ``Explanation.from_json``. The same call goes
    on where it was interrupted, with any number of processes.

    Args:
        run: What is explained.
        people: User ids, or people by a history; one that comes twice is explained once.
        folder: Where.
        k: Paths per item.
        top: Items per user.
        chunk: Users of a part.
        words: ``language`` and ``phrases`` of an ``Explainer``.
        world: The processes, each of which calls this alike.
        settings: Further arguments of ``Explainer.explain``.

    Raises:
        ConfigError: If ``chunk`` or ``top`` is less than 1, or a setting is out of range.
        UnknownIdError: If a user is not known.
        CheckpointError: If the folder holds something else, or was begun with something else.
        WorldError: If another process has other arguments.
    """
    said = dict(words or {})
    explainer = run.explainer(**said)
    everyone = list(dict.fromkeys(people))
    run.data.users.rows([one for one in everyone if isinstance(one, str)])
    if said.get("phrases"):
        said["phrases"] = sha256(Path(said["phrases"]))

    stated = explainer.manifest(k=k, top=top, **settings)
    del stated["versions"]
    each = {f"setting {name}": value for name, value in stated.pop("settings").items()}
    made_of = {
        "format": "kgrec-reasons",
        "kgrec": __version__,
        **stated,
        **each,  # so that the one that differs is named
        "words": said,
        "people": hashlib.sha256("\n".join(map(repr, everyone)).encode()).hexdigest(),
    }

    def write(rows: range, place: Path) -> None:
        some = everyone[rows.start : rows.stop]
        found = explanations(
            explainer.search, some, k, top=top, fold=explainer.of_person, **settings
        )
        lines = [(one.user, one.item, one.to_json()) for one in found]
        schema = dict.fromkeys(("user", "item", "explanation"), pl.String)
        write_parquet(pl.DataFrame(lines, schema, orient="row"), place)

    with parts_in(folder, made_of, len(everyone), chunk=chunk, world=world) as parts:
        there = parts.each(write, "explaining")
        return parts.count, there
