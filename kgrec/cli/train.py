"""``kgrec train``."""

from pathlib import Path
from typing import Annotated

import typer

from kgrec import log
from kgrec.cli.options import ConfigOption, DatasetArgument, DeviceOption, JsonOption, SeedOption, SetOption, settings
from kgrec.cli.output import clean, show_json, show_table
from kgrec.errors import ConfigError


def train(
    dataset: DatasetArgument,
    model: Annotated[str, typer.Option(metavar="NAME", help="A name from `kgrec models`.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder to write.")],
    preset: Annotated[str, typer.Option(help="A named recipe of the model: default, paper, official or fast.")] = "default",
    set_: SetOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in RUN.")] = False,
    refit: Annotated[bool, typer.Option("--refit", help="Train once more on everything, for the best epoch's count.")] = False,
    log_format: Annotated[
        str, typer.Option("--log-format", help="What standard error gets: text, or json for one object a line.")
    ] = "text",
    json: JsonOption = False,
) -> None:
    """Train a model and store the run.

    A terminal shows a bar; anything else gets a line per epoch on standard error.
    """
    if log_format not in ("text", "json"):
        raise ConfigError(f"--log-format {log_format}: not one of text, json.")
    if log_format == "json":
        log.as_json()
    chosen = settings(set_ or [], config)
    from kgrec.data.formats import load
    from kgrec.fitting import fit
    from kgrec.settings import choose

    choose(model, preset, chosen)  # a key that is no setting, but an argument of fit, is refused here
    data = load(dataset)
    try:
        run = fit(model, data, out=out, preset=preset, device=device, seed=seed, resume=resume, refit=refit, **chosen)
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
    names = list(dict.fromkeys(name for part in parts.values() for name in part))
    rows = [(part, *(f"{values[name]:.4f}" for name in names)) for part, values in parts.items()]
    show_table(("part", *names), rows, right=names)
