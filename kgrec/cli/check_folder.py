"""``kgrec check-folder``."""

from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import JsonOption
from kgrec.cli.output import show_json, show_table
from kgrec.errors import FormatError
from kgrec.escaping import clean


def check_folder(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder of Parquet parts: interactions/, triples/, links.parquet, "
            "labels.parquet.",
            show_default=False,
        ),
    ],
    *,
    write_manifest: Annotated[
        bool,
        typer.Option(
            "--write-manifest",
            help="Write rows and SHA-256 of every part into DIR/manifest.json, if all is well.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check a folder that Spark, Ray, Dask, DuckDB or others wrote for kgrec build.

    Every part is read: schemas, empty cells, ranges, and what manifest.json says.
    """
    from kgrec.data.formats import lake

    report = lake.check_lake(folder, manifest=not write_manifest)
    if write_manifest and not report.problems:
        lake.write_manifest(folder)

    if json:
        show_json(report.summary())
    else:
        rows = [
            (table, f"{report.files[table]:,}", f"{report.rows[table]:,}") for table in report.rows
        ]
        show_table(("table", "parts", "rows"), rows, right=("parts", "rows"))
        for line in (*report.notes, *report.problems):
            print(clean(line))

    if report.problems:
        count = len(report.problems)
        raise FormatError(
            f"{folder}: {count:,} {'problem' if count == 1 else 'problems'}, the first: "
            f"{report.problems[0]}"
        )
