"""``kgrec train``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kgrec import log
from kgrec.cli.options import (
    ConfigOption,
    DeviceOption,
    JsonOption,
    OptionalModelOption,
    SetOption,
    settings,
)
from kgrec.cli.output import keeping, show_json, show_table
from kgrec.errors import ConfigError
from kgrec.escaping import clean


def train(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder to write.")],
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="A built dataset, a recognized folder, or a bundled graph's name.",
            show_default=False,
        ),
    ] = None,
    model: OptionalModelOption = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A named recipe of the model: default, paper, official or fast.",
            show_default="default",
        ),
    ] = None,
    selection: Annotated[
        Literal["valid", "paper"] | None,
        typer.Option(
            help="What chooses the epoch that is kept: the validation part, or, as in KGAT's and "
            "KGIN's code, recall@20 on the TEST part.",
            show_default=False,
        ),
    ] = None,
    set_: SetOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of every random draw.", show_default="0")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue RUN, with its own settings; --set epochs=N lets a finished run take "
            "more.",
        ),
    ] = False,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Train once more on everything, for the best epoch's count."),
    ] = False,
    fallback: Annotated[
        Literal["auto", "popularity", "attributes", "off"] | None,
        typer.Option(
            help="How users without training interactions are answered.", show_default="auto"
        ),
    ] = None,
    half_life: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Of the fallback: age at which an interaction counts half.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Start from the parameters of this run; rows go by ids.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        str,
        typer.Option(
            "--log-format", help="What standard error gets: text, or json for one object a line."
        ),
    ] = "text",
    json: JsonOption = False,
) -> None:
    """Train a model and store the run.

    A finished run in RUN stays until the new one is whole. DATASET and --model may be left out with
    --resume. A terminal shows a bar; anything else gets a line per epoch on standard error. Started
    by torchrun, the processes train one model together where that pays (docs/many-machines.md).
    """
    if log_format not in ("text", "json"):
        raise ConfigError(f"--log-format {log_format}: not one of text, json.")

    if log_format == "json":
        log.as_json()

    chosen = settings(set_ or [], config) | ({} if selection is None else {"selection": selection})
    if not resume and (dataset is None or model is None):
        raise typer.BadParameter(
            f"Missing {'argument DATASET' if dataset is None else 'option --model'}."
        )

    from kgrec.data.formats.load import load
    from kgrec.runs.fit import fit
    from kgrec.runs.settings import choose
    from kgrec.scale.world import World
    from kgrec.training.config import TEST_SELECTED

    if model is not None:
        choose(
            model, preset or "default", chosen
        )  # a key that is not a setting, but an argument of fit, is refused here

    data = None if dataset is None else load(dataset)
    with keeping(
        out / "config.json",
        "The last checkpoint is whole: the same command with --resume continues from it.",
    ):
        strangers: dict[str, Any] = {"fallback": fallback, "half_life": half_life}
        given: dict[str, Any] = {
            "out": out,
            "preset": preset,
            "device": device,
            "seed": seed,
            "resume": resume,
            "refit": refit or None,
            "start": start,
        }
        run = fit(model, data, **given, **strangers, **chosen, world=World.here())

    if json:
        show_json(run.summary)
        return

    summary = run.summary
    selected = f" ({summary['selection']})" if summary.get("selection") == TEST_SELECTED else ""
    best = f"best epoch {summary['best_epoch']} of {summary['epochs']}, {summary['seconds']:.1f} s"
    print(f"{clean(summary['model'])}{selected}: {best}. Stored in {clean(str(out))}")
    parts = {part: summary[part] for part in ("valid", "test") if summary[part]}
    names = list(
        dict.fromkeys(
            name
            for part in parts.values()
            for name, value in part.items()
            if isinstance(value, float)
        )
    )
    rows = [
        (part, *(_number(values.get(name)) for name in names)) for part, values in parts.items()
    ]
    show_table(("part", *names), rows, right=names)
    for line in _strangers(summary):
        print(line)


def _strangers(summary: dict[str, Any]) -> Iterator[str]:
    """Yield a line per part that has users without training interactions; summaries of version 0.1
    do not mention them.
    """
    fallback, known, strangers = (summary.get(name) for name in ("fallback", "warm", "cold_users"))
    if not (isinstance(fallback, dict) and isinstance(known, dict) and isinstance(strangers, dict)):
        return

    way = fallback.get("way")
    for part, warm in known.items():
        count = strangers.get(part)
        if (
            isinstance(count, int)
            and count
            and isinstance(warm, dict)
            and isinstance(warm.get("metrics"), dict)
        ):
            figures = ", ".join(
                f"{name} {_number(value)}"
                for name, value in warm["metrics"].items()
                if name.startswith(("recall", "ndcg"))
            )
            answer = "nothing (fallback off)" if way == "off" else way
            others = f" The other {warm.get('users')}: {figures}." if figures else ""
            yield (
                f"{part}: {count:,} users without training interactions, answered by {answer}."
                f"{others}"
            )


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return ""
