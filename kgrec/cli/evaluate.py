"""``kgrec evaluate``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kgrec.cli.options import JsonOption, RunArgument, cutoffs
from kgrec.cli.output import clean, show_json, show_table, whole
from kgrec.errors import ConfigError


def evaluate(
    run: RunArgument,
    on: Annotated[Literal["test", "valid"], typer.Option(help="Which part to rank.")] = "test",
    k: Annotated[str, typer.Option("--k", metavar="K1,K2", help="Cut-offs.")] = "10,20",
    per_user: Annotated[
        Path | None, typer.Option(metavar="FILE.parquet", help="Also write every user's values.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure a run on held-out interactions.

    Every item is ranked for every user with held-out interactions; what the user already has is left out.
    """
    counts = cutoffs(k)
    if per_user is not None and per_user.suffix != ".parquet":
        raise ConfigError(f"--per-user {per_user}: is written as Parquet. Name it FILE.parquet.")
    from kgrec.data.files import write_parquet
    from kgrec.run import load_run

    report = load_run(run).evaluate(on=on, k=counts)
    if per_user is not None:
        whole(per_user, lambda path: write_parquet(report.per_user, path))
    if json:
        show_json(report.to_dict())
        return
    told = report.to_dict()
    rows = [(name, f"{value:.4f}") for name, value in told["metrics"].items()]
    show_table(("metric", "value"), rows, title=f"{clean(told['model'])} on {told['split']}, {told['users']:,} users", right=("value",))
