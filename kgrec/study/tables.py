"""Tables of an experiment: Markdown, CSV and LaTeX."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from kgrec.data.io.writing import write_whole
from kgrec.escaping import csv_safe, markdown
from kgrec.study.figures import Bench, Figure, Gap

TABLES = "tables"
_RESULTS = "results"
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}
_NAMES = {"ndcg": "NDCG", "mrr": "MRR", "map": "MAP", "auc": "AUC"}


def write_tables(found: Bench) -> None:
    """Write ``tables`` in the experiment's folder: results, differences, groups, curves and costs
    as CSV, results and differences as Markdown and LaTeX.
    """
    folder = found.out / TABLES
    folder.mkdir(exist_ok=True)
    frames = {
        _RESULTS: pl.DataFrame(list(found.figures)),
        "differences": pl.DataFrame(list(found.gaps)),
        "groups": found.groups,
        "curves": found.curves,
        "costs": found.costs,
    }
    for name, frame in frames.items():
        _write(folder / f"{name}.csv", _csv(frame))

    _write(folder / f"{_RESULTS}.md", results_markdown(found))
    _write(folder / f"{_RESULTS}.tex", results_latex(found))


def results_markdown(found: Bench) -> str:
    """Return results and differences as Markdown: means with 95 % intervals, the best in bold."""
    metrics = found.experiment.metrics
    lines = [f"# {markdown(found.experiment.name)}", ""]
    for data in _data(found):
        lines += [f"## {markdown(data)}", ""]
        lines += [f"| model | {' | '.join(metrics)} | seconds | epochs |", "|---|" + _bars(found)]
        for model in found.experiment.models:
            cells = [_cell(found.figure(data, model.name, metric)) for metric in metrics]
            cost = found.costs.row(
                by_predicate=(pl.col("data") == data) & (pl.col("model") == model.name), named=True
            )
            note = found.figure(data, model.name, metrics[0]).note
            label = markdown(model.name) + _behind(note)
            cells += [f"{cost['seconds']:.1f}", f"{cost['epochs']:.0f}"]
            lines.append(f"| {label} | {' | '.join(cells)} |")

        gaps = [gap for gap in found.gaps if gap.data == data]
        if gaps:
            lines += ["", f"Against {markdown(gaps[0].against)}:", ""]
            lines += ["| model | metric | difference | 95 % interval | p (Holm) | |"]
            lines += ["|---|---|---|---|---|---|", *(_gap(gap) for gap in gaps)]
        lines.append("")

    budget = asdict(found.experiment.budget)
    given = [f"{key} {value}" for key, value in budget.items() if value is not None]
    limits = ", ".join(given) or "none"
    notes = [
        f"{found.experiment.on} part, seeds {', '.join(map(str, found.experiment.seeds))}; "
        f"budget of each model: {limits}. Means over users and seeds with 95 % intervals over both.",
        *found.notes,
    ]
    return "\n".join([*lines, *(f"- {note}" for note in notes)]) + "\n"


def results_latex(found: Bench) -> str:
    r"""Return the results as a LaTeX table for ``booktabs``: the best in bold, ``*`` where a row
    differs from the one compared with after Holm's correction.
    """
    experiment = found.experiment
    metrics = [latex(_title(metric)) for metric in experiment.metrics]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(found)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', experiment.name)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}",
        r"\toprule",
        " & ".join(["Model", *metrics]) + r" \\",
    ]
    for data in _data(found):
        lines.append(r"\midrule")
        if len(_data(found)) > 1:
            lines.append(rf"\multicolumn{{{len(metrics) + 1}}}{{l}}{{\emph{{{latex(data)}}}}} \\")
        for model in experiment.models:
            figures = [found.figure(data, model.name, metric) for metric in experiment.metrics]
            note = _behind(latex(figures[0].note))
            cells = [_latex_cell(one, found) for one in figures]
            lines.append(" & ".join([latex(model.name) + note, *cells]) + r" \\")

    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def latex(text: str) -> str:
    r"""Return text with everything escaped that LaTeX would take for a command.

    >>> latex("A&B_50% {x} \\input#1~^$")
    'A\\&B\\_50\\% \\{x\\} \\textbackslash{}input\\#1\\textasciitilde{}\\textasciicircum{}\\$'
    """
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def number(value: float) -> str:
    """Return a value with four digits, without the leading zero.

    >>> number(0.31), number(-0.05), number(1.2)
    ('.3100', '-.0500', '1.2000')
    """
    text = f"{value:.4f}"
    if text.lstrip("-").startswith("0."):
        return text.replace("0.", ".", 1)
    return text


def _behind(note: str) -> str:
    """Return a note as it stands behind a name."""
    if not note:
        return ""
    return f" ({note})"


def _latex_cell(one: Figure, found: Bench) -> str:
    mean = number(one.mean)
    if one.best:
        mean = rf"\mathbf{{{mean}}}"

    mark = spread = ""
    if any(
        gap.verdict != "no difference shown"
        for gap in found.gaps
        if (gap.data, gap.model, gap.metric) == (one.data, one.model, one.metric)
    ):
        mark = "^{*}"
    if one.spread > 0:
        spread = rf" \pm {number(one.spread)}"

    return f"${mean}{mark}{spread}$"


def _caption(found: Bench) -> str:
    experiment = found.experiment
    count = len(experiment.seeds)
    text = f"{experiment.name}, {experiment.on} part: means over users and "
    if count > 1:
        text += f"{count} seeds, with their standard deviation over seeds"
    else:
        text += "one seed"

    against = sorted({gap.against for gap in found.gaps})
    if against:
        text += f"; * differs from {' and '.join(against)} (Holm-corrected p < .05)"
    return latex(text) + "."


def _title(metric: str) -> str:
    name, sign, cut = metric.partition("@")
    return _NAMES.get(name, name.capitalize()) + sign + cut


def _cell(one: Figure) -> str:
    text = f"{number(one.mean)} [{number(one.low)}, {number(one.high)}]"
    if one.best:
        return f"**{text}**"
    return text


def _gap(gap: Gap) -> str:
    mean = number(gap.mean)
    if not gap.mean < 0:
        mean = f"+{mean}"

    interval = f"[{number(gap.low)}, {number(gap.high)}]"
    cells = [markdown(gap.model), gap.metric, mean, interval]
    return f"| {' | '.join(cells)} | {gap.p_adjusted:.2g} | {gap.verdict} |"


def _bars(found: Bench) -> str:
    return "---|" * (len(found.experiment.metrics) + 2)


def _data(found: Bench) -> list[str]:
    return [each.name for each in found.experiment.data]


def _csv(frame: pl.DataFrame) -> Callable[[Path], object]:
    names: Sequence[str] = [name for name in frame.columns if frame.schema[name] == pl.String]
    if names:
        frame = frame.with_columns(csv_safe(frame.select(names)))
    return lambda file: frame.write_csv(file)


def _write(path: Path, content: str | Callable[[Path], object]) -> None:
    if isinstance(content, str):
        text = content
        write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
    else:
        write_whole(path, content)
