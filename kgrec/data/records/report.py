"""What was read, kept and left out while a dataset was built."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that were left out, and why.

    Attributes:
        what: Kind of row, for instance "interactions" or "triples".
        why: Reason in words, without a number.
        count: How many rows.
        where: The first of their lines, as ``file:line``, where they are known.
    """

    what: str
    why: str
    count: int
    where: tuple[str, ...] = ()


def dropped_rows(what: str, why: str, count: int) -> tuple[Dropped, ...]:
    """Return rows left out in the form of a report; nothing if there are none."""
    return (Dropped(what, why, count),) if count else ()


@dataclass
class Skipped:
    """Lines that were left out because they cannot be read.

    Attributes:
        name: The file.
        count: How many.
        lines: The first of them.
    """

    name: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    MOST_LISTED = 20

    @classmethod
    def where_allowed(cls, name: str, on_error: str) -> "Skipped | None":
        """Return where to note lines of a file, None where the first bad one stops the reading."""
        if on_error == "skip":
            return cls(name)
        return None

    def add(self, line: int) -> None:
        """Note one more."""
        self.count += 1
        if len(self.lines) < self.MOST_LISTED:
            self.lines.append(line)

    def extend(self, lines: Iterable[int]) -> None:
        """Note several more."""
        for line in lines:
            self.add(line)

    def dropped(self) -> tuple[Dropped, ...]:
        """Return them in the form of a report."""
        where = tuple(f"{self.name}:{line}" for line in self.lines)
        if self.count:
            return (Dropped("lines", f"malformed in {self.name}", self.count, where),)
        return ()


def dropped_lines(skipped: Skipped | None) -> tuple[Dropped, ...]:
    """Return malformed lines in the form of a report; nothing where none may be skipped."""
    return () if skipped is None else skipped.dropped()


@dataclass(frozen=True, slots=True)
class TableColumn:
    """What became of a column of a table of items.

    Attributes:
        table: The file, or another origin in words.
        column: The column's name.
        kind: "item id", "title", "category", "list", "number", "year", "date", "boolean", "flag",
            "text", "identifier", "url", "constant", "nested" or "empty".
        relation: The relation that it became, "" where it was left out.
        distinct: Distinct values that became entities; of a column left out, distinct cells.
        rows: Rows that say something.
        triples: Triples made, a repeated one counted once.
        note: How its cells were read, or why it was left out.
    """

    table: str
    column: str
    kind: str
    relation: str = ""
    distinct: int = 0
    rows: int = 0
    triples: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class ColumnRole:
    """A column of a table, and what it was taken for.

    Attributes:
        table: The file, or another origin in words.
        role: "user", "item", "time", "rating", "event", "weight", "quantity", "head", "relation",
            "tail" or "entity".
        column: The column's name.
        why: How that was found: "given", "by its name", "by position", or the evidence in words.
    """

    table: str
    role: str
    column: str
    why: str


@dataclass(frozen=True, slots=True)
class Caution:
    """Something about a dataset that is worth acting on.

    Attributes:
        what: What was found, in a sentence without its full stop.
        remedy: What to do about it, a sentence or two.
    """

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was read, kept and dropped while a dataset was built.

    Attributes:
        sources: Files read, in order.
        dropped: Rows left out, with the reason and the count.
        notes: Sentences on what a reader should know: defaults taken, files unused, users without
            training interactions.
        counts: Further numbers by name, for instance ``{"items without an entity": 369}``.
        warnings: What is worth acting on.
        columns: What became of the columns of the table of items.
        roles: Which columns of the tables were taken for what. Known while a dataset is built;
            not stored.
    """

    sources: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    warnings: tuple[Caution, ...] = ()
    columns: tuple[TableColumn, ...] = ()
    roles: tuple[ColumnRole, ...] = field(default=(), compare=False)


@dataclass
class ReportBuilder:
    """A report on the building of a dataset, while it is being written.

    Attributes:
        sources: Files read.
        dropped: Rows left out.
        notes: Sentences.
        counts: Numbers by name.
        warnings: What is worth acting on.
        columns: What became of the columns of the table of items.
        roles: Which columns of the tables were taken for what.
    """

    sources: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[Caution] = field(default_factory=list)
    columns: list[TableColumn] = field(default_factory=list)
    roles: list[ColumnRole] = field(default_factory=list)

    def add(self, sources: Sequence[str], dropped: Sequence[Dropped] = ()) -> None:
        """Note what was read, and what was left out while reading."""
        self.sources += sources
        self.dropped += dropped

    def drop(self, what: str, why: str, count: int) -> None:
        """Note rows left out, if there are any."""
        if count:
            self.dropped.append(Dropped(what, why, count))

    def warn(self, what: str, remedy: str) -> None:
        """Note something worth acting on, and what to do about it."""
        self.warnings.append(Caution(what, remedy))

    def finish(self) -> BuildReport:
        """Return the finished report.

        A source counts once, and what was left out for the same reason is one entry.
        """
        sources = tuple(dict.fromkeys(self.sources))
        dropped: dict[tuple[str, str], Dropped] = {}

        for one in self.dropped:
            before = dropped.get((one.what, one.why), Dropped(one.what, one.why, 0))
            where = (*before.where, *one.where)[: Skipped.MOST_LISTED]
            dropped[one.what, one.why] = Dropped(one.what, one.why, before.count + one.count, where)

        return BuildReport(
            sources,
            tuple(dropped.values()),
            tuple(self.notes),
            self.counts,
            tuple(self.warnings),
            tuple(self.columns),
            tuple(dict.fromkeys(self.roles)),
        )
