"""``kgrec data``: the field's public data sets."""

from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import JsonOption
from kgrec.cli.output import show_json, show_table
from kgrec.escaping import clean

app = typer.Typer(help="List, fetch and check the field's public data sets.", rich_markup_mode=None)


@app.command("list")
def list_sets(
    folder: Annotated[
        Path,
        typer.Option(
            "--in", metavar="DIR", help="Where to look for what is there, two folders deep."
        ),
    ] = Path(),
    json: JsonOption = False,
) -> None:
    """List the public data sets, and which of them are here."""
    from kgrec.data.public.catalog import present, public_sets

    here = present(folder)
    if json:
        show_json(
            [
                {
                    "name": one.name,
                    "files": len(one.files),
                    "bytes": one.size if one.whole else None,
                    "papers": one.papers,
                    "origin": one.origin,
                    "terms": one.terms,
                    "here": str(here[one.name][0]) if one.name in here else None,
                    "files_here": here[one.name][1] if one.name in here else 0,
                }
                for one in public_sets().values()
            ]
        )
        return

    rows = []
    for one in public_sets().values():
        size = f"{'' if one.whole else '> '}{one.size / 1e6:.1f} MB"
        where, count = here.get(one.name, (None, 0))
        if where is None:
            state = ""
        elif count == len(one.files):
            state = f"{where}"
        else:
            state = f"{where}: {count} of {len(one.files)} files"

        rows.append((one.name, len(one.files), size, one.papers, one.origin, one.terms, state))

    show_table(
        ("name", "files", "size", "figures by", "data from", "terms", "here"),
        rows,
        right=("files", "size"),
    )


@app.command("get")
def get_set(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="As `kgrec data list` shows it.", show_default=False),
    ],
    *,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.")],
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="KGREC_MIRROR",
            help="Fetch from here, where the files lie as NAME/FILE or by the paths of their "
            "published addresses.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fetch a data set and check every file.

    What an interrupted call has fetched is kept, and the same command continues from there.
    """
    from kgrec.data.public.catalog import download, public_set

    made = download(name, to, mirror=mirror)
    chosen = public_set(name)
    print(
        f"{chosen.name}: {len(chosen.files)} files in {clean(str(to))}, {len(made)} of them new; "
        "every SHA-1 is the published one"
    )
    print(f"data from: {chosen.origin}. Terms: {chosen.terms}.")
    if chosen.needs:
        print(f"You also need {chosen.needs}.")

    print(f"next: {clean(chosen.next_command(to))}")


@app.command("verify")
def verify_set(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a data set.", show_default=False)
    ],
    json: JsonOption = False,
) -> None:
    """Check the files of a data set against their published SHA-1.

    Exit code 1 if one is missing or another.
    """
    from kgrec.data.public.catalog import verify

    chosen, found = verify(folder)
    holds = all(verdict.holds for verdict in found)

    if json:
        files = [{"file": verdict.file, "state": verdict.state} for verdict in found]
        show_json({"name": chosen.name, "holds": holds, "files": files})
    else:
        show_table(("file", "state"), [(verdict.file, verdict.state) for verdict in found])
        print(f"{chosen.name}: {'every file is as published' if holds else 'not as published'}")

    if not holds:
        raise typer.Exit(1)
