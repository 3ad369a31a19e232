"""``kgrec ablate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kgrec.cli.options import (
    ConfigOption,
    DatasetArgument,
    DeviceOption,
    JsonOption,
    ModelOption,
    SetOption,
    numbers,
    settings,
    values,
    whole_numbers,
)
from kgrec.cli.output import keeping, show_json, show_table, whole
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
    curves: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...|all",
            help="Instead: the metric against shares of triples that are kept, distorted, or false, "
            "and for cold-users and cold-items.",
            show_default=False,
        ),
    ] = None,
    shares: Annotated[
        str, typer.Option(metavar="S,...", help="Of --curves: shares of triples.")
    ] = "0,0.25,0.5,0.75,1",
    left: Annotated[
        str,
        typer.Option(metavar="N,...", help="Of --curves: interactions that cold users keep."),
    ] = "1,3,5",
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
    or further with more seeds or relations. --curves asks how much knowledge helps, by degrees.
    """
    count = _count(relations)
    chosen = settings(set_ or [], config)
    other = settings([], without_config)
    from kgrec.models.catalog import find
    from kgrec.scale.world import World
    from kgrec.study import ablate as study

    name = find(model).name
    if curves is not None:
        if without_config is not None or on != "test":
            raise ConfigError("--without-config and --on are not of --curves. Leave them out.")
        if World.here().size > 1:
            raise ConfigError("--curves trains in one process. Start it without torchrun.")

        _curves(
            dataset,
            model,
            out or Path(f"curves-{name}"),
            values(curves),
            numbers(shares, "--shares"),
            whole_numbers(left, "--left"),
            {
                "seeds": seeds,
                "preset": preset,
                "settings": chosen,
                "metric": metric,
                "device": device,
            },
            json,
        )
        return

    folder = out or Path(f"ablate-{name}")
    with keeping(
        folder / "study.json", "The finished runs are kept: the same command continues from them."
    ):
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

    if not world.first:
        return

    _draw(found, folder)
    if json:
        show_json(found.to_dict())
    else:
        _show(found)


def _curves(
    dataset: str,
    model: str,
    folder: Path,
    kinds: Sequence[str],
    shares: Sequence[float],
    left: Sequence[int],
    settings: dict[str, Any],
    json: bool,
) -> None:
    from kgrec.reports.bench_plots import plot_ablation_curves
    from kgrec.study.curves import KINDS, ablate_curves

    if list(kinds) == ["all"]:
        kinds = KINDS

    with keeping(
        folder / "study.json", "The finished runs are kept: the same command continues from them."
    ):
        found = ablate_curves(
            dataset, model, out=folder, kinds=kinds, shares=shares, left=left, **settings
        )

    whole(folder / "curves.png", lambda path: plot_ablation_curves(found, path))
    if json:
        show_json(found.to_dict())
        return

    rows = []
    for point in found.points:
        if point.loss is None:
            gap = ("", "", "")
        else:
            efficiency = "" if point.kger is None else f"{point.kger:+.3f}"
            gap = (
                f"{point.loss:+.4f} [{point.loss_low:+.4f}, {point.loss_high:+.4f}]",
                f"{point.p:.2g}",
                efficiency,
            )

        graph = "yes" if point.graph else "no"
        figures = f"{point.mean:.4f} [{point.low:.4f}, {point.high:.4f}]"
        rows.append((point.kind, f"{point.at:g}", graph, f"{point.users:,}", figures, *gap))

    columns = ("curve", "at", "graph", "users", found.metric, "lost", "p (Holm)", "KGER")
    title = f"{clean(found.model)} on {clean(found.dataset)}, test, {found.seeds} seeds"
    show_table(columns, rows, title=title, right=columns[3:])
    print()
    for verdict in found.verdicts.values():
        print(clean(verdict))


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
    columns = (
        "difference",
        "group",
        "users",
        found.metric,
        "95 % interval",
        "p",
        "p (Holm)",
        "KGER",
    )
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
        "" if contrast.kger is None else f"{contrast.kger:+.3f}",
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
