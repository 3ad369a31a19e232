"""``kgrec explain-batch``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from kgrec.cli.explain import (
    LanguageOption,
    MaxLengthOption,
    NotRelationOption,
    PhrasesOption,
    RankByOption,
    RelationOption,
    Users,
    in_words,
    path_settings,
)
from kgrec.cli.options import AllowOption, RunArgument, ids_in
from kgrec.cli.output import parts_line, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean
from kgrec.scale.world import World

if TYPE_CHECKING:
    from kgrec.data.readers.histories import History
    from kgrec.explanation.explainer import Explainer
    from kgrec.explanation.questions.batch import Person

_ENDINGS = (".jsonl", ".csv", ".parquet")
_CHUNK = 256  # users of a part: some seconds of work


def explain_batch(
    run: RunArgument,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.jsonl|DIR",
            help="Where to write, one explanation a line; or .csv or .parquet, a row a hop; or a "
            "folder of parts.",
            show_default=False,
        ),
    ],
    users: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|all",
            help="A file with one user id a line, or everyone.",
            show_default=False,
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of --users: histories of people, a JSON list of item ids a line, or a table "
            "of users and items. A user whom the model knows has them besides.",
            show_default=False,
        ),
    ] = None,
    on_unknown: Annotated[
        Literal["error", "ignore"],
        typer.Option(
            help="What to do about items of --history that are not in the data; what is ignored is "
            "reported."
        ),
    ] = "error",
    k: Annotated[int, typer.Option("-k", min=1, help="Paths per item.")] = 10,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Items per user.")] = 1,
    max_length: MaxLengthOption = None,
    rank_by: RankByOption = None,
    relation: RelationOption = None,
    not_relation: NotRelationOption = None,
    others: Annotated[
        Users | None,
        typer.Option(
            "--others", help="Other users on a path: count, hide or show them.", show_default=False
        ),
    ] = None,
    language: LanguageOption = "en",
    phrases: PhrasesOption = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Of a folder of parts: users in each.", show_default="256"
        ),
    ] = None,
    allow_class: AllowOption = None,
) -> None:
    """Explain the best items of many users, or of people by their histories, in their order.

    A JSON Lines file that is there already is gone on with: the same command after an interrupt
    adds what is missing. With an --out that has no ending, DIR gets a Parquet part per chunk of
    users, each explanation as JSON, then _SUCCESS.json; it is gone on with too, and processes that
    torchrun starts share the parts.
    """
    ending = _ending(out, chunk is not None)
    chosen = _chosen(users, history, ending)
    given = {
        "max_length": max_length,
        "rank_by": rank_by,
        "relation": relation,
        "not_relation": not_relation,
        "users": others,
    }
    settings = path_settings(
        {name: value for name, value in given.items() if value not in (None, [])}
    )
    said = in_words(language, phrases)
    from kgrec.explanation.questions.batch import people_of
    from kgrec.runs.run import load_run

    opened = load_run(run, allow=allow_class or ())
    everyone: Sequence[str | Person]
    if history is not None:
        everyone = people_of(cast("list[History]", chosen), opened.data.items, on_unknown)
    else:
        everyone = cast("list[str]", chosen) or list(opened.data.users)

    if not ending:
        from kgrec.runs.processes.reasons import explain_all

        parts: dict[str, Any] = {"chunk": chunk or _CHUNK, "words": said, "world": World.here()}
        count, there = explain_all(opened, everyone, out, k=k, top=top, **parts, **settings)
        print(parts_line(out, count, there))
        return
    if ending == ".jsonl":
        _lines(opened.explainer(**said), everyone, out, k, top, settings)
    else:
        _table(opened.explainer(**said), everyone, out, k, top, settings)


def _ending(out: Path, in_parts: bool) -> str:
    """Return the ending of the file to write, "" for a folder of parts.

    Raises:
        ConfigError: If it names no format, or parts are asked for.
    """
    ending = out.suffix.lower()
    if not ending or out.is_dir():
        return ""
    if ending not in _ENDINGS:
        raise ConfigError(
            f"--out {out}: the ending names no format. Name a file that ends in "
            f"{', '.join(_ENDINGS)}, or a folder without an ending."
        )
    if in_parts or World.here().size > 1:
        raise ConfigError(
            f"--out {out}: --chunk and several processes are of a folder of parts, a name without an "
            "ending."
        )
    return ending


def _chosen(users: str | None, history: Path | None, ending: str) -> "list[str] | list[History]":
    """Return the user ids or the histories of a file, [] for everyone.

    Raises:
        ConfigError: If neither or both are given, or rows of a table could not be told apart.
    """
    if (users is None) == (history is None):
        raise ConfigError("explain to whom? Pass one of --users and --history.")
    if history is None:
        return [] if users == "all" else ids_in(Path(str(users)))

    from kgrec.data.readers.histories import read_histories

    found = read_histories(history)
    if ending in (".csv", ".parquet") and not all(one.user for one in found):
        raise ConfigError(
            f"{history}: its people have no ids, by which rows of a table would be told apart. Name "
            "--out FILE.jsonl, or give a table of users and items."
        )

    return found


def _lines(
    explainer: "Explainer",
    users: "Sequence[str | Person]",
    out: Path,
    k: int,
    top: int,
    settings: dict[str, Any],
) -> None:
    try:
        there, added = explainer.batch(users, k, out=out, top=top, **settings)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{out} ends with a whole line: the same command continues from there.")
        raise

    print(
        f"{clean(str(out))}: {there + added} explanations"
        + (f", {there} of them there before" if there else "")
    )


def _table(
    explainer: "Explainer",
    users: "Sequence[str | Person]",
    out: Path,
    k: int,
    top: int,
    settings: dict[str, Any],
) -> None:
    import polars as pl

    from kgrec.data.io.files import write_parquet
    from kgrec.escaping import csv_safe
    from kgrec.explanation.questions.batch import explanations
    from kgrec.explanation.render.frames import empty_frame

    found = explanations(explainer.search, users, k, top=top, fold=explainer.of_person, **settings)
    frames = [one.to_frame() for one in found]
    frame = pl.concat([empty_frame(), *frames])

    if out.suffix.lower() == ".parquet":
        whole(out, lambda path: write_parquet(frame, path))
    else:
        whole(out, lambda path: csv_safe(frame).write_csv(path))

    print(f"{clean(str(out))}: {len(frames)} explanations")
