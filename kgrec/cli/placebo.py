"""``kgrec placebo``."""

from typing import Annotated

import typer

from kgrec.cli.options import AllowOption, JsonOption, RunArgument, SeedOption
from kgrec.cli.output import show_json


def placebo(
    run: RunArgument,
    users: Annotated[
        int, typer.Option(metavar="N", min=1, help="Users whose first item is sampled.")
    ] = 200,
    seed: SeedOption = 0,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Estimate what unrelated facts do to a run's scores, and store it with the run.

    Explanations then say "because of the facts" where named facts do more than that, and only
    there; without it, facts are said to connect. Once per run.
    """
    from kgrec.runs.run import load_run

    found = load_run(run, allow=allow_class or ()).estimate_placebos(users, seed)
    if json:
        show_json(found.to_dict())
    else:
        draws = sum(found.draws.values())
        print(f"{len(found.shares):,} kinds of facts, {draws:,} placebos: {run}/placebos.json")
