"""Pictures that commands write."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgrec.explanation.quality.report import Curve, Figure, Quality
    from kgrec.models.base import Span
    from kgrec.study.tune import Trial, Tuning

INK, FAINT = "#1f2933", "#9aa5b1"
_METADATA: dict[str, dict[str, Any]] = {  # nothing that differs from run to run
    "png": {"Software": None},
    "svg": {"Date": None},
}
COLORS = {"interactions": "#8fa3b8", "knowledge": "#0f766e", "shuffled": "#d9a441"}
LEGEND = {
    "interactions": "interactions only",
    "knowledge": "with the knowledge graph",
    "shuffled": "the same graph, triples shuffled",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One model in the picture.

    Attributes:
        label: Name.
        kind: A key of ``LEGEND``.
        values: Mean per metric.
        errors: Half width of each mean's 95 % interval.
    """

    label: str
    kind: str
    values: dict[str, float]
    errors: dict[str, float]


def plot_metrics(
    bars: Sequence[Bar], metrics: Sequence[str], title: str, footnote: str, path: Path
) -> None:
    """Draw one panel of horizontal bars per metric, with 95 % intervals over users, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(
        figsize=(4.1 * len(metrics) + 1.4, 0.46 * len(bars) + 2.1), dpi=150, facecolor="white"
    )
    FigureCanvasAgg(figure)
    rows = list(range(len(bars)))[::-1]
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        values = [b.values[metric] for b in bars]
        errors = [b.errors[metric] for b in bars]
        panel.barh(rows, values, color=[COLORS[b.kind] for b in bars], height=0.62, zorder=2)
        panel.errorbar(
            values,
            rows,
            xerr=errors,
            fmt="none",
            ecolor=INK,
            elinewidth=0.9,
            capsize=2.2,
            zorder=3,
        )
        reach = max(v + e for v, e in zip(values, errors, strict=True)) or 1.0

        for row, value, error in zip(rows, values, errors, strict=True):
            panel.text(
                value + error + 0.02 * reach,
                row,
                f"{value:.3f}",
                va="center",
                fontsize=9,
                color=INK,
            )

        panel.set_xlim(0, 1.16 * reach)
        panel.set_title(
            metric.replace("ndcg", "NDCG").replace("recall", "Recall"),
            loc="left",
            fontsize=10.5,
            color=INK,
            fontweight="bold",
        )
        panel.set_yticks(rows, [b.label for b in bars], fontsize=10, color=INK)
        panel.tick_params(axis="x", labelsize=8, colors=FAINT, length=0)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x", color="#e4e7eb", linewidth=0.8, zorder=0)
        for side in panel.spines.values():
            side.set_visible(False)

    kinds = [kind for kind in LEGEND if any(b.kind == kind for b in bars)]
    inch = 1 / (0.46 * len(bars) + 2.1)
    figure.subplots_adjust(
        left=0.17, right=0.985, top=1 - 0.98 * inch, bottom=0.68 * inch, wspace=0.08
    )
    figure.text(
        0.015, 1 - 0.3 * inch, title, fontsize=13, fontweight="bold", color=INK, va="center"
    )
    handles = [Patch(color=COLORS[kind], label=LEGEND[kind]) for kind in kinds]
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.008, 1 - 0.6 * inch),
        ncols=len(kinds),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    figure.text(0.015, 0.18 * inch, footnote, fontsize=8, color="#52606d", va="center")
    figure.savefig(path, format="png", metadata={"Software": None})


@dataclass(frozen=True, slots=True)
class Whisker:
    """One difference in the picture.

    Attributes:
        label: What differs.
        value: Mean difference.
        low: Lower end of its interval.
        high: Upper end.
    """

    label: str
    value: float
    low: float
    high: float


_ACROSS = 3


def plot_differences(
    panels: Mapping[str, Sequence[Whisker]],
    title: str,
    footnote: str,
    path: Path,
    form: str = "png",
) -> None:
    """Draw one panel of differences with intervals per metric, as "png" or "svg".

    An interval that holds 0 is drawn hollow.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels = list(
        dict.fromkeys(whisker.label for whiskers in panels.values() for whisker in whiskers)
    )
    columns = min(_ACROSS, len(panels))
    rows = math.ceil(len(panels) / columns)
    tall = rows * (0.34 * len(labels) + 0.75) + 0.95
    layout = ConstrainedLayoutEngine(rect=(0.008, 0.3 / tall, 0.985, 1 - 0.85 / tall))
    figure = Figure(figsize=(3.2 * columns + 1.8, tall), dpi=150, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten().tolist()
    for panel, (metric, whiskers) in zip(grid, panels.items(), strict=False):
        _draw_whiskers(panel, labels, whiskers)
        panel.set_title(
            metric.replace("ndcg", "NDCG"), loc="left", fontsize=10, color=INK, fontweight="bold"
        )

    for panel in grid[len(panels) :]:
        panel.set_visible(False)

    figure.text(
        0.012, 1 - 0.3 / tall, title, fontsize=12, fontweight="bold", color=INK, va="center"
    )
    figure.text(0.012, 0.16 / tall, footnote, fontsize=8, color="#52606d", va="center")
    figure.savefig(path, format=form, metadata=_METADATA[form])


def _draw_whiskers(panel: Any, labels: Sequence[str], whiskers: Sequence[Whisker]) -> None:
    panel.axvline(0, color="#52606d", linewidth=1.1, zorder=1.5)
    for whisker in whiskers:
        row = len(labels) - 1 - labels.index(whisker.label)
        color = COLORS["knowledge"]
        face = color

        if whisker.low <= 0 <= whisker.high:
            color = COLORS["interactions"]
            face = "white"

        panel.plot(
            [whisker.low, whisker.high],
            [row, row],
            color=color,
            linewidth=1.8,
            solid_capstyle="round",
            zorder=2,
        )

        panel.plot(
            [whisker.value],
            [row],
            "o",
            markersize=6,
            color=face,
            markeredgecolor=color,
            markeredgewidth=1.4,
            zorder=3,
        )

        above = {
            "xytext": (0, 5),
            "textcoords": "offset points",
            "ha": "center",
            "va": "bottom",
            "fontsize": 7.5,
            "color": INK,
        }
        panel.annotate(f"{whisker.value:+.4f}", (whisker.value, row), **above)

    ends = [0.0, *(end for whisker in whiskers for end in (whisker.low, whisker.high))]
    margin = 0.15 * (max(ends) - min(ends)) or 1.0
    panel.set_xlim(min(ends) - margin, max(ends) + margin)
    panel.locator_params(axis="x", nbins=4)
    panel.set_yticks(range(len(labels)), labels[::-1], fontsize=9, color=INK)
    panel.set_ylim(-0.6, len(labels) - 0.4)
    panel.tick_params(axis="x", labelsize=7.5, colors="#52606d", length=0)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color="#e4e7eb", linewidth=0.8, zorder=0)
    for side in panel.spines.values():
        side.set_visible(False)


