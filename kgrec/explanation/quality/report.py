"""The report of ``Explainer.evaluate``: figures, groups, curves and gates. Imports no torch."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kgrec.escaping import terminal
from kgrec.explanation.core.answers import Answer
from kgrec.explanation.core.records import SCHEMA

SECTIONS = {
    "whole": "Do the numbers hold?",
    "apart": "Interaction and facts apart: what carries the paths shown",
    "necessity": "Are the best paths needed? Drops when they are taken away",
    "sufficiency": "Do they suffice? Scores with them alone",
    "choice": "Are they the right ones?",
    "lists": "What happens to the lists",
    "support": "How much of a score do paths cover?",
    "stability": "Do they stay the same?",
    "style": "What the paths are like (nothing here looks at the model)",
    "latency": "Time",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        key: Its name: "necessity.drop.delete"; the part before the first point is its section.
        label: What it is.
        value: The number; None where it is not defined or cannot be asked of the model, and
            ``note`` says why.
        low: Lower end of the 95 % bootstrap interval over users; None if there is none.
        high: Upper end.
        count: How many ``of`` it rests on.
        of: What is counted: "users", "pairs", "paths", "facts".
        note: What a reader must know.
    """

    key: str
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    of: str = "users"
    note: str = ""

    @property
    def section(self) -> str:
        """The part of ``key`` before the first point."""
        return self.key.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Curve:
    """AOPC by the number of paths taken away together.

    Attributes:
        paths: "best", "random" or "matched".
        mode: "delete" or "mask".
        points: AOPC_1 .. AOPC_k, as figures.
    """

    paths: str
    mode: str
    points: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The drops of the shown paths of one kind.

    Attributes:
        by: "length", "pattern", "activity" (of the user) or "popularity" (of the item).
        key: Which of them.
        users: Users with such a path.
        paths: Number of paths.
        drop: Their drop in "delete" mode.
        random: The drop of random connecting paths of the same length and kind, compared with the
            same paths.
        ratio: The one over the other.
    """

    by: str
    key: str
    users: int
    paths: int
    drop: Figure
    random: Figure
    ratio: Figure


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that must hold.

    Attributes:
        name: "completeness", "validity", "leak", "explained" or "claims".
        held: Whether it holds; None where the model gives nothing to evaluate.
        value: What was found.
        limit: What is allowed.
        note: What is wrong, or why nothing was evaluated.
    """

    name: str
    held: bool | None
    value: float | None
    limit: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One explainer on the recommendations that all explainers explain.

    Attributes:
        name: "paths" (the paths of this report) or the name of another explainer.
        figures: Its numbers; () where it cannot explain the model.
        note: Why it cannot.
    """

    name: str
    figures: tuple[Figure, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Quality(Answer):
    """How good the explanations of one model are.

    Attributes:
        model: Name of the model.
        dataset: Name of the dataset.
        basis: What drops are: "exact", "measured" or "post-hoc".
        users: Number of users drawn.
        pairs: Number of recommendations explained.
        paths: Number of paths shown.
        top: Length of the lists.
        k: Paths per explanation.
        figures: The numbers, by section.
        curves: AOPC of best, random and degree-matched paths, over the pairs whose every path has a
            match; () where drops are 0 by construction.
        groups: Drops by length, pattern, activity and popularity.
        gates: What must hold.
        notes: What a reader must know.
        manifest: Model, dataset, sums, settings and versions.
        beside: The paths shown and other explainers, on the same recommendations; () unless other
            explainers were named.
    """

    model: str
    dataset: str
    basis: str
    users: int
    pairs: int
    paths: int
    top: int
    k: int
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    groups: tuple[Group, ...]
    gates: tuple[Gate, ...]
    notes: tuple[str, ...]
    manifest: dict[str, Any]
    beside: tuple[Compared, ...] = ()

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that do not hold."""
        return tuple(gate for gate in self.gates if gate.held is False)

    def __getitem__(self, key: str) -> Figure:
        """Return a figure by its key, those of other explainers included.

        Raises:
            KeyError: If there is none.
        """
        compared = [figure for one in self.beside for figure in one.figures]
        for figure in (*self.figures, *compared):
            if figure.key == key:
                return figure

        raise KeyError(key)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary: ``schema``, ``kind``, then the fields."""
        return {"schema": SCHEMA, "kind": "quality"} | asdict(self)

    def to_text(self, width: int = 100) -> str:
        """Return lines for a terminal, every label made safe for it; tables are not wrapped."""
        lines = [self._title(), ""]
        for title, rows in self._tables():
            lines += [title, *_aligned(rows), ""]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)]).rstrip()

    def to_markdown(self) -> str:
        """Return the report as Markdown tables."""
        lines = [f"# Explanation quality: {_cell(self._title())}", ""]
        for title, rows in self._tables():
            head, *body = [[_cell(cell) for cell in row] for row in rows]
            rule = ["---", *["--:" for _ in head[1:]]]
            lines += [
                f"## {title}",
                "",
                *(f"| {' | '.join(row)} |" for row in (head, rule, *body)),
                "",
            ]

        return "\n".join([*lines, *(f"- {_cell(note)}" for note in self.notes)]) + "\n"

    def _title(self) -> str:
        return (
            f"{terminal(self.model)} on {terminal(self.dataset)}: {self.pairs:,} recommendations "
            f"of {self.users:,} users, "
            f"{self.paths:,} paths, drops {self.basis}"
        )

    def _tables(self) -> Iterable[tuple[str, list[list[str]]]]:
        yield "Gates", [["", "holds", "found", "allowed", ""], *map(_gate, self.gates)]
        for section, title in SECTIONS.items():
            figures = [figure for figure in self.figures if figure.section == section]
            if figures:
                yield title, [["", "figure", "95 % interval", "of", ""], *map(_figure, figures)]

        if self.curves:
            count = self.curves[0].points[0].count
            yield (
                "AOPC: mean drop of the first 1, 2, ... paths taken away together, over "
                f"{count:,} pairs",
                _curves(self.curves),
            )

        if self.beside:
            yield "Beside other explainers, as many edges each", _compared(self.beside)

        for by in dict.fromkeys(group.by for group in self.groups):
            rows = [_group(group) for group in self.groups if group.by == by]
            yield (
                f"Drops by {by}",
                [["", "paths", "users", "drop", "95 % interval", "random", "ratio"], *rows],
            )


def number(value: float | None) -> str:
    """Return a number for people to read; "-" for none."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _between(figure: Figure) -> str:
    if figure.low is None:
        return ""
    return f"{number(figure.low)} to {number(figure.high)}"


