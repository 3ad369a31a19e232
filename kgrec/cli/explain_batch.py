"""``kgrec explain-batch``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from kgrec.cli.output import whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.explanation.explainer import Explainer

_ENDINGS = (".jsonl", ".csv", ".parquet")


def explain_batch(
    run: RunArgument,
    users: Annotated[
        str,
        typer.Option(
            metavar="FILE|all",
            help="A file with one user id a line, or everyone.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.jsonl",
            help="Where to write, one explanation a line; or .csv or .parquet, a row a hop.",
            show_default=False,
        ),
    ],
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
    allow_class: AllowOption = None,
) -> None:
    """Explain the best items of many users, in the order of the users.

    A JSON Lines file that is there already is gone on with: the same command after an interrupt
    adds what is missing.
    """
    ending = out.suffix.lower()
    if ending not in _ENDINGS:
        raise ConfigError(
            f"--out {out}: the ending names no format. Name a file that ends in "
            f"{', '.join(_ENDINGS)}."
        )

    if users == "all":
        chosen = None
    else:
        chosen = ids_in(Path(users))

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
    from kgrec.runs.run import load_run

    opened = load_run(run, allow=allow_class or ())
    if chosen is None:
        everyone = list(opened.data.users)
    else:
        everyone = chosen

    if ending == ".jsonl":
        _lines(opened.explainer(**said), everyone, out, k, top, settings)
    else:
        _table(opened.explainer(**said), everyone, out, k, top, settings)


def _lines(
    explainer: "Explainer", users: list[str], out: Path, k: int, top: int, settings: dict[str, Any]
) -> None:
    from kgrec.explanation.questions.batch import write_batch

    try:
        there, added = write_batch(explainer.search, users, out, k, top=top, **settings)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{out} ends with a whole line: the same command continues from there.")
        raise

    print(
        f"{clean(str(out))}: {there + added} explanations"
        + (f", {there} of them there before" if there else "")
    )


def _table(
    explainer: "Explainer", users: list[str], out: Path, k: int, top: int, settings: dict[str, Any]
) -> None:
    import polars as pl

    from kgrec.data.io.files import write_parquet
    from kgrec.escaping import csv_safe
    from kgrec.explanation.questions.batch import explanations
    from kgrec.explanation.render.frames import empty_frame

    frames = [
        one.to_frame() for one in explanations(explainer.search, users, k, top=top, **settings)
    ]
    frame = pl.concat([empty_frame(), *frames])

    if out.suffix.lower() == ".parquet":
        whole(out, lambda path: write_parquet(frame, path))
    else:
        whole(out, lambda path: csv_safe(frame).write_csv(path))

    print(f"{clean(str(out))}: {len(frames)} explanations")