_TRIAL_COLUMNS = 4


def plot_trials(found: "Tuning", path: Path) -> None:
    """Draw a search as a PNG: the best so far, and each setting against the validation value."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trials = found.tried
    space = found.space
    count = 1 + len(space)
    rows = math.ceil(count / _TRIAL_COLUMNS)
    columns = min(_TRIAL_COLUMNS, count)
    figure = Figure(
        figsize=(3.0 * columns + 0.4, 2.5 * rows + 0.9),
        dpi=150,
        facecolor="white",
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten().tolist()
    measured = [trial for trial in trials if trial.value is not None]
    _best_so_far(panels[0], trials)
    _points(panels[0], measured, [float(trial.number) for trial in measured], "trial")

    for panel, (name, span) in zip(panels[1:], space.items(), strict=False):
        _points(
            panel,
            measured,
            _positions(panel, span, [trial.settings[name] for trial in measured]),
            name,
        )

    for panel in panels[count:]:
        panel.set_visible(False)

    for panel in panels[:count:columns]:
        panel.set_ylabel(found.metric, fontsize=8.5, color=INK)

    states = ", ".join(
        f"{sum(trial.state == state for trial in trials)} {state}"
        for state in ("done", "pruned", "failed")
    )
    title = f"{found.model} on {found.dataset}: {found.metric} on the validation part"
    note = f"{states}; hollow: pruned, square: the default preset, yellow: the best"
    figure.suptitle(title, x=0.008, ha="left", fontsize=11, fontweight="bold", color=INK)
    figure.supxlabel(note, x=0.008, ha="left", fontsize=8, color="#52606d")
    figure.savefig(path, format="png", metadata={"Software": None})


def _best_so_far(panel: Any, trials: "Sequence[Trial]") -> None:
    best = -math.inf
    line = []

    for trial in trials:
        if trial.state == "done" and trial.value is not None:
            best = max(best, trial.value)
        line.append(best)

    line = [value if value > -math.inf else math.nan for value in line]
    panel.step(
        [trial.number for trial in trials], line, where="post", color=FAINT, linewidth=1.4, zorder=1
    )
    panel.xaxis.get_major_locator().set_params(integer=True)


def _positions(panel: Any, span: "Span | tuple[Any, ...]", values: list[Any]) -> list[float]:
    """Return where values lie on a panel's axis, after setting up its range and its ticks."""
    if not isinstance(span, tuple):
        low = min([span.low, *values])
        high = max([span.high, *values])

        if span.log:
            panel.set_xscale("log")
            panel.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
            panel.set_xticks(
                ticks := [low, math.sqrt(low * high), high], [f"{tick:.2g}" for tick in ticks]
            )
            panel.minorticks_off()
        else:
            panel.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
            panel.locator_params(
                axis="x", nbins=5, integer=isinstance(low, int) and isinstance(high, int)
            )

        return [float(value) for value in values]

    written = [_written(value) for value in values]
    names = list(dict.fromkeys([*map(_written, span), *written]))
    rotation = 0
    if max(map(len, names)) > 6:
        rotation = 30

    panel.set_xticks(range(len(names)), names, rotation=rotation)
    panel.set_xlim(-0.6, len(names) - 0.4)
    return [float(names.index(name)) for name in written]


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _points(panel: Any, trials: "Sequence[Trial]", positions: list[float], name: str) -> None:
    best = max(
        (trial for trial in trials if trial.state == "done"), key=lambda trial: trial.value or 0.0
    )
    for trial, position in zip(trials, positions, strict=True):
        style = {"color": COLORS["knowledge"], "markersize": 5, "zorder": 3}
        if trial is best:
            style = {"color": COLORS["shuffled"], "markersize": 7, "zorder": 4}

        style["markeredgecolor"] = style["color"]
        if trial is best:
            style["markeredgecolor"] = INK

        if trial.state != "done":
            style["color"] = "white"

        marker = "o"
        if trial.number == 1:
            marker = "s"

        panel.plot([position], [trial.value], marker, **style)

    panel.set_title(name, loc="left", fontsize=9.5, color=INK, fontweight="bold")
    panel.tick_params(labelsize=7.5, colors="#52606d", length=0)
    panel.grid(color="#e4e7eb", linewidth=0.8, zorder=0)
    for side in panel.spines.values():
        side.set_visible(False)


