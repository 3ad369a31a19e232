"""``kgrec tune``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SetOption,
    settings,
    whole_numbers,
)
from kgrec.cli.output import keeping, show_json, show_table, whole
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.study.tune import Tuning


def tune(
    dataset: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET...",
            help="A built dataset, a recognized folder, or a bundled graph's name; or several, for "
            "settings that serve all.",
            show_default=False,
        ),
    ],
    model: ModelOption,
    trials: Annotated[int, typer.Option(help="Most trials.")] = 12,
    minutes: Annotated[
        float, typer.Option(help="Most minutes of all trials together; whichever ends first.")
    ] = 15.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the search; tune-NAME if not given.", show_default=False
        ),
    ] = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="S1,S2", help="Seeds of each trial's trainings.", show_default="--seed"
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Trials side by side, in processes of their own.")
    ] = 1,
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PRESET",
            help="Try this preset of the model, too; may be repeated.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Search a model's settings on validation data.

    The first trial is the default preset, those of --start follow; what --set gives is fixed. DIR
    gets trials.csv, trials.png, best.toml (for `kgrec train --config`) and run: the best
    configuration, evaluated once on the test part. The same command goes on where it was
    interrupted, or further with a larger budget. Started by torchrun, each process tries
    configurations of its own.
    """
    fixed = settings(set_ or [], None)
    from kgrec.models.catalog import find
    from kgrec.reports.plots import plot_trials
    from kgrec.scale.world import World
    from kgrec.study import tune as study

    if out is not None:
        folder = out
    else:
        folder = Path(f"tune-{find(model).name}")

    with keeping(
        folder / "study.json", "The finished trials are kept: the same command continues from them."
    ):
        found = study.tune(
            dataset,
            model,
            out=folder,
            trials=trials,
            minutes=minutes,
            seed=seed,
            device=device,
            settings=fixed,
            start=start or (),
            seeds=None if seeds is None else whole_numbers(seeds, "--seeds"),
            workers=workers,
            world=(world := World.here()),
        )

    if not world.first:
        return

    whole(folder / "trials.png", lambda path: plot_trials(found, path))
    if json:
        show_json(found.to_dict())
        return

    _show(found, folder)


def _show(found: "Tuning", folder: Path) -> None:
    from kgrec.study.tune import to_toml

    names = list(found.space)
    rows = []

    for trial in found.tried:
        if trial.value is None:
            value = ""
        else:
            value = f"{trial.value:.4f}"

        settings = [to_toml(trial.settings[name]) for name in names]
        rows.append(
            (
                trial.number,
                trial.state,
                value,
                trial.best_epoch,
                f"{trial.seconds:.0f}",
                *settings,
                trial.note,
            )
        )

    columns = ("trial", "state", found.metric, "best epoch", "seconds", *names, "note")
    show_table(columns, rows, right=[name for name in columns if name not in ("state", "note")])

    if found.run:
        test = found.run.summary["test"]
    else:
        test = None

    if test and found.metric in test:
        on_test = f"; on the test part once: {found.metric} {test[found.metric]:.4f}"
    else:
        on_test = ""

    budget = found.budget
    print(
        f"Used {found.trials} of {budget.trials} trials and {found.seconds:.0f} of "
        f"{budget.seconds:.0f} seconds, seeds {', '.join(map(str, budget.seeds))}."
    )
    print(
        f"{clean(found.model)}: trial {found.chosen.number} is best, {found.metric} "
        f"{found.value:.4f} on the validation part{on_test}. "
        f"Stored in {clean(str(folder))}"
    )
