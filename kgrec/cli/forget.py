"""``kgrec forget``."""

from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import AllowOption, JsonOption, RunArgument
from kgrec.cli.output import show_json, whole
from kgrec.escaping import clean


def forget(
    run: RunArgument,
    user: Annotated[str, typer.Option(metavar="U", help="Id of the person.", show_default=False)],
    receipt: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Also write the receipt here.", show_default=False),
    ] = None,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Remove a person from a run, its dataset, and the tables that kgrec serve made beside it.

    The receipt holds a salted hash and no id. It names other runs of the dataset, whose sum changes,
    and those that still hold the person. Files that the dataset was built from are not touched.
    """
    from kgrec.lifecycle.forget import forget as remove

    done = remove(run, user, allow=tuple(allow_class or ()))
    record = done.to_dict()
    if receipt is not None:
        from json import dumps

        text = dumps(record, indent=1) + "\n"
        whole(receipt, lambda path: path.write_text(text, encoding="utf-8"))
    if json:
        show_json(record)
        return

    print(f"{clean(str(run))}: forgotten, {done.interactions:,} interactions removed")
    print(f"receipt: {done.when} {done.hash[:16]} (salt {done.salt[:8]}...)")
    if not done.exact:
        print(
            "The person's own vectors are gone; the others were trained with that person. Train "
            "again: kgrec train."
        )
    for title, places in (
        ("dataset's sum changed for", done.runs_changed),
        ("still holds the person", done.still_open),
        ("tables removed", done.tables),
        ("tables that still hold the person", done.tables_open),
    ):
        for place in places:
            print(f"{title}: {clean(place)}")