def plot_shares(
    labels: Sequence[str],
    values: Sequence[float],
    title: str,
    footnote: str,
    path: Path,
    form: str = "png",
) -> None:
    """Draw one horizontal bar per label, those below zero in another color."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 0.36 * max(len(labels), 1) + 1.7), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    rows = list(range(len(labels)))[::-1]
    signs = {True: COLORS["knowledge"], False: COLORS["shuffled"]}
    panel.barh(rows, values, color=[signs[value >= 0] for value in values], height=0.62, zorder=2)
    panel.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
    panel.set_yticks(rows, [cut_label(label) for label in labels], fontsize=9, color=INK)
    panel.tick_params(axis="x", labelsize=8, colors=FAINT, length=0)
    panel.tick_params(axis="y", length=0)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)

    panel.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    figure.text(0.01, 0.01, footnote, fontsize=8, color=FAINT)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, format=form)


def cut_label(label: str, most: int = 60) -> str:
    """Return a label of at most so many signs."""
    if len(label) <= most:
        return label
    return label[: most - 1] + "…"


PATHS = {
    "best": ("paths shown", "knowledge"),
    "matched": ("degree-matched paths", "shuffled"),
    "random": ("random paths", "interactions"),
}
_MODES = {"delete": "everything recomputed", "mask": "other weights kept"}


def plot_quality(found: "Quality", path: Path, form: str = "png") -> None:
    """Draw the drops and AOPC curves of paths shown, degree-matched and random, by mode.

    Intervals are of 95 %, over users.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    modes = [mode for mode in _MODES if any(curve.mode == mode for curve in found.curves)]
    layout = ConstrainedLayoutEngine(rect=(0.008, 0.07, 0.985, 0.75), wspace=0.06)
    canvas = Canvas(
        figsize=(3.4 * (1 + len(modes)) + 0.6, 3.9), dpi=150, facecolor="white", layout=layout
    )
    FigureCanvasAgg(canvas)
    first, *others = canvas.subplots(
        1, 1 + len(modes), squeeze=False, width_ratios=[1.15, *[1] * len(modes)]
    )[0]
    _draw_drops(first, found, modes)

    for panel, mode in zip(others, modes, strict=True):
        _draw_aopc(panel, [curve for curve in found.curves if curve.mode == mode])
        panel.set_title(
            f"AOPC, {_MODES[mode]}", loc="left", fontsize=9.5, color=INK, fontweight="bold"
        )

    top = max(panel.get_ylim()[1] for panel in others)
    for panel in others:
        panel.set_ylim(min(0.0, *(panel.get_ylim()[0] for panel in others)), top)

    title = (
        f"Explanations of {found.model} on {found.dataset}: what taking paths away does to "
        "the score"
    )
    canvas.text(0.012, 0.945, title, fontsize=11.5, fontweight="bold", color=INK, va="center")
    handles = [Patch(color=COLORS[color], label=label) for label, color in PATHS.values()]
    canvas.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(0.004, 0.865),
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    drawn = found.curves[0].points[0].count
    sizes = (
        f"{found.pairs:,} recommendations of {found.users:,} users ({drawn:,} in the curves), "
        f"{found.paths:,} paths"
    )
    note = (
        f"{sizes}; 95 % intervals over users; hollow: of the paths that have a degree-matched one"
    )
    canvas.text(0.012, 0.035, note, fontsize=8, color="#52606d", va="center")
    canvas.savefig(path, format=form, metadata=_METADATA[form])


