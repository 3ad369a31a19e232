"""``kgrec compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgrec.cli.evaluate import Protocol
from kgrec.cli.options import AllowOption, DatasetOption, JsonOption, SeedOption, cutoffs, values
from kgrec.cli.output import show_json, show_table, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.study.compare import Comparison, Contrast


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Folders of trained runs.", show_default=False),
    ],
    on: Annotated[
        Literal["test", "valid"], typer.Option(help="Which part to evaluate on.")
    ] = "test",
    protocol: Annotated[Protocol, typer.Option(help="As in kgrec evaluate.")] = "ranking",
    k: Annotated[
        str | None,
        typer.Option(
            "--k", metavar="K1,K2", help="Cut-offs; 10,20, of impressions 5,10.", show_default=False
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="M1,M2",
            help="Metrics to test, for instance ndcg@10; the fewer, the sharper.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Literal["first", "best"], typer.Option(help="What the others are compared with.")
    ] = "first",
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|svg",
            help="Draw the differences with their intervals.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
    dataset: DatasetOption = None,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Put runs of one dataset side by side and test their differences, paired by user.

    Runs that differ in nothing but the seed are taken together.
    """
    if k is None:
        counts = None
    else:
        counts = cutoffs(k)

    paths = [path.resolve() for path in runs]
    twice = [run for at, run in enumerate(runs) if paths[at] in paths[:at]]
    if twice:
        raise ConfigError(f"{twice[0]}: is named twice. Name each run once.")
    if len(runs) < 2:
        raise ConfigError(
            f"{runs[0]}: there is nothing to compare it with. Name at least two runs."
        )
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--plot {plot}: name it FILE.png or FILE.svg.")

    from kgrec.runs.run import load_run
    from kgrec.study import compare as study

    metrics = values(metric or "")
    opened = [load_run(run, dataset=dataset, allow=allow_class or ()) for run in runs]
    found = study.compare(
        opened, on=on, k=counts, protocol=protocol, metrics=metrics, against=against, seed=seed
    )
    if plot is not None and not found.contrasts:
        raise ConfigError(
            f"--plot {plot}: the runs differ in their seeds alone, there is no difference to "
            "draw. Add another model's run."
        )

    if plot is not None:
        whole(plot, lambda path: _draw(found, path, plot.suffix))

    if json:
        show_json(found.to_dict())
    else:
        _show(found)


def _show(found: "Comparison") -> None:
    names = [entry.name for entry in found.entries]
    rows = []

    for metric in dict.fromkeys(name for entry in found.entries for name in entry.metrics):
        cells = []
        for entry in found.entries:
            value = entry.metrics.get(metric)
            spread = entry.spread.get(metric)

            if value is None:
                cells.append("")
            elif spread is None:
                cells.append(f"{value:.4f}")
            else:
                cells.append(f"{value:.4f} ±{spread:.4f}")

        rows.append((metric, *cells))

    title = f"{clean(found.dataset)}, {found.split}, {found.users:,} {found.unit}"
    show_table(
        ("metric", *names),
        rows,
        title=title + ("" if found.protocol == "ranking" else f", {found.protocol}"),
        right=names,
    )
    if found.strangers:
        _show_strangers(found)

    tested = [contrast for contrast in found.contrasts if contrast.verdict is not None]
    if tested:
        print()
        columns = (
            "run",
            "metric",
            "difference",
            "95 % interval",
            "d",
            "p (t)",
            "p (Wilcoxon)",
            "verdict",
        )

        heading = (
            f"Against {clean(found.against)}, paired by {found.unit}; p corrected for "
            f"{_tests(len(tested))} (Holm)"
        )
        show_table(
            columns, [_row(contrast) for contrast in tested], title=heading, right=columns[2:7]
        )

    for note in found.notes:
        print(clean(note))


def _show_strangers(found: "Comparison") -> None:
    """Show the figures with users without training interactions, and of them alone, by the metrics
    that were tested.
    """
    names = [entry.name for entry in found.entries]
    parts = {
        "all users": [entry.everyone for entry in found.entries],
        "without training interactions": [entry.strangers for entry in found.entries],
    }
    rows = [
        (f"{metric}, {part}", *(f"{values[metric]:.4f}" for values in one))
        for metric in found.tested
        for part, one in parts.items()
    ]

    show_table(
        ("metric", *names),
        rows,
        title=f"{found.strangers:,} users without training interactions",
        right=names,
    )


def _tests(count: int) -> str:
    if count == 1:
        return "1 test"
    return f"{count} tests"


def _row(contrast: "Contrast") -> tuple[str, ...]:
    gap = contrast.difference
    interval = f"{gap.low:+.4f} to {gap.high:+.4f}"
    p = [_p(value) for value in (contrast.p_t, contrast.p_wilcoxon)]

    return (
        contrast.run,
        contrast.metric,
        f"{gap.mean:+.4f}",
        interval,
        f"{gap.effect:+.2f}",
        *p,
        contrast.verdict or "",
    )


def _p(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1e-4:
        return "< .0001"
    return f"{value:.4f}"


def _draw(found: "Comparison", path: Path, ending: str) -> None:
    from kgrec.reports.plots import Whisker, plot_differences

    panels: dict[str, list[Whisker]] = {}
    for contrast in found.contrasts:
        gap = contrast.difference
        panels.setdefault(contrast.metric, []).append(
            Whisker(contrast.run, gap.mean, gap.low, gap.high)
        )

    note = (
        f"{found.dataset}, {found.split}, {found.users:,} {found.unit}. Lines: 95 % bootstrap "
        f"intervals over {found.unit}, each by itself; "
        "hollow where it holds 0."
    )
    plot_differences(panels, f"Difference from {found.against}", note, path, ending[1:].lower())
