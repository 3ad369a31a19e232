"""The report on the building of a dataset, while it is being written."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kgrec.data.dataset import BuildReport
from kgrec.data.interactions import Dropped


@dataclass
class Draft:
    """A report to add to.

    Attributes:
        sources: Files read.
        dropped: Rows left out.
        notes: Sentences.
        counts: Numbers by name.
    """

    sources: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, sources: Sequence[str], dropped: Sequence[Dropped] = ()) -> None:
        """Note what was read, and what was left out while reading."""
        self.sources += sources
        self.dropped += dropped

    def drop(self, what: str, why: str, count: int) -> None:
        """Note rows left out, if there are any."""
        if count:
            self.dropped.append(Dropped(what, why, count))

    def report(self) -> BuildReport:
        """Return the finished report; a source counts once."""
        return BuildReport(tuple(dict.fromkeys(self.sources)), tuple(self.dropped), tuple(self.notes), self.counts)
