"""``kgrec push``."""

from typing import Annotated

import typer

from kgrec.cli.options import AllowOption, RunArgument
from kgrec.escaping import clean


def push(
    run: RunArgument,
    to: Annotated[
        str,
        typer.Option(metavar="DIR|hf://OWNER/NAME", help="Where to publish.", show_default=False),
    ],
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="Publish training interactions and user ids, too."),
    ] = False,
    allow_class: AllowOption = None,
) -> None:
    """Publish a run in the layout of model hubs, with its card.

    Without --with-data no interaction and no user leaves: the folder serves lists for anyone's
    history (kgrec serve DIR/serving). With it, it is the whole run.
    """
    from kgrec.runs.run import load_run

    place = load_run(run, allow=allow_class or ()).push(to, with_data=with_data)
    held = "with interactions and user ids" if with_data else "without interactions and users"
    print(f"Published in {clean(place)}, {held}")
