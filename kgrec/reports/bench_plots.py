"""Pictures of an experiment: learning curves, critical differences, groups."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from kgrec.data.io.writing import write_file
from kgrec.reports.plots import INK, cut_label, quiet_panel

if TYPE_CHECKING:
    from kgrec.study.curves import Curves
    from kgrec.study.figures import Bench, Ranks

FOLDER = "pictures"
_COLORS = ("#0f766e", "#d9a441", "#3b6ea8", "#b4483d", "#7d5ba6", "#5f7a3a", "#8fa3b8", "#1f2933")
_DASHES = ("-", "--", ":", "-.")
_GRAY = "#52606d"


def draw_bench(found: "Bench") -> list[Path]:
    """Draw the pictures of an experiment into its folder, and return their paths: a panel per data
    set of learning curves (if anything was measured by epoch), of groups, of mean ranks.
    """
    folder = found.out / FOLDER
    folder.mkdir(exist_ok=True)
    pictures: "dict[str, Callable[[Bench, Path], None]]" = {}
    if _measured(found).height:
        pictures["curves"] = plot_curves
    if found.groups.height:
        pictures["groups"] = plot_groups
    if found.ranks:
        pictures["ranks"] = plot_ranks

    for name, draw in pictures.items():
        write_file(folder / f"{name}.png", partial(draw, found))

    return [folder / f"{name}.png" for name in pictures]


def plot_curves(found: "Bench", path: Path) -> None:
    """Draw the validation metric by epoch, a line for each seed of each row."""
    curves = _measured(found)
    panels = curves.partition_by("data", "metric", as_dict=True, maintain_order=True)
    figure, grid = _figure(len(panels), 4.3, 3.2)
    styles = _styles(found)
    for panel, ((data, metric), part) in zip(grid, panels.items(), strict=False):
        for (model, _), line in part.partition_by(
            "model", "seed", as_dict=True, maintain_order=True
        ).items():
            single = line.height == 1  # a closed form is a level, not a curve
            if single:
                panel.axhline(line["value"][0], alpha=0.8, linewidth=1.3, **styles[str(model)])
            else:
                panel.plot(
                    line["epoch"], line["value"], linewidth=1.3, alpha=0.8, **styles[str(model)]
                )

        panel.set_title(f"{data}: {metric} on validation", loc="left", **_TITLE)
        panel.set_xlabel("epoch", fontsize=8.5, color=_GRAY)
        panel.xaxis.get_major_locator().set_params(integer=True)
        quiet_panel(panel, "y")

    shown = [one.name for one in found.experiment.models if one.name in set(curves["model"])]
    _finish(figure, grid, len(panels), shown, styles, "A line for each seed", path)


def plot_groups(found: "Bench", path: Path) -> None:
    """Draw the first metric by group of users and items, with 95 % intervals."""
    panels = found.groups.partition_by("data", as_dict=True, maintain_order=True)
    most = max(part["group"].n_unique() for part in panels.values())
    rows = len(found.experiment.models)
    figure, grid = _figure(len(panels), 5.6, 0.5 + most * (0.16 * rows + 0.16))
    styles = _styles(found)
    for panel, ((data,), part) in zip(grid, panels.items(), strict=False):
        groups = part["group"].unique(maintain_order=True).to_list()
        for at, model in enumerate(found.experiment.models):
            shift = (at - (rows - 1) / 2) * 0.8 / rows
            color = styles[model.name]["color"]
            for one in part.filter(pl.col("model") == model.name).to_dicts():
                row = groups.index(one["group"]) + shift
                panel.plot([one["low"], one["high"]], [row, row], color=color, linewidth=1.8)
                panel.plot([one["mean"]], [row], "o", color=color, markersize=4.5)

        counts = dict(part.select("group", "users").iter_rows())
        names = [f"{group}\n{counts[group]:,} users" for group in groups]
        panel.set_yticks(range(len(groups)), names, fontsize=8, color=INK)
        panel.set_ylim(len(groups) - 0.5, -0.5)
        panel.set_title(f"{data}: {found.experiment.metrics[0]}", loc="left", **_TITLE)
        quiet_panel(panel, "x")

    names = [one.name for one in found.experiment.models]
    note = f"{found.experiment.on} part; means over users and seeds with 95 % intervals"
    _finish(figure, grid, len(panels), names, styles, note, path)


def plot_ranks(found: "Bench", path: Path) -> None:
    """Draw critical-difference diagrams: mean ranks over users on a line, best at the left; a bar
    joins rows whose ranks Nemenyi's test does not tell apart.

    Source: Demsar, JMLR 2006, Section 3.2.4.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(found.experiment.models)
    bars = max(len(_cliques(one)) for one in found.ranks)
    tall = 1.25 + 0.2 * bars + 0.26 * ((rows + 1) // 2)
    figure = Figure(figsize=(8.4, tall * len(found.ranks) + 0.35), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(found.ranks), 1, squeeze=False).flatten().tolist()
    for panel, one in zip(panels, found.ranks, strict=True):
        _draw_ranks(panel, one)

    figure.text(
        0.015,
        0.02,
        "Mean ranks over users (values averaged over seeds). A bar joins rows that Nemenyi's test "
        "at .05 does not tell apart.",
        fontsize=7.5,
        color=_GRAY,
    )
    figure.subplots_adjust(left=0.02, right=0.98, top=0.97, bottom=0.35 / figure.get_figheight())
    figure.savefig(path, format="png", metadata={"Software": None})


def plot_ablation_curves(found: "Curves", path: Path) -> None:
    """Draw what a graph does for a model by degrees: a panel for each kind of curve, with 95 %
    intervals; of cold users and items a line with the graph and one without.
    """
    from kgrec.study.curves import TITLES

    kinds = list(dict.fromkeys(point.kind for point in found.points))
    figure, grid = _figure(len(kinds), 3.9, 2.9)
    styles = {
        "with the graph": {"color": _COLORS[0]},
        "no graph": {"color": _COLORS[6], "linestyle": "--"},
    }
    for panel, kind in zip(grid, kinds, strict=False):
        for graph, style in zip((True, False), styles.values(), strict=True):
            cold = kind.startswith("cold")
            if not cold and not graph:
                continue
            line = [
                one for one in found.points if one.kind == kind and (not cold or one.graph is graph)
            ]
            places = [one.at for one in line]
            panel.plot(places, [one.mean for one in line], "o", markersize=4.5, **style)
            panel.plot(places, [one.mean for one in line], linewidth=1.5, **style)
            for one in line:
                panel.plot([one.at] * 2, [one.low, one.high], linewidth=1.2, color=style["color"])

        if kind == "cold-items":
            panel.set_xticks([0.1], ["a tenth of the items"])
            panel.set_xlim(0, 0.2)
        panel.set_title(kind, loc="left", **_TITLE)
        panel.set_xlabel(TITLES[kind], fontsize=8, color=_GRAY)
        quiet_panel(panel, "y")

    note = f"{found.model} on {found.dataset}: {found.metric}, {found.seeds} seeds, 95 % intervals"
    _finish(figure, grid, len(kinds), list(styles), styles, note, path)


_TITLE: Mapping[str, Any] = {"fontsize": 9.5, "color": INK, "fontweight": "bold"}


def _draw_ranks(panel: Any, ranks: "Ranks") -> None:
    count = len(ranks.mean)
    ordered = sorted(ranks.mean.items(), key=lambda one: one[1])
    cliques = _cliques(ranks)
    left = (count + 1) // 2
    depth = 0.55 + 0.42 * len(cliques)
    low, high = 1.0, float(count)
    margin = 0.62 * (high - low)
    panel.set_xlim(low - margin, high + margin)
    panel.set_ylim(depth + 0.62 * left + 0.1, -1.7)
    panel.axis("off")
    panel.plot([low, high], [0, 0], color=INK, linewidth=1.2)
    for tick in range(1, count + 1):
        panel.plot([tick, tick], [0, -0.16], color=INK, linewidth=1)
        panel.text(tick, -0.24, str(tick), ha="center", va="bottom", fontsize=8, color=INK)

    width = min(ranks.critical, high - low)
    panel.plot([low, low + width], [-0.98, -0.98], color=_GRAY, linewidth=1.6)
    for end in (low, low + width):
        panel.plot([end, end], [-1.08, -0.88], color=_GRAY, linewidth=1.2)
    panel.text(
        low + width + 0.01 * (high - low),
        -0.98,
        f"  critical difference {ranks.critical:.2f}",
        va="center",
        fontsize=7.5,
        color=_GRAY,
    )
    p = f"= {ranks.p:.4f}"
    if ranks.p < 1e-4:
        p = "< .0001"

    title = f"{ranks.data}: {ranks.metric}, {ranks.users:,} users, Friedman p {p}"
    panel.text(low - margin, -1.42, title, va="bottom", **_TITLE)

    for at, (model, mean) in enumerate(ordered):
        name = cut_label(model, 28)
        if at < left:
            row = depth + 0.62 * at
            end = low - 0.04 * (high - low)
            words = f"{name}  {mean:.2f}"
            side = {"ha": "right", "va": "center"}
        else:
            row = depth + 0.62 * (count - 1 - at)
            end = high + 0.04 * (high - low)
            words = f"{mean:.2f}  {name}"
            side = {"ha": "left", "va": "center"}

        panel.plot([mean, mean, end], [0, row, row], color=_GRAY, linewidth=0.9)
        panel.text(end, row, f" {words} ", fontsize=8.5, color=INK, **side)

    for at, (first, last) in enumerate(cliques):
        row = 0.34 + 0.42 * at
        panel.plot(
            [first - 0.02 * (high - low), last + 0.02 * (high - low)],
            [row, row],
            color="#0f766e",
            linewidth=3.2,
            solid_capstyle="round",
        )


def _cliques(ranks: "Ranks") -> list[tuple[float, float]]:
    """Return the ends of each largest run of mean ranks within the critical difference."""
    means = sorted(ranks.mean.values())
    found: list[tuple[float, float]] = []
    for first in means:
        last = max(mean for mean in means if mean - first < ranks.critical)
        # one that ends where the last one ended lies within it
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
        elif means.count(first) > 1 and not _inside(first, found):
            found.append((first, first))

    return found


def _inside(value: float, bars: Sequence[tuple[float, float]]) -> bool:
    return any(low <= value <= high for low, high in bars)


def _measured(found: "Bench") -> pl.DataFrame:
    """Return the curves of what validation measured."""
    losses = pl.col("metric").str.contains("@") | pl.col("metric").is_in(["auc", "rmse", "mae"])
    return found.curves.filter(losses)


def _styles(found: "Bench") -> dict[str, dict[str, Any]]:
    return {
        model.name: {
            "color": _COLORS[at % len(_COLORS)],
            "linestyle": _DASHES[at // len(_COLORS) % len(_DASHES)],
        }
        for at, model in enumerate(found.experiment.models)
    }


def _figure(panels: int, width: float, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(2, panels)
    rows = -(-panels // columns)
    tall = height * rows + 0.75
    layout = ConstrainedLayoutEngine(rect=(0.008, 0.3 / tall, 0.985, 1 - 0.75 / tall))
    size = (width * columns + 0.8, tall)
    figure = Figure(figsize=size, dpi=150, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).flatten().tolist()


def _finish(
    figure: Any,
    grid: Sequence[Any],
    panels: int,
    names: Sequence[str],
    styles: Mapping[str, dict[str, Any]],
    note: str,
    path: Path,
) -> None:
    from matplotlib.lines import Line2D

    for panel in grid[panels:]:
        panel.set_visible(False)

    tall = figure.get_figheight()
    handles = [Line2D([], [], label=cut_label(name), linewidth=2, **styles[name]) for name in names]
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.004, 1 - 0.24 / tall),
        ncols=min(6, len(handles)),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )
    figure.text(0.012, 0.14 / tall, note, fontsize=8, color=_GRAY, va="center")
    figure.savefig(path, format="png", metadata={"Software": None})
