"""``kgrec ablate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgrec.cli.options import (
    ConfigOption,
    DatasetArgument,
    DeviceOption,
    JsonOption,
    ModelOption,
    SetOption,
    settings,
)
from kgrec.cli.output import show_json, show_table, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.reports.plots import Whisker
    from kgrec.study.ablate import Ablation, Contrast


def ablate(
    dataset: DatasetArgument,
    model: ModelOption,
    seeds: Annotated[int, typer.Option(help="Trainings of each variant.")] = 3,
    relations: Annotated[
        str,
        typer.Option(
            metavar="K|all", help="Leave out each of the K largest relations, one at a time."
        ),
    ] = "3",
    preset: Annotated[str, typer.Option(help="A named recipe of the model.")] = "default",
    set_: SetOption = None,
    config: ConfigOption = None,
    without_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Other settings for the variant without the graph.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@K",
            help="What the verdict is about; what training validates by.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        Literal["test", "valid"], typer.Option(help="Which part to evaluate on.")
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the study; ablate-NAME if not given.", show_default=False
        ),
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Ask whether the knowledge graph helps here.

    Trains the model with the graph, without any triples, with the triples shuffled within each
    relation, and with single relations left out, and compares them by user and seed. Settings found
    by `kgrec tune` come in by --config DIR/best.toml. DIR gets every user's values,
    differences.csv, ablation.json and pictures. The same command goes on where it was interrupted,
    or further with more seeds or relations.
    """
    count = _count(relations)
    chosen = settings(set_ or [], config)
    other = settings([], without_config)
    from kgrec.models.catalog import find
    from kgrec.scale.world import World
    from kgrec.study import ablate as study

    if out is not None:
        folder = out
    else:
        folder = Path(f"ablate-{find(model).name}")

    try:
        found = study.ablate(
            dataset,
            model,
            out=folder,
            seeds=seeds,
            relations=count,
            preset=preset,
            settings=chosen,
            without_settings=other,
            metric=metric,
            on=on,
            device=device,
            world=(world := World.here()),
        )
    except KeyboardInterrupt as stop:
        if (folder / "study.json").is_file():
            stop.add_note("The finished runs are kept: the same command continues from them.")
        raise

    if not world.first:
        return

    _draw(found, folder)
    if json:
        show_json(found.to_dict())
    else:
        _show(found)


def _count(relations: str) -> int | Literal["all"]:
    if relations == "all":
        return "all"
    if not (relations.isascii() and relations.isdigit()):
        raise ConfigError(
            f'--relations {relations}: expected a whole number of 0 or more, or "all".'
        )

    return int(relations)


def _show(found: "Ablation") -> None:
    names = [found.metric, *(name for name in ("ndcg@20", "recall@20") if name != found.metric)]
    rows = [
        (variant, *(f"{means[name]:.4f}" for name in names))
        for variant, means in found.means.items()
    ]
    title = f"{clean(found.model)} on {clean(found.dataset)}, {found.on}, {found.seeds} seeds"
    show_table(("variant", *names), rows, title=title, right=names)
    print()
    columns = ("difference", "group", "users", found.metric, "95 % interval", "p", "p (Holm)")
    show_table(columns, [_row(contrast) for contrast in found.contrasts], right=columns[2:])
    print(f"\n{clean(found.verdict)}")


def _row(contrast: "Contrast") -> tuple[str, ...]:
    interval = f"{contrast.low:+.4f} to {contrast.high:+.4f}"
    p = [f"{value:.4f}" for value in (contrast.p, contrast.p_adjusted)]
    return (
        f"{contrast.first} - {contrast.second}",
        contrast.group,
        f"{contrast.users:,}",
        f"{contrast.mean:+.4f}",
        interval,
        *p,
    )


def _draw(found: "Ablation", folder: Path) -> None:
    from kgrec.reports.plots import plot_differences

    groups: dict[str, list[Whisker]] = {}
    single: list[Whisker] = []

    for contrast in found.contrasts:
        if contrast.second.startswith("without "):
            single.append(_whisker(contrast.second.removeprefix("without "), contrast))
        else:
            groups.setdefault(f"{contrast.first} - {contrast.second}", []).append(
                _whisker(contrast.group, contrast)
            )

    title = f"{found.model} on {found.dataset}: differences in {found.metric}"
    note = (
        f"{found.on} part, {found.seeds} seeds. Lines: 95 % intervals over users and seeds, "
        "each by itself; hollow where it holds 0."
    )
    whole(folder / "groups.png", lambda path: plot_differences(groups, title, note, path))

    if single:
        whole(
            folder / "relations.png",
            lambda path: plot_differences(
                {"with it - without it": single}, title, "95 % intervals", path
            ),
        )


def _whisker(label: str, contrast: "Contrast") -> "Whisker":
    from kgrec.reports.plots import Whisker

    return Whisker(label, contrast.mean, contrast.low, contrast.high)
