"""``kgrec convert``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.options import DatasetArgument, JsonOption
from kgrec.cli.output import show_json, show_table
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.data.formats.convert import Conversion


def convert(
    dataset: DatasetArgument,
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="recbole, kgat, lightgcn, ctr, mind, dkn, openke, pykeen, ntriples, nquads, "
            "parquet, networkx, graphml or neo4j.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a folder that kgrec convert wrote before.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write a dataset in a format of the field.

    What the format cannot carry is printed and written to conversion.json in the folder. kgrec
    build reads the folder.
    """
    from kgrec.data.formats.convert import convert as written

    done = written(dataset, to, out, force=force)
    if json:
        show_json(done.summary())
    else:
        _show(done)


def _show(done: "Conversion") -> None:
    for name, size in done.files.items():
        print(f"{clean(str(Path(done.path) / name))}: {size:,} bytes")

    show_table(
        ("carried", "count"),
        [(what, f"{count:,}") for what, count in done.carried.items()],
        right=("count",),
    )
    if done.lost:
        show_table(
            ("NOT carried", "count"),
            [(what, f"{count:,}") for what, count in done.lost.items()],
            right=("count",),
        )
    else:
        print("nothing was lost")

    for note in done.notes:
        print(clean(note))
