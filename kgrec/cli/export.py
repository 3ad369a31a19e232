"""``kgrec export``."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import RunArgument
from kgrec.cli.output import clean, whole


def export(
    run: RunArgument,
    embeddings: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for users, items and, where there are any, entities and relations (.parquet).")
    ],
) -> None:
    """Write the trained vectors as Parquet tables.

    They are keyed by the caller's ids.
    """
    from kgrec.data.files import write_parquet
    from kgrec.run import load_run

    frames = load_run(run).embeddings()
    embeddings.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        goal = embeddings / f"{name}.parquet"
        whole(goal, partial(write_parquet, frame))
        print(f"{clean(str(goal))}: {frame.height:,} rows")
