"""``kgrec blend``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgrec.cli.options import AllowOption, DatasetOption, JsonOption, values
from kgrec.cli.output import show_json, show_table
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.runs.run import Run


def blend(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...", help="Folders of trained runs of one dataset.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder to write.")],
    metric: Annotated[
        str, typer.Option(help="What weights are chosen by, on the validation part.")
    ] = "ndcg@10",
    scale: Annotated[
        Literal["member", "user"],
        typer.Option(
            help="Divide each run's scores by one constant, or standardize them for each user; the "
            "latter is no exact sum in explanations."
        ),
    ] = "member",
    by: Annotated[
        Literal["all", "history"],
        typer.Option(
            help="One set of weights, or one each for short, middle and long histories; the latter "
            "overfitted where it was measured."
        ),
    ] = "all",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="W1,W2", help="Weights of the runs instead of chosen ones.", show_default=False
        ),
    ] = None,
    dataset: DatasetOption = None,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Make one run of several: a weighted sum of their scores.

    It is evaluated, served and explained as any run, and holds its members whole.
    """
    given = _weights(weights) if weights is not None else ()
    from kgrec.runs.folder import refuse_foreign
    from kgrec.runs.run import load_run
    from kgrec.study import blend as study

    refuse_foreign(out, overwrite=True)
    opened = [
        load_run(run, dataset=dataset, allow=allow_class or (), unfinished="refuse") for run in runs
    ]
    made = study.blend(
        opened, out=out, metric=metric, scale=scale, by=by, weights=given, dataset=dataset
    )
    if json:
        show_json(made.summary)
    else:
        _show(made, out)


def _weights(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, values(text)))
    except ValueError:
        raise ConfigError(
            f"--weights {text[:60]}: not numbers. Write, for instance, 1,0.5."
        ) from None


def _show(run: "Run", out: Path) -> None:
    mixed = run.summary["blend"]
    groups = [f"weight, up to {length} items" for length in mixed["lengths"]]
    last = "weight, longer" if groups else "weight"
    columns = ("run", *groups, last, "scale", f"{mixed['metric']} alone, valid")
    rows = [
        (
            clean(member["name"]),
            *(f"{weight:g}" for weight in member["weights"]),
            f"{member['scale']:.4g}",
            f"{member['valid']:.4f}",
        )
        for member in mixed["members"]
    ]
    show_table(columns, rows, right=columns[1:])
    for part in ("valid", "test"):
        figures = run.summary[part]
        if figures:
            shown = ", ".join(
                f"{name} {figures[name]:.4f}"
                for name in ("recall@10", "ndcg@10", "recall@20", "ndcg@20")
            )
            print(f"{part}: {shown}")

    print(f"written to {clean(str(out))}")
