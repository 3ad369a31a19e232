"""``kgrec export``."""

from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import AllowOption, JsonOption, RunArgument
from kgrec.cli.output import show_json, whole
from kgrec.escaping import clean

_STATEMENT = "vectors.json"


def export(
    run: RunArgument,
    embeddings: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder for users, items and, where there are any, entities and relations "
            "(.parquet).",
        ),
    ],
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Write the trained vectors as Parquet tables, and what makes a score of them (vectors.json).

    They are keyed by the caller's ids.
    """
    from kgrec._version import __version__
    from kgrec.data.io.files import write_parquet
    from kgrec.runs.run import load_run

    loaded = load_run(run, allow=allow_class or ())
    vectors = loaded.vectors()
    embeddings.mkdir(parents=True, exist_ok=True)
    tables = {}

    for name, frame in vectors.frames.items():
        goal = embeddings / f"{name}.parquet"
        whole(goal, partial(write_parquet, frame))
        tables[name] = {
            "file": goal.name,
            "rows": frame.height,
            "dim": frame["vector"].to_numpy().shape[1],
        }

    score = vectors.to_dict()
    about = {
        "format": "kgrec-vectors",
        "version": 1,
        "kgrec": __version__,
        "model": loaded.name,
        "score": score,
        "tables": tables,
    }

    whole(
        embeddings / _STATEMENT,
        lambda path: path.write_text(dumps(about, indent=2) + "\n", encoding="utf-8"),
    )
    if json:
        show_json(about)
        return

    for table in tables.values():
        print(f"{clean(str(embeddings / table['file']))}: {table['rows']:,} rows")

    print(
        f"{clean(str(embeddings / _STATEMENT))}: score = {score['formula']}, u of "
        f"{score['users']}, i of {score['items']}"
    )
