"""Pictures that commands write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INK, FAINT = "#1f2933", "#9aa5b1"
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


def plot_metrics(bars: Sequence[Bar], metrics: Sequence[str], title: str, footnote: str, path: Path) -> None:
    """Draw one panel of horizontal bars per metric, with 95 % intervals over users, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(4.1 * len(metrics) + 1.4, 0.46 * len(bars) + 2.1), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    places = list(range(len(bars)))[::-1]
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=True):
        values, errors = [b.values[metric] for b in bars], [b.errors[metric] for b in bars]
        panel.barh(places, values, color=[COLORS[b.kind] for b in bars], height=0.62, zorder=2)
        panel.errorbar(values, places, xerr=errors, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.2, zorder=3)
        reach = max(v + e for v, e in zip(values, errors, strict=True)) or 1.0
        for place, value, error in zip(places, values, errors, strict=True):
            panel.text(value + error + 0.02 * reach, place, f"{value:.3f}", va="center", fontsize=9, color=INK)
        panel.set_xlim(0, 1.16 * reach)
        panel.set_title(metric.replace("ndcg", "NDCG").replace("recall", "Recall"), loc="left", fontsize=10.5, color=INK, fontweight="bold")
        panel.set_yticks(places, [b.label for b in bars], fontsize=10, color=INK)
        panel.tick_params(axis="x", labelsize=8, colors=FAINT, length=0)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x", color="#e4e7eb", linewidth=0.8, zorder=0)
        for side in panel.spines.values():
            side.set_visible(False)
    kinds = [kind for kind in LEGEND if any(b.kind == kind for b in bars)]
    inch = 1 / (0.46 * len(bars) + 2.1)
    figure.subplots_adjust(left=0.17, right=0.985, top=1 - 0.98 * inch, bottom=0.68 * inch, wspace=0.08)
    figure.text(0.015, 1 - 0.3 * inch, title, fontsize=13, fontweight="bold", color=INK, va="center")
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
