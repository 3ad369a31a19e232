"""The report on the building of a dataset, while it is being written."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kgrec.data.records.dataset import BuildReport, Caution
from kgrec.data.records.interactions import Dropped, Skipped
from kgrec.data.tables.column_kinds import TableColumn


@dataclass
class Draft:
    """A report to add to.

    Attributes:
        sources: Files read.
        dropped: Rows left out.
        notes: Sentences.
        counts: Numbers by name.
        warnings: What is worth acting on.
        columns: What became of the columns of the table of items.
    """

    sources: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[Caution] = field(default_factory=list)
    columns: list[TableColumn] = field(default_factory=list)

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

    def report(self) -> BuildReport:
        """Return the finished report; a source counts once, and what was left out for the same
        reason is one entry.
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
        )
