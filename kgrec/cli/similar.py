"""``kgrec similar``."""

from typing import Annotated

import typer

from kgrec.cli.options import AllowOption, FormatOption, OutFileOption, RunArgument
from kgrec.cli.output import output_format, show_frame


def similar(
    run: RunArgument,
    item: Annotated[str, typer.Option(metavar="I", help="An item's id.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    out: OutFileOption = None,
    form: FormatOption = None,
    allow_class: AllowOption = None,
) -> None:
    """List the items nearest to an item.

    Near is the cosine between the trained vectors; of models from item to item, the score for
    someone who used this item alone.
    """
    output_format(form, out)
    from kgrec.runs.run import load_run

    show_frame(load_run(run, allow=allow_class or ()).similar_items(item, k=k), form, out)
