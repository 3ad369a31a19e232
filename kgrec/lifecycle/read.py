"""Read what is new for a run, by the thresholds that its dataset was built with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import polars as pl

from kgrec.data.io.files import bare_suffix
from kgrec.data.rdf.reader import FORMATS
from kgrec.data.readers.interactions import read_interactions
from kgrec.data.readers.new_items import read_new_items
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.triples import Triples
from kgrec.runs.run import load_run


@dataclass(frozen=True, slots=True)
class New:
    """What is new.

    Attributes:
        log: Interactions.
        items: Ids of new items.
        facts: Facts about them.
    """

    log: pl.DataFrame
    items: list[str]
    facts: Triples | None


def read_new(
    run: str | PathLike[str],
    interactions: object,
    new_items: Path | None = None,
    *,
    columns: Mapping[str, str | None] | None = None,
    min_rating: float | None = None,
    item_id: str | None = None,
    allow: Sequence[str] = (),
) -> New:
    """Return new interactions and items for a stored run.

    Args:
        run: Its folder.
        interactions: Any table of interactions.
        new_items: A table of items, or triples.
        columns: Of the interactions, by what they are.
        min_rating: Ratings below it are left out; None takes the threshold of the dataset.
        item_id: Column of ids of the table of items.
        allow: Classes that may be imported.

    Raises:
        FormatError: If a table cannot be read.
        DataError: If no item is new.
    """
    data = load_run(run, allow=allow, unfinished="refuse").data
    least = data.settings.get("min_rating") if min_rating is None else min_rating
    named = {name: column for name, column in (columns or {}).items() if column is not None}
    log = read_interactions(interactions, min_rating=least, **named).frame
    if new_items is None:
        return New(log, [], None)

    graph = bare_suffix(new_items) in FORMATS
    source = read_triples(new_items) if graph else new_items
    ids, facts = read_new_items(source, data, item=item_id)
    return New(log, ids, facts)