def _held(gate: Gate) -> str:
    return {True: "yes", False: "NO", None: "not evaluated"}[gate.held]


def _gate(gate: Gate) -> list[str]:
    return [gate.name, _held(gate), number(gate.value), number(gate.limit), terminal(gate.note)]


def _figure(figure: Figure) -> list[str]:
    return [
        figure.label,
        number(figure.value),
        _between(figure),
        f"{figure.count:,} {figure.of}",
        figure.note,
    ]


def _group(group: Group) -> list[str]:
    values = [number(figure.value) for figure in (group.random, group.ratio)]
    return [
        terminal(group.key),
        f"{group.paths:,}",
        f"{group.users:,}",
        number(group.drop.value),
        _between(group.drop),
        *values,
    ]


def _curves(curves: Sequence[Curve]) -> list[list[str]]:
    head = ["", *(str(m) for m in range(1, len(curves[0].points) + 1))]
    return [
        head,
        *(
            [f"{curve.paths}, {curve.mode}", *(number(point.value) for point in curve.points)]
            for curve in curves
        ),
    ]


def _compared(beside: Sequence[Compared]) -> list[list[str]]:
    labels: Sequence[Figure] = next((one.figures for one in beside if one.figures), ())
    rows = [["", *(figure.label for figure in labels), ""]]
    for one in beside:
        cells = [_with_interval(figure) for figure in one.figures] or ["-"] * len(labels)
        rows.append([one.name, *cells, one.note])
    return rows


def _with_interval(figure: Figure) -> str:
    if figure.low is None or not figure.key.endswith((".drop", ".first")):
        return number(figure.value)
    return f"{number(figure.value)} ({_between(figure)})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, columns without a head on the left, the others on the right."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []

    for row in rows:
        cells = []
        for cell, size, head in zip(row, wide, rows[0], strict=True):
            if head:
                cells.append(cell.rjust(size))
            else:
                cells.append(cell.ljust(size))

        lines.append(f"  {'  '.join(cells)}".rstrip())

    return lines


def _cell(text: str) -> str:
    """Return text that is one cell of a Markdown table and no markup."""
    return "".join(f"\\{c}" if c in "\\|`*[]<>" else c for c in " ".join(terminal(text).split()))
