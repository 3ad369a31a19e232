"""``kgrec train``."""

from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import ConfigOption, DeviceOption, JsonOption, SetOption, settings
from kgrec.cli.output import clean, show_json, show_table


def train(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder to write.")],
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="A built dataset, a recognized folder, or a bundled graph's name.", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="A name from `kgrec models`.", show_default=False)] = None,
    preset: Annotated[
        str | None, typer.Option(help="A named recipe of the model: default, paper, official or fast.", show_default="default")
    ] = None,
    set_: SetOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every random draw.", show_default="0")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with RUN, with its own settings; --set epochs=N lets a finished run take more.")
    ] = False,
    refit: Annotated[bool, typer.Option("--refit", help="Train once more on everything, for the best epoch's count.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a model and store the run.

    A finished run in RUN stays until the new one is whole. DATASET and --model may be left out with --resume.
    """
    chosen = settings(set_ or [], config)
    if not resume and (dataset is None or model is None):
        raise typer.BadParameter(f"Missing {'argument DATASET' if dataset is None else 'option --model'}.")
    from kgrec.data.formats import load
    from kgrec.fitting import fit
    from kgrec.settings import choose

    if model is not None:
        choose(model, preset or "default", chosen)  # a key that is no setting, but an argument of fit, is refused here
    data = None if dataset is None else load(dataset)
    try:
        run = fit(model, data, out=out, preset=preset, device=device, seed=seed, resume=resume, refit=refit or None, **chosen)
    except KeyboardInterrupt as stop:
        if (out / "config.json").is_file():
            stop.add_note("The last checkpoint is whole: the same command with --resume goes on from it.")
        raise
    if json:
        show_json(run.summary)
        return
    told = run.summary
    print(
        f"{clean(told['model'])}: best epoch {told['best_epoch']} of {told['epochs']}, {told['seconds']:.1f} s. Stored in {clean(str(out))}"
    )
    parts = {part: told[part] for part in ("valid", "test") if told[part]}
    names = list(dict.fromkeys(name for part in parts.values() for name, value in part.items() if isinstance(value, float)))
    rows = [(part, *(_number(values.get(name)) for name in names)) for part, values in parts.items()]
    show_table(("part", *names), rows, right=names)


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else ""
