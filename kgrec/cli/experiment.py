"""``kgrec run``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.options import JsonOption, classes
from kgrec.cli.output import keeping, show_json, show_table
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.study.figures import Bench


def run_experiment(
    experiment: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT.toml",
            help="What to train on what, and how to compare it.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder to write; experiment-NAME if not given.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue what is in DIR; start it if nothing is.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run an experiment: models on data sets with several seeds, in one folder.

    DIR gets data, runs (each can be served and explained), values (of every user), tables as
    Markdown, CSV and LaTeX with intervals and corrected differences, and pictures. A killed
    experiment continues with --resume, with the same figures. docs/experiments.md has the form of
    the file.
    """
    from kgrec.reports.bench_plots import draw_bench
    from kgrec.study.bench import run_experiment as run
    from kgrec.study.experiment import read_experiment

    found = read_experiment(experiment)
    classes([model.model for model in found.models])
    folder = out if out is not None else Path(f"experiment-{found.name}")
    with keeping(
        folder / "study.json", "What is done is kept: the same command with --resume continues."
    ):
        bench = run(found, out=folder, resume=resume)

    draw_bench(bench)
    if json:
        show_json(bench.to_dict())
    else:
        _show(bench)


def _show(bench: "Bench") -> None:
    from kgrec.study.tables import number

    metrics = bench.experiment.metrics
    for each in bench.experiment.data:
        rows = []
        for model in bench.experiment.models:
            row = [bench.figure(each.name, model.name, metric) for metric in metrics]
            cells = [f"{number(f.mean)} [{number(f.low)}, {number(f.high)}]" for f in row]
            rows.append((model.name, *cells, row[0].note))

        show_table(("model", *metrics, "note"), rows, title=clean(each.name), right=metrics)
        print()

    if bench.gaps:
        columns = ("data", "model", "against", "metric", "difference", "p (Holm)", "verdict")
        gaps = []
        for gap in bench.gaps:
            figures = f"{gap.mean:+.4f}", f"{gap.p_adjusted:.2g}"
            gaps.append((gap.data, gap.model, gap.against, gap.metric, *figures, gap.verdict))

        show_table(columns, gaps, right=columns[4:6])
        print()

    for note in bench.notes:
        print(clean(note))
    print(f"Stored in {clean(str(bench.out))}")