def _draw_drops(panel: Any, found: "Quality", modes: Sequence[str]) -> None:
    rows = [(mode, kind) for mode in modes for kind in PATHS]
    ends = [0.0]
    keys = {"best": "drop", "matched": "matched", "random": "random"}

    for row, (mode, kind) in enumerate(rows[::-1]):
        figure = found[f"necessity.{keys[kind]}.{mode}"]
        if figure.value is None:
            continue

        low, high = _ends(figure)
        color = COLORS[PATHS[kind][1]]
        ends += [low, high]
        panel.plot(
            [low, high], [row, row], color=color, linewidth=2, solid_capstyle="round", zorder=2
        )
        panel.plot([figure.value], [row], "o", markersize=6.5, color=color, zorder=3)
        above = {
            "xytext": (0, 6),
            "textcoords": "offset points",
            "ha": "center",
            "va": "bottom",
            "fontsize": 7.5,
            "color": INK,
        }
        panel.annotate(f"{figure.value:.3g}", (figure.value, row), **above)
        paired = found[f"necessity.paired.{mode}"].value
        if kind == "matched" and paired is not None:
            hollow = {
                "color": "white",
                "markeredgecolor": COLORS["knowledge"],
                "markeredgewidth": 1.4,
            }
            panel.plot([paired], [row], "o", markersize=5.5, zorder=3, **hollow)
            ends.append(paired)

    margin = 0.1 * (max(ends) - min(ends)) or 1.0
    panel.axvline(0, color="#52606d", linewidth=1.1, zorder=1.5)
    panel.set_xlim(min(ends) - margin * (min(ends) < 0), max(ends) + margin)
    names = [_MODES[mode].replace(" ", "\n") for mode in modes]
    panel.set_yticks([len(rows) - 2 - 3 * n for n in range(len(modes))], names)
    panel.set_ylim(-0.6, len(rows) - 0.2)
    panel.set_title(
        "Drop of one path, mean", loc="left", fontsize=9.5, color=INK, fontweight="bold"
    )
    quiet_panel(panel, "x")


def _ends(figure: "Figure") -> tuple[float, float]:
    """Return the ends of a figure's interval; its value if there is none."""
    value = figure.value or 0.0
    if figure.low is None or figure.high is None:
        return value, value
    return figure.low, figure.high


def _draw_aopc(panel: Any, curves: "Sequence[Curve]") -> None:
    for curve in curves:
        color = COLORS[PATHS[curve.paths][1]]
        steps = range(1, len(curve.points) + 1)
        low, high = zip(*(_ends(point) for point in curve.points), strict=True)
        panel.fill_between(steps, low, high, color=color, alpha=0.16, linewidth=0, zorder=1)
        panel.plot(
            steps,
            [point.value for point in curve.points],
            "o-",
            color=color,
            markersize=4,
            linewidth=1.8,
            zorder=3,
        )

    panel.set_xlabel("paths taken away together", fontsize=8.5, color="#52606d")
    panel.xaxis.get_major_locator().set_params(integer=True)
    quiet_panel(panel, "y")


def quiet_panel(panel: Any, axis: str) -> None:
    """Leave grid lines along one axis and nothing else around a panel."""
    panel.tick_params(labelsize=8, colors="#52606d", length=0)
    panel.grid(axis=axis, color="#e4e7eb", linewidth=0.8, zorder=0)
    for side in panel.spines.values():
        side.set_visible(False)
